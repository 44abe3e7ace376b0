"""One trial: a config's networks trained on inner folds and scored on the rows that they never saw.

A trial runs in a process of its own, so that a search of any length needs the memory of one trial, and one
that the system kills takes nothing else along.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from digits import data
from digits.config import Config
from digits.data import Dataset, Rows
from digits.ensemble import calibration, metrics
from digits.errors import UserError, plain
from digits.files import records
from digits.seeds import as_int, derive
from digits.training import backend

GAVE_UP = 2  # status of a worker process that says why in its last line


@dataclass(frozen=True, eq=False)
class Job:
    """What a trial's process needs.

    config: of the trial. rows: to learn from and to score. folds: int64 (n,), of each row. scored: the folds that
    are held out in turn. folder: for checkpoints and the scores of finished folds, so that a killed trial goes on.
    """

    config: Config
    rows: Rows
    folds: np.ndarray
    scored: range
    folder: Path


@dataclass(frozen=True)
class Score:
    """The held-out rows of one fold, or of several: means over the rows and their standard errors."""

    rows: int
    log_loss: float
    log_loss_se: float
    accuracy: float
    accuracy_se: float
    seconds: float

    @classmethod
    def of(cls, losses: np.ndarray, right: np.ndarray, seconds: float) -> Score:
        """losses: float (n,), in nats. right: bool (n,). seconds: that training took."""
        values = [float(value) for of in (losses, right) for value in (of.mean(), of.std(ddof=1) / math.sqrt(len(of)))]
        return cls(len(losses), *values, seconds)


def combine(folds: list[Score]) -> Score:
    """The mean over the folds, as if each had as many rows; seconds are added up.

    The standard error is that of scoring so many rows; that of another draw of the training rows is larger.
    """
    count = len(folds)
    return Score(
        sum(fold.rows for fold in folds),
        sum(fold.log_loss for fold in folds) / count,
        math.hypot(*(fold.log_loss_se for fold in folds)) / count,
        sum(fold.accuracy for fold in folds) / count,
        math.hypot(*(fold.accuracy_se for fold in folds)) / count,
        sum(fold.seconds for fold in folds),
    )


def search_rows(config: Config, dataset: Dataset, outer: int | None) -> tuple[Rows, np.ndarray]:
    """The rows that a search may see, and the inner fold of each: int64 (n,).

    Args:
        config: says how many rows and folds.
        dataset: of the search.
        outer: the fold of `config.folds` whose rows the search must not see; None searches on all.
    """
    images, labels = dataset.train_images, dataset.train_labels
    chosen = np.arange(len(labels))
    if outer is not None:
        chosen = chosen[data.assign(images, labels, config.folds.count, config.seed) != outer]
    wanted = config.tune.rows
    if wanted is not None and wanted < len(chosen):
        from sklearn.model_selection import train_test_split

        state = as_int(derive(config.seed, "tune", "rows"))
        chosen = np.sort(train_test_split(chosen, train_size=wanted, stratify=labels[chosen], random_state=state)[0])
    seed = as_int(derive(config.seed, "tune", "folds"))  # not the folds that the tuned config is scored with
    return Rows(images, dataset.targets).take(chosen), data.assign(
        images[chosen], labels[chosen], config.tune.folds, seed
    )


def evaluate(job: Job, tell: Callable[[dict[str, Any]], None]) -> None:
    """Train and score the folds that are not scored yet; `tell` hears of every epoch and of every fold's score.

    Every trial of a search starts its networks from the same seeds, so that configs are compared and not draws.

    Raises:
        UserError: the loss diverged, or the config cannot be built.
    """
    backend.start(job.config.training.threads)
    epochs = len(job.config.architectures) * job.config.training.epochs  # of a fold
    for number, fold in enumerate(job.scored):
        done = job.folder / f"fold-{fold}.json"
        score = _read_score(done)
        if score is None:
            score = _score_fold(job, number, fold, tell)
            records.write_json(done, vars(score))
        tell({"epochs": (number + 1) * epochs, "total": len(job.scored) * epochs})  # some were trained before a kill
        tell({"fold": number, "score": score})


def _read_score(path: Path) -> Score | None:
    """The score of a finished fold; None where it is missing or damaged, and the fold is scored again."""
    try:
        return Score(**records.read_json(path))
    except (UserError, TypeError):
        return None


def _score_fold(job: Job, number: int, fold: int, tell: Callable[[dict[str, Any]], None]) -> Score:
    """Train one network of each architecture without the fold's rows; their mean probabilities are scored on them."""
    from digits.training import loop

    config = job.config
    learned, judged = np.flatnonzero(job.folds != fold), np.flatnonzero(job.folds == fold)
    held_out = job.rows.take(judged)
    beliefs, seconds = [], 0.0
    for place, architecture in enumerate(config.architectures):
        before = (number * len(config.architectures) + place) * config.training.epochs
        checkpoint = job.folder / f"fold-{fold}-{architecture.label}.npz"
        seed = derive(config.seed, "tune", architecture.label, fold)
        network = loop.train(
            architecture,
            config.training,
            config.augmentation,
            int(job.rows.targets.max()) + 1,
            job.rows,
            learned,
            judged,
            seed,
            checkpoint,
            _Epochs(before, len(job.scored) * len(config.architectures) * config.training.epochs, tell),
        )
        seconds += float(network.history[:, loop.HISTORY.index("seconds")].sum())
        logits, _ = loop.predict_with(network.predict, held_out.images, config.tta)
        beliefs.append(_calibrated(logits, held_out.targets, seed))
    chances = np.mean(beliefs, axis=0)
    if not np.isfinite(chances).all():
        raise UserError("the network's probabilities are no numbers")
    return Score.of(metrics.log_losses(chances, held_out.targets), chances.argmax(axis=1) == held_out.targets, seconds)


def _calibrated(logits: np.ndarray, targets: np.ndarray, seed: np.random.SeedSequence) -> np.ndarray:
    """Probabilities (n, classes) whose temperature comes, for each half of the rows, from the other half.

    Without it, label smoothing would be judged by how sure it leaves a network instead of by what it chooses.
    """
    half = np.random.default_rng(derive(seed, "halves")).permutation(len(targets)) % 2
    chances = np.empty(logits.shape)
    for side in (0, 1):
        temperature = calibration.temperature(logits[half != side], targets[half != side])
        chances[half == side] = softmax(logits[half == side].astype(np.float64) / temperature, axis=1)
    return chances


@dataclass(frozen=True)
class _Epochs:
    """A `training.Report` that tells how much of the whole trial is done."""

    before: int
    total: int
    tell: Callable[[dict[str, Any]], None]

    def within(self, epoch: int, share: float) -> None:
        pass

    def after(self, row: dict[str, float], images: int) -> None:
        done = self.before + int(row["epoch"])
        self.tell({"epochs": done, "total": self.total})


def score_once(job: Job) -> Score:
    """The score of a job, in this process; one that was scored before is not scored again."""
    told: list[dict[str, Any]] = []
    evaluate(job, told.append)
    return combine([of["score"] for of in told if "score" in of])


class Nursery:
    """Forks a process for each trial from one that has imported TensorFlow already: a small trial takes less time
    than that import.

    Must be made before this process talks to anybody through gRPC, whose threads a fork would not survive.

    Raises:
        EOFError, BrokenPipeError: every method, once that process is gone.
    """

    def __init__(self) -> None:
        context = get_context("fork")
        (jobs, self._jobs), (self._told, told), (self._ends, ends) = (context.Pipe(duplex=False) for _ in range(3))
        ours, theirs = (self._jobs, self._told, self._ends), (jobs, told, ends)
        self._process = context.Process(target=_serve, args=(ours, *theirs), daemon=True)
        self._process.start()
        for connection in theirs:
            connection.close()
        self._pid: int | None = None  # of the running trial

    def begin(self, job: Job) -> None:
        """Run a trial; the one before must have been ended."""
        self._jobs.send(job)
        self._pid = self._ends.recv()

    def hear(self, patience: float) -> dict[str, Any] | None:
        """What the trial tells next, see `evaluate`; None after so many seconds of silence.

        At last comes `{"done": True}`, `{"failed": reason}`, `{"killed": signal}`, or `{"refused": line}` where the
        machine is to blame.
        """
        ready = wait([self._told, self._ends], patience)
        if self._told in ready or self._told.poll():
            return self._told.recv()
        if not ready:
            return None
        self._pid, status = None, self._ends.recv()
        return {"killed": -status} if status < 0 else {"failed": f"its process ended with status {status}"}

    def end(self) -> None:
        """Kill the trial if it still runs, and wait until it is gone."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._pid = None
            self._ends.recv()
        while self._told.poll():
            self._told.recv()


def _serve(others: tuple[Connection, ...], jobs: Connection, told: Connection, ends: Connection) -> None:
    """The nursery's process: forks for each job and waits for its end, until nobody can send any more."""
    for connection in others:
        connection.close()  # else they would outlive the worker
    while True:
        try:
            job = jobs.recv()
        except EOFError:
            return
        pid = os.fork()
        if not pid:
            _run(job, told)
            os._exit(0)
        ends.send(pid)
        ends.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _run(job: Job, pipe: Connection) -> None:
    threading.Thread(target=_end_with_reader, args=(pipe,), daemon=True).start()
    logging.getLogger("digits").setLevel(logging.ERROR)
    try:
        evaluate(job, pipe.send)
        pipe.send({"done": True})
    except UserError as error:
        pipe.send({"failed": str(error)})
    except MemoryError:
        pipe.send({"failed": "out of memory"})
    except OSError as error:  # a disk that refuses is no fault of the trial
        pipe.send({"refused": plain(error) or repr(error)})
    except Exception as error:  # a bug of ours or of a library: the search goes on, and says why this trial did not
        first = next(iter(str(error).splitlines()), "")
        pipe.send({"failed": f"{type(error).__name__}: {first[:300]}"})


def _end_with_reader(pipe: Connection) -> None:
    """End this process as soon as nobody reads the pipe any more."""
    watcher = select.poll()
    watcher.register(pipe.fileno(), 0)  # errors are told whatever is asked for
    watcher.poll()
    os._exit(1)
