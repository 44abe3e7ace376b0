"""Scores by name, and what they say about rows that nobody has scored yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from digits.competition import COMPETITION
from digits.ensemble.interval import LEVEL, Interval, bootstrapped
from digits.errors import UserError

DRAWS = 500  # of rows, for the interval of a score


@dataclass(frozen=True)
class Metric:
    """A score that a competition may ask for.

    label: for sentences. score: of probabilities float (n, c) and targets int (n,).
    """

    label: str
    score: Callable[[np.ndarray, np.ndarray], float]


def accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Share of rows whose most probable class is the target: probabilities (n, c), targets (n,)."""
    return float((probabilities.argmax(axis=1) == targets).mean())


def log_losses(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Negative log probability of each row's target, in nats (n,); probabilities are kept above 1e-15."""
    return -np.log(np.clip(probabilities[np.arange(len(targets)), targets], 1e-15, 1))


def log_loss(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean negative log probability of the targets, in nats."""
    return float(log_losses(probabilities, targets).mean())


def macro_f1(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the classes of the harmonic mean of precision and recall."""
    from sklearn.metrics import f1_score  # takes longer to import than everything else here

    return float(f1_score(targets, probabilities.argmax(axis=1), average="macro", zero_division=0))


METRICS = {
    "accuracy": Metric("accuracy", accuracy),
    "log_loss": Metric("log loss", log_loss),
    "macro_f1": Metric("macro F1", macro_f1),
}


def of_competition() -> Metric:
    """The metric of `competition.py`."""
    if COMPETITION.metric not in METRICS:
        raise UserError(f"competition.py: unknown metric '{COMPETITION.metric}'; known: {', '.join(METRICS)}")
    return METRICS[COMPETITION.metric]


def confusion(targets: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """Rows by class and choice, int (classes, classes), from int (n,) each."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (targets, chosen), 1)
    return counts


def resampled(
    metric: Metric, probabilities: np.ndarray, targets: np.ndarray, generator: np.random.Generator
) -> Interval:
    """Score of some rows with the interval of a bootstrap over them: probabilities (n, c), targets (n,)."""
    rows = len(targets)
    samples = (generator.integers(0, rows, rows) for _ in range(DRAWS))
    scores = np.array([metric.score(probabilities[sample], targets[sample]) for sample in samples])
    return bootstrapped(metric.score(probabilities, targets), scores)


def predict_score(correct: int, scored: int, unseen: int, gain: float = 0.0) -> Interval:
    """Expected test accuracy with its interval, from out-of-fold rows.

    The interval is that of a beta-binomial: it covers the chance in which rows were scored (Jeffreys
    posterior of the true accuracy) and the chance in which test rows were drawn, both from one
    population. It does not cover a test set that differs from the training rows.

    correct: right ones of the `scored` out-of-fold rows. unseen: test rows. gain: accuracy that the test ensemble is
    expected to add, see `fold_gain`.
    """
    from scipy.stats import betabinom  # takes long to import, too

    expected = min(correct / scored + gain, 1.0)
    right = expected * scored + 0.5
    wrong = (1 - expected) * scored + 0.5
    low, high = betabinom.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], unseen, right, wrong) / unseen
    return Interval(expected, float(low), float(high))


def fold_gain(by_fold: np.ndarray, ensemble: np.ndarray, beliefs: np.ndarray) -> float:
    """Accuracy that averaging over the folds adds on the test rows, estimated without labels.

    An out-of-fold row is predicted by one fold's networks, a test row by those of all folds. Where a fold
    disagrees with the ensemble, the probabilities of all networks together say how much more often the
    ensemble's choice is right. It is exact in expectation where these are calibrated.

    Args:
        by_fold: the class that each fold's networks choose, int (folds, n).
        ensemble: the class that all of them choose together, int (n,).
        beliefs: probabilities of all networks together, float (n, classes), whatever rule made the choices.
    """
    rows = np.arange(len(ensemble))
    return float(beliefs[rows, ensemble].mean() - np.mean([beliefs[rows, fold].mean() for fold in by_fold]))
