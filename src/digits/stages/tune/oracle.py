"""keras-tuner's oracles with what they lack for a search that survives.

keras-tuner 1.4.8 writes its books so that a kill can leave half a file, begins a trial again that ended just before
the kill, waits forever for a worker that died, and lets Bayesian optimisation propose the same values twice.
`Bookkeeping` mends these in the methods that oracles override, and adds the median rule and the time limit.
"""

from __future__ import annotations

import json
import re
import statistics
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from digits.config import Tune
from digits.errors import UserError, shown
from digits.files.records import is_altered, write_json
from digits.seeds import as_int, derive
from digits.stages.tune.measures import is_hopeless
from digits.stages.tune.space import Space

SEARCH = "search"  # the fixed hyperparameter in which the search itself travels to its workers
BECAUSE = "failed: "  # begins the name of a metric that carries why: keras-tuner's messages do not travel
OBJECTIVES = {"log_loss": "min", "accuracy": "max"}
MOST_TRIES = 2  # of a trial that gets no further than the time before
ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


@dataclass
class Record:
    """What the books hold of a trial beside keras-tuner's own.

    worker: who has it, or had it. losses: of its finished folds, lower is better. epochs: trained so far, over all
    its networks, of `total`. tries: beginnings that got no further than `reached` epochs. heard: the last sign of
    life, by the monotonic clock. began, ended: when, in seconds that the search had taken; began: its last try.
    reason: why it failed.
    """

    worker: str = ""
    losses: list[float] = field(default_factory=list)
    epochs: int = 0
    total: int = 0
    reached: int = -1
    tries: int = 0
    heard: float = 0.0
    began: float = 0.0
    ended: float | None = None
    reason: str = ""

    @property
    def is_stopped(self) -> bool:
        """Whether the median rule ended it before its last epoch."""
        return self.ended is not None and self.epochs < self.total

    @property
    def seconds(self) -> float:
        """Of its last try; 0 before its end."""
        return 0.0 if self.ended is None else self.ended - self.began


def carried(hyperparameters: keras_tuner.HyperParameters) -> str:
    """What the chief says of the search, as JSON text."""
    return next(of.value for of in hyperparameters.space if of.name == SEARCH)


class Bookkeeping(keras_tuner.Oracle):
    """What the three oracles have in common. Mixed in before one of keras-tuner's."""

    def __init__(self, space: Space, **options: Any) -> None:
        super().__init__(**options)
        self.space = space
        self.tune: Tune = space.base.tune
        self.max_trials = None  # the limit is ours: with theirs, raising it on resuming changes how trials are named
        self.records: dict[str, Record] = {}
        self.is_over = False  # whether a worker was told so
        self.trouble: OSError | None = None  # of writing
        self.verbose = 0
        self._spent = 0.0  # seconds, in earlier sittings
        self._sat_down = time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds that the search has taken, breaks left out."""
        return self._spent + time.monotonic() - self._sat_down

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """A trial for a worker: one that another has lost, or a new one, or word to wait or that it is over."""
        self.release(tuner_id)  # of the process that had this name and died
        self._give_up_on_stuck_trials()
        trial = super().create_trial(tuner_id) if self.has_work else Trial(self.get_space(), status=TrialStatus.STOPPED)
        if trial.status == TrialStatus.RUNNING:
            self._hand_out(trial, tuner_id)
        if trial.status == TrialStatus.STOPPED:
            self.tuner_ids.discard(tuner_id)
            if self.ongoing_trials:  # whose workers may die yet
                trial.status = TrialStatus.IDLE
                self.tuner_ids.add(tuner_id)
            else:
                self.is_over = True
        return trial

    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        """Hear of an epoch, `{epochs, total}`, of a fold, `{fold_loss}`, of the objective at the end, or of a failure.

        The answer has the status STOPPED where the worker should leave off.
        """
        trial, record = self.trials[trial_id], self.records[trial_id]
        record.heard = time.monotonic()
        leave_off = Trial(trial.hyperparameters, trial_id, TrialStatus.STOPPED)
        if trial_id in self.end_order:  # by another worker, after this one had been given up
            return leave_off
        if trial_id in self._retry_queue:  # this worker outlived a stop of the chief
            self._retry_queue.remove(trial_id)
            self.ongoing_trials[record.worker] = trial
        if "epochs" in metrics:
            record.epochs, record.total = int(metrics["epochs"]), int(metrics["total"])
            return trial
        if "fold_loss" in metrics:
            record.losses[step:] = [metrics["fold_loss"]]
            self.save()
            return leave_off if self._is_hopeless(trial_id) else trial
        for name in metrics:
            if name.startswith(BECAUSE):
                record.reason = name.removeprefix(BECAUSE)
                return trial
        return super().update_trial(trial_id, metrics, step)

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Enter a trial's end, once."""
        if trial.trial_id in self.end_order:
            return
        if trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
        record = self.records[trial.trial_id]
        record.ended = self.spent
        trial.message = record.reason or None
        super().end_trial(trial)

    @keras_tuner.synchronized
    def get_trial(self, trial_id: str) -> Trial:
        """The trial; workers also call it as a sign of life."""
        if trial_id in self.records:
            self.records[trial_id].heard = time.monotonic()
        return super().get_trial(trial_id)

    @keras_tuner.synchronized
    def release(self, tuner_id: str) -> None:
        """Take the trial of a worker that died: the next one to ask goes on with it."""
        self.tuner_ids.discard(tuner_id)
        trial = self.ongoing_trials.pop(tuner_id, None)
        if trial is not None and trial.trial_id not in self.end_order:
            self._retry_queue.append(trial.trial_id)
            self.save()

    @keras_tuner.synchronized
    def release_silent(self, patience: float) -> list[str]:
        """Take the trials of workers that gave no sign of life for `patience` seconds, and name the workers."""
        deadline = time.monotonic() - patience
        silent = [of for of, trial in self.ongoing_trials.items() if self.records[trial.trial_id].heard < deadline]
        for tuner_id in silent:
            self.release(tuner_id)
        return silent

    @property
    def has_work(self) -> bool:
        """Whether a worker could still be given a trial, as far as the number of trials and the time say."""
        full = self.tune.trials is not None and len(self.trials) >= self.tune.trials
        return bool(self._retry_queue) or not (full or self._is_time_up())

    @property
    def is_done(self) -> bool:
        """Whether a worker was told that it is over, and every trial has ended."""
        return self.is_over and not self.ongoing_trials and not self._retry_queue

    @keras_tuner.synchronized
    def books(self) -> list[tuple[Trial, Record]]:
        """Every trial with its record, in the order of their beginnings."""
        return [(self.trials[trial_id], self.records[trial_id]) for trial_id in self.start_order]

    def get_state(self) -> dict[str, Any]:
        records = {trial_id: asdict(record) for trial_id, record in self.records.items()}
        return super().get_state() | {"records": records, "spent": self.spent}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.records = {trial_id: Record(**record) for trial_id, record in state["records"].items()}
        self._spent = state["spent"]

    def save(self) -> None:
        self.write(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        self.write(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def write(self, path: Path, state: dict[str, Any]) -> None:
        """Write a file of the books; what is refused is raised by `check`."""
        try:
            write_json(path, state)
        except OSError as error:  # mostly in a thread of gRPC's, where nobody would hear of it
            self.trouble = error

    def check(self) -> None:
        """Raises: OSError where the books could not be written."""
        if self.trouble:
            raise self.trouble

    def reload(self) -> None:
        """Take up the books of an earlier sitting; what ran when it ended waits for a worker.

        Raises:
            UserError: they are damaged.
        """
        try:
            for path in Path(self._project_dir).glob("**/*.json"):
                if is_altered(path.read_bytes()):
                    raise ValueError(path.relative_to(self._project_dir))
            super().reload()
            for trial_id in {*self.trials, *self.records, *self.start_order, *self.end_order}:
                if not re.fullmatch(r"[0-9]+", trial_id):  # it is part of a file's name
                    raise ValueError(f"trial '{trial_id}'")
            self.trials = {trial_id: self.trials[trial_id] for trial_id in self.start_order}  # not one entered by half
            self.records = {trial_id: self.records.get(trial_id, Record()) for trial_id in self.start_order}
        except Exception as error:  # damaged books fail in a dozen ways, all of them this one
            raise UserError(
                f"{self._project_dir}: the books of the search are damaged ({shown(str(error))}); delete the folder, "
                "or search anew with another RUN="
            ) from None
        for trial_id, trial in self.trials.items():
            if trial.status in ENDED and trial_id not in self.end_order:
                self.end_order.append(trial_id)
                self.records[trial_id].ended = self.spent
        self._retry_queue = [trial_id for trial_id in self.start_order if trial_id not in self.end_order]
        for trial_id in self._retry_queue:
            self.records[trial_id].tries = 0  # the whole search was stopped, which says nothing about the trial

    def _hand_out(self, trial: Trial, tuner_id: str) -> None:
        record = self.records.setdefault(trial.trial_id, Record())
        if record.epochs > record.reached:
            record.reached, record.tries = record.epochs, 0
        record.tries += 1
        record.worker, record.heard, record.began = tuner_id, time.monotonic(), self.spent
        self.save()

    def _give_up_on_stuck_trials(self) -> None:
        """Fail the trials whose worker died twice at the same place: they may well be the reason."""
        for trial_id in list(self._retry_queue):
            record = self.records[trial_id]
            if record.tries >= MOST_TRIES and record.epochs <= record.reached:
                trial = self.trials[trial_id]
                trial.status = TrialStatus.FAILED
                record.reason = f"its worker died {record.tries} times after {record.epochs} epochs"
                self.end_trial(trial)

    def _is_time_up(self) -> bool:
        """Whether a trial that is begun now would probably end too late."""
        if self.tune.hours is None:
            return False
        past = [record.seconds for record in self.records.values() if record.ended]
        return self.spent + (statistics.median(past) if past else 0.0) > 3600 * self.tune.hours

    def _is_hopeless(self, trial_id: str) -> bool:
        if not self.tune.median_rule or isinstance(self, keras_tuner.oracles.HyperbandOracle):
            return False
        through = [record.losses for record in self.records.values() if record.ended and not record.is_stopped]
        losses = self.records[trial_id].losses
        return len(losses) < self.tune.folds and is_hopeless(losses, [of for of in through if of])

    def _random_values(self) -> dict[str, Any] | None:
        """Random values; the first of all trials gets those of the base config, where its ranges hold them."""
        own = None if self.trials else self.space.own_values()
        if own is None:
            return super()._random_values()
        return own | {SEARCH: carried(self.get_space())}


class RandomSearch(Bookkeeping, keras_tuner.oracles.RandomSearchOracle):
    pass


class Bayesian(Bookkeeping, keras_tuner.oracles.BayesianOptimizationOracle):
    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """As keras-tuner's, with random values in the place of values that were tried before."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the Gaussian process, about its own kernel
            proposed = super().populate_space(trial_id)
        if proposed["values"] is not None and self._duplicate(proposed["values"]):
            return self._random_populate_space()
        return proposed


class Hyperband(Bookkeeping, keras_tuner.oracles.HyperbandOracle):
    pass


def open_books(space: Space, search: dict[str, Any]) -> Bookkeeping:
    """The oracle that the base config asks for.

    Args:
        space: what is searched.
        search: plain values that travel to every worker with each trial.
    """
    tune = space.base.tune
    hyperparameters = keras_tuner.HyperParameters()
    space.declare(hyperparameters)
    hyperparameters.Fixed(SEARCH, json.dumps(search, sort_keys=True))
    options = {
        "objective": keras_tuner.Objective(tune.objective, OBJECTIVES[tune.objective]),
        "hyperparameters": hyperparameters,
        "allow_new_entries": False,
        "tune_new_entries": False,
        "seed": as_int(derive(space.base.seed, "tune", "oracle")),
        "max_consecutive_failed_trials": None,  # keras-tuner's way of stopping leaves its lock closed
    }
    return TUNERS[tune.tuner](space, options)


def _bayesian(space: Space, options: dict[str, Any]) -> Bookkeeping:
    return Bayesian(space, num_initial_points=len(space.ranges) + 1, **options)


def _hyperband(space: Space, options: dict[str, Any]) -> Bookkeeping:
    tune = space.base.tune
    sweeps = 1 if tune.trials is None and tune.hours is None else None  # None: until something else ends it
    epochs = space.base.training.epochs
    return Hyperband(space, max_epochs=epochs, factor=tune.factor, hyperband_iterations=sweeps, **options)


def _random(space: Space, options: dict[str, Any]) -> Bookkeeping:
    return RandomSearch(space, **options)


TUNERS = {"bayesian": _bayesian, "hyperband": _hyperband, "random": _random}
