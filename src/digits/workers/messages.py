"""Progress reports of workers: lines of JSON, through a named pipe to the process that was started, or through the
standard output that a cluster's worker passes on.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from digits.training.callback import Callback

TICK_SECONDS = 1.0
LEAST_SECONDS = 0.2  # between two messages within an epoch
END = b"\0"


class OutOfTime(Exception):
    """The deadline has come in the middle of training."""


class Reporter(Callback):
    """Sends the progress of a member.

    Args:
        member: its name.
        send: takes one line.
        until: by `time.monotonic`; training ends then with `OutOfTime`, at the next part of an epoch.
        before: epochs that count as done before its first one.
    """

    def __init__(self, member: str, send: Callable[[str], object], until: float = math.inf, before: int = 0) -> None:
        self.member = member
        self.until = until
        self.before = before
        self._send = send
        self._sent = -math.inf

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._report(end=True)

    def within_epoch(self, epoch: int, share: float) -> None:
        now = time.monotonic()
        if now > self.until:
            raise OutOfTime
        if not share or now - self._sent >= LEAST_SECONDS:
            self._sent = now
            self._report(epoch=self.before + epoch, share=float(share))

    def after_epoch(self, row: dict[str, float], images: int) -> None:
        self._report(row={name: float(value) for name, value in row.items()}, images=images)

    def _report(self, **message: Any) -> None:
        self._send(json.dumps({"member": self.member} | message))


@contextmanager
def sender(pipe: Path | None) -> Iterator[Callable[[str], object]]:
    """Give a function that sends one line through the pipe, or through standard output where there is none.

    Several processes write to the pipe: a line below 4,096 bytes arrives in one piece.
    """
    if pipe is None:
        yield lambda line: print(line, flush=True)
        return
    # a file object: a line that comes late finds it closed, and never another file of the same number
    with os.fdopen(os.open(pipe, os.O_WRONLY), "wb", buffering=0) as opened:
        yield lambda line: opened.write(line.encode() + b"\n")


@contextmanager
def listen(hear: Callable[[str], None], tick: Callable[[], None]) -> Iterator[Path]:
    """Open a named pipe until the block ends; a thread passes each line to `hear`, and calls `tick` every second.

    What either raises ends the block, and is raised by it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "progress"
        os.mkfifo(path)
        pipe = os.open(path, os.O_RDWR)  # for both, so that it opens before any worker and never ends
        listener = _Listener(pipe, hear, tick)
        listener.start()
        try:
            yield path
        except KeyboardInterrupt:
            if listener.error is None:
                raise
        finally:
            os.write(pipe, END + b"\n")
            listener.join()
            os.close(pipe)
        if listener.error:
            raise listener.error


class _Listener(threading.Thread):
    """Reads lines up to `END`. After an error it still reads, for workers wait when a pipe is full."""

    def __init__(self, pipe: int, hear: Callable[[str], None], tick: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.pipe, self.hear, self.tick = pipe, hear, tick
        self.error: BaseException | None = None

    def run(self) -> None:
        rest = b""
        while True:
            if select.select([self.pipe], [], [], TICK_SECONDS)[0]:
                rest += os.read(self.pipe, 65536)
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line == END:
                    return
                self._call(self.hear, line.decode(errors="replace"))
            self._call(self.tick)

    def _call(self, function: Callable[..., None], *arguments: str) -> None:
        if self.error is None:
            try:
                function(*arguments)
            except BaseException as error:  # also the SystemExit that rich makes of a closed standard output
                self.error = error
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # wakes whatever it waits for
