"""One fold of one trial: a config's networks trained on the other folds and scored on the rows that they never saw."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import softmax

from digits.config import Config
from digits.data import Rows
from digits.ensemble import calibration, metrics
from digits.errors import UserError
from digits.seeds import derive
from digits.training import backend
from digits.workers import messages


@dataclass(frozen=True)
class FoldJob:
    """One fold of a trial to score in a worker process.

    trial: names it in its progress. fold: that is held out. epochs: trained in earlier folds. folder: for checkpoints;
    None where no later call sees it. pipe: takes the progress; None prints it. seconds: that are left.
    """

    trial: str
    config: Config
    fold: int
    epochs: int = 0
    folder: Path | None = None
    pipe: Path | None = None
    seconds: float = math.inf


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
        means = [(float(row.mean()), float(row.std(ddof=1)) / math.sqrt(len(row))) for row in (losses, right)]
        return cls(len(losses), *means[0], *means[1], seconds)

    def loss(self, objective: str) -> float:
        """The objective, lower is better."""
        return self.log_loss if objective == "log_loss" else 1 - self.accuracy


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


def score_fold(job: FoldJob, rows: Rows, folds: np.ndarray) -> Score | str:
    """Score one fold, or say why it failed.

    Raises:
        OSError: the disk refuses, which is no fault of the trial.
    """
    if job.folder is None:
        with tempfile.TemporaryDirectory() as name:
            return score_fold(replace(job, folder=Path(name)), rows, folds)
    try:
        backend.start(job.config.training.threads)
        return _score(job, rows, folds)
    except OSError:
        raise
    except messages.OutOfTime:
        return f"took more than {job.config.tune.trial_minutes:g} minutes (tune.trial_minutes)"
    except UserError as error:
        return str(error)
    except MemoryError:
        return "out of memory"
    except Exception as error:  # a bug of ours or of a library: the search continues, and says why this trial did not
        first = next(iter(str(error).splitlines()), "")
        return f"{type(error).__name__}: {first[:300]}"


def _score(job: FoldJob, rows: Rows, folds: np.ndarray) -> Score:
    """Train one network of each architecture without the fold's rows; score their mean probabilities on these.

    Every trial of a search starts its networks from the same seeds, so that configs are compared and not draws.
    """
    from digits.training import loop

    config, until = job.config, time.monotonic() + job.seconds
    split = rows.hold_out(folds, job.fold)
    held_out = rows.take(split.held_out)
    probabilities, seconds = [], 0.0
    with messages.sender(job.pipe) as send:
        for number, architecture in enumerate(config.architectures):
            seed = derive(config.seed, "tune", architecture.label, job.fold)
            checkpoint = job.folder / f"fold-{job.fold}-{architecture.label}.npz"
            epochs = job.epochs + number * config.training.epochs
            with messages.Reporter(job.trial, send, until, epochs) as reporter:
                network = loop.train(architecture, config, split, seed, checkpoint, reporter)
            seconds += float(network.history[:, loop.HISTORY.index("seconds")].sum())
            logits, _ = loop.predict_with(network.predict, held_out.images, config.tta)
            probabilities.append(_calibrated(logits, held_out.targets, seed))
    mean = np.mean(probabilities, axis=0)
    if not np.isfinite(mean).all():
        raise UserError("the network's probabilities are no numbers")
    return Score.of(metrics.log_losses(mean, held_out.targets), mean.argmax(axis=1) == held_out.targets, seconds)


def _calibrated(logits: np.ndarray, targets: np.ndarray, seed: np.random.SeedSequence) -> np.ndarray:
    """Probabilities (n, classes) whose temperature comes, for each half of the rows, from the other half.

    Without it, label smoothing would be judged by how sure it leaves a network instead of by what it chooses.
    """
    half = np.random.default_rng(derive(seed, "halves")).permutation(len(targets)) % 2
    probabilities = np.empty(logits.shape)
    for side in (0, 1):
        temperature = calibration.temperature(logits[half != side], targets[half != side])
        probabilities[half == side] = softmax(logits[half == side].astype(np.float64) / temperature, axis=1)
    return probabilities
