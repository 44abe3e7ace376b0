"""The trials of a search while they run: asked of the oracle, worked off fold by fold."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits.config import Config
from digits.errors import UserError
from digits.files import records
from digits.stages.tune.fold import FoldJob, Score
from digits.stages.tune.search import Search
from digits.workers.pool import Job, Killed

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial

    from digits.stages.tune.oracle import ResumableOracle

MOST_TRIES = 2  # of a fold that gets no further than the time before
MOST_FAILURES = 5  # trials at the beginning of a search


@dataclass
class Running:
    """A trial that runs.

    values: the searched ones, as keras-tuner has them. began: in seconds of the search. scores: of its finished folds.
    epochs: trained so far, over all its networks, of `total`. tries: that got no further than `reached` epochs.
    """

    config: Config
    values: dict[str, Any]
    began: float
    scores: list[Score] = field(default_factory=list)
    epochs: int = 0
    reached: int = -1
    tries: int = 0

    @property
    def total(self) -> int:
        return self.config.epochs_per_fold * self.config.tune.folds


class Trials:
    """Trials that run. The unit of work is one fold of one trial, so that nothing is ever stopped from outside.

    oracle: proposes them and keeps what became of them.
    """

    def __init__(self, search: Search, oracle: ResumableOracle) -> None:
        self.search, self.oracle = search, oracle
        self.work = search.folder / "work"
        self.running: dict[str, Running] = {}
        self.waiting: deque[str] = deque()  # trials whose next fold no worker has
        for trial in oracle.unfinished:
            self._start(trial)

    def jobs(self, pipe: Path | None) -> Iterator[Job | None]:
        """The next fold to score, whenever it is asked for; None while all that can run do.

        pipe: for the progress; None where workers do not see the files of this machine.

        Raises:
            UserError: all trials so far have failed.
        """
        while True:
            self._check()
            while not self.waiting and (trial := self.oracle.ask()):
                self._start(trial)
            if self.waiting:
                name = self.waiting.popleft()
                yield name, (self._job(name, pipe),)
            elif self.running:
                yield None
            else:
                return

    def hear(self, line: str) -> None:
        """Take a line of a trial's progress; called by another thread."""
        with contextlib.suppress(ValueError, KeyError, TypeError):  # whatever a library prints
            message = json.loads(line)
            running = self.running[message["member"]]
            running.epochs = max(running.epochs, message["epoch"])

    def take(self, name: str, result: Score | str | Killed) -> None:
        """Record the result of a trial's fold: its score, or why it failed."""
        running = self.running[name]
        if isinstance(result, Score):
            records.write_json(self._fold(name, len(running.scores)), vars(result))
            running.scores.append(result)
            self._continue(name)
        elif isinstance(result, str):
            self._fail(name, result)
        else:
            if running.epochs > running.reached:
                running.reached, running.tries = running.epochs, 0
            running.tries += 1
            if running.tries < MOST_TRIES:
                self.waiting.appendleft(name)
            else:
                self._fail(
                    name, f"died {running.tries} times after {running.epochs} epochs ({result}); too little memory?"
                )

    def _start(self, trial: Trial) -> None:
        """Begin a trial, or continue one of an earlier call with the folds that it finished."""
        name, values = trial.trial_id, trial.hyperparameters.values
        running = Running(self.search.base, values, self.oracle.spent)
        self.running[name] = running
        try:
            running.config = self.search.space.config(values)
        except UserError as error:
            self.oracle.begin(name, 0)
            return self._fail(name, str(error))
        self.oracle.begin(name, running.total)
        while len(running.scores) < self.search.tune.folds and (
            score := read_score(self._fold(name, len(running.scores)))
        ):
            running.scores.append(score)
        return self._continue(name)

    def _continue(self, name: str) -> None:
        """Go to a trial's next fold, or end it where there is none or it is hopeless."""
        running = self.running[name]
        running.epochs = len(running.scores) * running.config.epochs_per_fold
        if self.oracle.add_scores(name, running.scores, running.epochs):
            self.oracle.complete(name, running.scores)
            self._forget(name)
        else:
            self.waiting.appendleft(name)

    def _fail(self, name: str, reason: str) -> None:
        self.oracle.fail(name, reason, self.running[name].epochs)
        self._forget(name)

    def _check(self) -> None:
        ended = [(trial, record) for trial, record in self.oracle.history() if record.ended]
        if len(ended) >= MOST_FAILURES and all(trial.status == "FAILED" for trial, _ in ended):
            raise UserError(f"the first {len(ended)} trials all failed, the last one so: {ended[-1][1].reason}")

    def _forget(self, name: str) -> None:
        del self.running[name]
        shutil.rmtree(self.work / name, ignore_errors=True)

    def _job(self, name: str, pipe: Path | None) -> FoldJob:
        running, limit = self.running[name], self.search.tune.trial_minutes
        left = running.began + 60 * limit - self.oracle.spent if limit else math.inf
        folder = self.work / name if pipe else None
        fold = len(running.scores)
        return FoldJob(name, running.config, fold, fold * running.config.epochs_per_fold, folder, pipe, left)

    def _fold(self, name: str, fold: int) -> Path:
        return self.work / name / f"fold-{fold}.json"


def read_score(path: Path) -> Score | None:
    """The score of a finished fold; None where it is missing or damaged, and the fold is scored again."""
    try:
        return Score(**records.read_json(path))
    except (UserError, TypeError):
        return None
