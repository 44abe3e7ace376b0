"""Work that takes a while, done in the background: pages show what they have, and go on when it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

NEARLY = 0.95  # what a job that only expects its time shows at most
Report = Callable[[float], None]  # is told the share that is done; raises where the job was cancelled


class Cancelled(Exception):
    """Nobody waits for this job any more."""


class Job:
    """A call in a thread of its own, which ends with the server.

    title: what it does. expected: seconds that it takes, where that is known.
    """

    def __init__(self, title: str, work: Callable[[Report], Any], expected: float | None, turn: threading.Lock) -> None:
        self.title, self.expected, self.started = title, expected, time.monotonic()
        self._share = 0.0
        self._outcome: Future[Any] = Future()
        self.cancelled = False
        threading.Thread(target=self._run, args=(work, turn), daemon=True).start()

    def _run(self, work: Callable[[Report], Any], turn: threading.Lock) -> None:
        try:
            with turn:
                self._report(0.0)
                self._outcome.set_result(work(self._report))
        except BaseException as error:  # whoever asks for the result gets it
            self._outcome.set_exception(error)

    def _report(self, share: float) -> None:
        if self.cancelled:
            raise Cancelled
        self._share = share

    def cancel(self) -> None:
        """End it at its next report, if it is not done."""
        if not self._outcome.done():
            self.cancelled = True

    @property
    def done(self) -> bool:
        return self._outcome.done() or self.cancelled

    @property
    def succeeded(self) -> bool:
        return self._outcome.done() and not self.cancelled and self._outcome.exception() is None

    def result(self) -> Any:
        """Wait for the call; return its result or raise its error."""
        return self._outcome.result()

    @property
    def share(self) -> float:
        """Share that is done, as far as is known."""
        taken = time.monotonic() - self.started
        return max(self._share, min(NEARLY, taken / self.expected)) if self.expected else self._share

    @property
    def state(self) -> str:
        """Title, share done and estimated time left, as one line."""
        taken, share = time.monotonic() - self.started, self.share
        if share < 0.05:  # too early to tell
            return f"{self.title}: {taken:.0f} s"
        return f"{self.title}: {share:.0%}, about {taken / share * (1 - share):.0f} s left"


class Jobs:
    """Jobs by key, each done once."""

    def __init__(self) -> None:
        self._jobs: dict[Hashable, Job] = {}
        self._turns: dict[str, threading.Lock] = {}

    def get(
        self, key: tuple[str, Hashable], title: str, work: Callable[[Report], Any], expected: float | None = None
    ) -> Job:
        """The job of this key, started if it is new, or failed or was cancelled before.

        key: kind and what tells jobs of this kind apart; of one kind, one runs at a time.
        """
        job = self._jobs.get(key)
        if job is None or (job.done and not job.succeeded):
            turn = self._turns.setdefault(key[0], threading.Lock())
            job = self._jobs[key] = Job(title, work, expected, turn)
        return job
