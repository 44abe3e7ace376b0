"""keras-tuner's oracles with what they lack for a search that survives.

keras-tuner 1.4.8 writes its files so that a kill can leave half of one, runs a trial again that ended just before the
kill, and lets Bayesian optimisation propose the same values twice. `ResumableOracle` mends these in the methods that
oracles override, and adds the median rule and the time limit.
"""

from __future__ import annotations

import dataclasses
import re
import statistics
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from digits.errors import UserError, shown
from digits.files.records import is_altered, write_json
from digits.seeds import as_int, derive
from digits.stages.tune.fold import Score, combine
from digits.stages.tune.measures import OBJECTIVES, is_hopeless
from digits.stages.tune.search import Search
from digits.stages.tune.space import Space

ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


@dataclass
class TrialRecord:
    """Record of a trial beside keras-tuner's own.

    losses: of its finished folds, lower is better. epochs: trained so far, over all its networks, of `total`. began,
    ended: when, in seconds that the search had taken; began: in the last call. reason: why it failed.
    """

    losses: list[float] = field(default_factory=list)
    epochs: int = 0
    total: int = 0
    began: float = 0.0
    ended: float | None = None
    reason: str = ""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> TrialRecord:
        """The record of plain values; those of earlier versions hold more."""
        return cls(**{known.name: values[known.name] for known in dataclasses.fields(cls)})

    @property
    def is_stopped(self) -> bool:
        """The median rule ended it before its last epoch."""
        return self.ended is not None and self.epochs < self.total

    @property
    def seconds(self) -> float:
        """Duration in the last call that worked on it; 0 before its end."""
        return 0.0 if self.ended is None else self.ended - self.began


class ResumableOracle(keras_tuner.Oracle):
    """Base of the three oracles, mixed in before one of keras-tuner's."""

    def __init__(self, space: Space, **options: Any) -> None:
        super().__init__(**options)
        self.space = space
        self.tune = space.base.tune
        self.max_trials = None  # the limit is ours: with theirs, raising it on resuming changes how trials are named
        self.records: dict[str, TrialRecord] = {}
        self.verbose = 0
        self._spent = 0.0  # seconds, in earlier calls
        self._called = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds that the search has taken, breaks left out."""
        return self._spent + time.monotonic() - self._called

    def ask(self) -> Trial | None:
        """Ask for a new trial; None where there is none, at least until another one ends."""
        full = self.tune.trials is not None and len(self.trials) >= self.tune.trials
        if full or self._is_time_up():
            return None
        trial = self.create_trial(f"{len(self.trials):04d}")  # for keras-tuner a worker, who has one trial at a time
        return trial if trial.status == TrialStatus.RUNNING else None

    def begin(self, trial_id: str, total: int) -> None:
        """Record the beginning of a trial of so many epochs."""
        record = self.records.setdefault(trial_id, TrialRecord())
        record.began, record.total = self.spent, total
        self.save()

    def add_scores(self, trial_id: str, scores: list[Score], epochs: int) -> bool:
        """Record the finished folds of a trial and its trained epochs; True where it is complete or hopeless."""
        record = self.records[trial_id]
        record.losses, record.epochs = [score.loss(self.tune.objective) for score in scores], epochs
        self.save()
        return len(scores) == self.tune.folds or self._is_hopeless(record)

    def complete(self, trial_id: str, scores: list[Score]) -> None:
        """Record the end of a trial, with the scores of its folds."""
        self.update_trial(trial_id, vars(combine(scores)))
        self._end(trial_id, TrialStatus.COMPLETED)

    def fail(self, trial_id: str, reason: str, epochs: int) -> None:
        """Record the end of a trial that failed after so many epochs."""
        self.records[trial_id].reason, self.records[trial_id].epochs = reason, epochs
        self._end(trial_id, TrialStatus.FAILED, reason)

    def _end(self, trial_id: str, status: str, reason: str | None = None) -> None:
        self.records[trial_id].ended = self.spent
        self.end_trial(Trial(self.trials[trial_id].hyperparameters, trial_id, status, reason))

    @property
    def unfinished(self) -> list[Trial]:
        """The trials that have not ended."""
        return [self.trials[trial_id] for trial_id in self.start_order if trial_id not in self.end_order]

    def history(self) -> list[tuple[Trial, TrialRecord]]:
        """Every trial with its record, in the order of their beginnings."""
        return [(self.trials[trial_id], self.records[trial_id]) for trial_id in self.records]

    def get_state(self) -> dict[str, Any]:
        records = {trial_id: asdict(record) for trial_id, record in self.records.items()}
        return super().get_state() | {"records": records, "spent": self.spent}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.records = {trial_id: TrialRecord.parse(values) for trial_id, values in state["records"].items()}
        self._spent = state["spent"]

    def save(self) -> None:
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def resume(self, folder: Path) -> None:
        """Keep the search in a folder, and continue the one that is there.

        Raises:
            UserError: its files are damaged.
        """
        self._set_project_dir(str(folder.parent), folder.name)
        if not Path(self._get_oracle_fname()).exists():
            self.save()
            return
        try:
            for path in folder.glob("**/*.json"):
                if is_altered(path.read_bytes()):
                    raise ValueError(path.relative_to(folder))
            self.reload()
            for trial_id in {*self.trials, *self.records, *self.start_order, *self.end_order}:
                if not re.fullmatch(r"[0-9]+", trial_id):  # it is part of a file's name
                    raise ValueError(f"trial '{trial_id}'")
            self.trials = {trial_id: self.trials[trial_id] for trial_id in self.start_order}  # not one entered by half
            self.records = {trial_id: self.records.get(trial_id, TrialRecord()) for trial_id in self.start_order}
        except Exception as error:  # damaged files fail in a dozen ways, all of them this one
            raise UserError(
                f"{folder}: the trials of the search are damaged ({shown(str(error))}); delete the folder, "
                "or search anew with another RUN="
            ) from None
        for trial_id, trial in self.trials.items():
            if trial.status in ENDED and trial_id not in self.end_order:
                self.end_order.append(trial_id)
                self.records[trial_id].ended = self.records[trial_id].ended or self.spent
        self._retry_queue = []
        self.ongoing_trials = {trial.trial_id: trial for trial in self.unfinished}

    def _is_time_up(self) -> bool:
        """A trial that is begun now would probably end too late."""
        if self.tune.hours is None:
            return False
        past = [record.seconds for record in self.records.values() if record.ended]
        return self.spent + (statistics.median(past) if past else 0.0) > 3600 * self.tune.hours

    def _is_hopeless(self, record: TrialRecord) -> bool:
        if not record.losses or not self.tune.median_rule or isinstance(self, keras_tuner.oracles.HyperbandOracle):
            return False
        through = [
            other.losses for other in self.records.values() if other.ended and other.losses and not other.is_stopped
        ]
        return is_hopeless(record.losses, through)

    def _random_values(self) -> dict[str, Any] | None:
        """Random values; the first of all trials gets those of the base config, where its ranges hold them."""
        own = None if self.trials else self.space.own_values()
        return super()._random_values() if own is None else own


class RandomSearch(ResumableOracle, keras_tuner.oracles.RandomSearchOracle):
    pass


class Bayesian(ResumableOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Propose as keras-tuner does, but no values that were tried before, and the same after a resume."""
        self._random_state = np.random.RandomState((self.seed + len(self.trials)) % 2**32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the Gaussian process, about its own kernel
            proposed = super().populate_space(trial_id)
        if proposed["values"] is not None and self._duplicate(proposed["values"]):
            return self._random_populate_space()
        return proposed


class Hyperband(ResumableOracle, keras_tuner.oracles.HyperbandOracle):
    pass


def open_oracle(search: Search) -> ResumableOracle:
    """The oracle that the base config asks for, where an earlier call left it.

    Raises:
        UserError: its files are damaged.
    """
    space, tune = search.space, search.tune
    hyperparameters = keras_tuner.HyperParameters()
    space.declare(hyperparameters)
    options = {
        "objective": keras_tuner.Objective(tune.objective, OBJECTIVES[tune.objective]),
        "hyperparameters": hyperparameters,
        "allow_new_entries": False,
        "tune_new_entries": False,
        "seed": as_int(derive(space.base.seed, "tune", "oracle")),
        "max_consecutive_failed_trials": None,
    }
    oracle = TUNERS[tune.tuner](space, options)
    oracle.resume(search.folder / "trials")
    return oracle


def _bayesian(space: Space, options: dict[str, Any]) -> ResumableOracle:
    return Bayesian(space, num_initial_points=len(space.ranges) + 1, **options)


def _hyperband(space: Space, options: dict[str, Any]) -> ResumableOracle:
    tune = space.base.tune
    sweeps = 1 if tune.trials is None and tune.hours is None else None  # None: until something else ends it
    epochs = space.base.training.epochs
    return Hyperband(space, max_epochs=epochs, factor=tune.factor, hyperband_iterations=sweeps, **options)


TUNERS = {
    "bayesian": _bayesian,
    "hyperband": _hyperband,
    "random": lambda space, options: RandomSearch(space, **options),
}
