"""Calibration error, and accuracy where only the most confident rows are decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from digits.ensemble import metrics
from digits.ensemble.interval import Interval, wilson
from digits.stages.evaluate.predictions import Predictions

BINS = 15  # of the expected calibration error, as in Guo et al., "On Calibration of Modern Neural Networks", 2017
FEWEST = 30  # rows of a bin whose share of mistakes is drawn
DRAWS = 200  # simulations of a perfectly calibrated classifier
NEARLY_ALL = 0.99  # coverage whose accuracy is reported


def equal_mass_edges(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Inner edges of `bins` bins of nearly as many rows each, float (at most bins - 1,); equals stay together."""
    ordered = np.sort(confidence)
    starts = np.arange(1, bins) * len(ordered) // bins
    return np.unique(ordered[starts])


def binned(confidence: np.ndarray, right: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    """Rows in the bins between ascending inner edges; a row on an edge belongs to the bin above it.

    Args:
        confidence: float (n,), of the choice.
        right: bool (n,), whether it was right.
        edges: float (b - 1,).

    Returns:
        For each bin that has rows, the least confident first: rows, mean confidence, accuracy (share that was right),
        and low and high, its 95% interval (Wilson).
    """
    rows = pd.DataFrame({"confidence": confidence, "right": right})
    groups = rows.groupby(np.searchsorted(edges, confidence, side="right"))
    bins = groups.agg(rows=("right", "size"), confidence=("confidence", "mean"), accuracy=("right", "mean"))
    shares = [wilson(int(hits), int(count)) for hits, count in zip(groups["right"].sum(), bins["rows"], strict=True)]
    return bins.assign(low=[share.low for share in shares], high=[share.high for share in shares])


def populated_edges(confidence: np.ndarray, edges: np.ndarray, fewest: int = FEWEST) -> np.ndarray:
    """Those of ascending inner edges, float (at most b,), between which there are `fewest` rows or more."""
    ordered, kept, below = np.sort(confidence), [], 0
    for edge in edges:
        count = int(np.searchsorted(ordered, edge))
        if min(count - below, len(ordered) - count) >= fewest:
            kept.append(float(edge))
            below = count
    return np.array(kept)


def _gap(bins: pd.DataFrame) -> float:
    """Mean distance of confidence and accuracy, each bin with the weight of its rows."""
    return float(np.average((bins["confidence"] - bins["accuracy"]).abs(), weights=bins["rows"]))


@dataclass(frozen=True, eq=False)
class CalibrationError:
    """Distance of the confidence in the choices from their accuracy.

    ece: expected calibration error in bins of equal mass. if_calibrated: what the same rows would show on average if
    every confidence were true; 95% of simulations stay below if_calibrated_high. equal_width: the ECE in as many bins
    of equal width, the form that most papers give. log_loss: mean, in nats. reliability: the bins of equal mass.
    """

    ece: float
    if_calibrated: float
    if_calibrated_high: float
    equal_width: float
    bins: int
    mean_confidence: float
    accuracy: float
    log_loss: float
    reliability: pd.DataFrame


@dataclass(frozen=True)
class Calibration:
    """Calibration errors by step, and the temperatures of the steps. cross_fitted: there is more than one fold."""

    stages: dict[str, CalibrationError]
    temperatures: Mapping[str, Any]
    cross_fitted: bool
    estimator: str = f"ECE of the choices in {BINS} bins of equal mass; if_calibrated: by chance alone"


def calibration_error(predictions: Predictions, seed: int) -> CalibrationError:
    """Mean distance of confidence and accuracy over bins that hold nearly as many rows each.

    With bins of equal width nearly all rows of a good classifier fall into one (K. Nguyen and B. O'Connor, EMNLP 2015,
    for bins of equal mass). The estimator errs in two ways. What lies too high and too low within one bin cancels, so
    it understates. And chance alone moves every bin off its confidence, so it overstates, the more the fewer rows a bin
    has: a perfect classifier does not get 0. What it does get is simulated (consistency resampling, J. Broecker and
    L. A. Smith, Weather and Forecasting 22, 2007); an ECE of that size is no evidence of any miscalibration.
    """
    confidence, right = predictions.confidence, predictions.right
    edges = equal_mass_edges(confidence)
    reliability = binned(confidence, right, edges)
    numbers = np.searchsorted(edges, confidence, side="right")
    expected = np.bincount(numbers, weights=confidence, minlength=len(edges) + 1)
    generator, gaps = np.random.default_rng(seed), np.empty(DRAWS)
    for draw in range(DRAWS):
        hits = np.bincount(numbers, weights=generator.random(len(confidence)) < confidence, minlength=len(expected))
        gaps[draw] = np.abs(hits - expected).sum() / len(confidence)
    return CalibrationError(
        ece=_gap(reliability),
        if_calibrated=float(gaps.mean()),
        if_calibrated_high=float(np.quantile(gaps, 0.95)),
        equal_width=_gap(binned(confidence, right, np.arange(1, BINS) / BINS)),
        bins=BINS,
        mean_confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        log_loss=metrics.log_loss(predictions.probabilities, predictions.targets),
        reliability=reliability,
    )


# --- coverage: what could be left to people ----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CoverageCurve:
    """Accuracy where only the most confident rows are decided; a point wherever the confidence changes.

    rows: decided, int (k,), ascending. accuracy: of these, float (k,). threshold: confidence of the least confident of
    them, float (k,).
    """

    rows: np.ndarray
    accuracy: np.ndarray
    threshold: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Decided rows as shares of all, float (k,)."""
        return self.rows / self.rows[-1]

    def widest(self, accuracy: float) -> int | None:
        """Index of the last point that reaches the accuracy; None where none does."""
        reached = np.flatnonzero(self.accuracy >= accuracy)
        return int(reached[-1]) if len(reached) else None

    def at(self, share: float) -> int:
        """Index of the first point that decides at least this share of the rows."""
        return int(np.argmax(self.shares >= share))


def coverage_curve(confidence: np.ndarray, right: np.ndarray) -> CoverageCurve:
    """Accuracy against coverage: confidence float (n,), right bool (n,). Rows of equal confidence come together."""
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    decided = last + 1
    return CoverageCurve(decided, np.cumsum(right[order])[last] / decided, ordered[last])


@dataclass(frozen=True)
class Selection:
    """Rows whose confidence reaches a threshold that was chosen on other rows: their share of all, their accuracy."""

    coverage: float
    accuracy: Interval


@dataclass(frozen=True)
class Coverage:
    """Share of the rows that can be decided with a promised accuracy: the most confident, from a threshold on.

    threshold: None where the accuracy is never reached. cross_fitted: what the threshold of the other folds gives.
    accuracy_of_nearly_all: of the most confident rows, `nearly_all` their share.
    """

    promised_accuracy: float
    coverage: float
    threshold: float | None
    cross_fitted: Selection | None
    nearly_all: float
    accuracy_of_nearly_all: float


def coverage(predictions: Predictions, promised: float) -> Coverage:
    """Find the rows that can be decided with this accuracy."""
    curve = coverage_curve(predictions.confidence, predictions.right)
    widest, most = curve.widest(promised), curve.at(NEARLY_ALL)
    return Coverage(
        promised_accuracy=promised,
        coverage=0.0 if widest is None else float(curve.shares[widest]),
        threshold=None if widest is None else float(curve.threshold[widest]),
        cross_fitted=cross_fitted_selection(predictions, promised),
        nearly_all=float(curve.shares[most]),
        accuracy_of_nearly_all=float(curve.accuracy[most]),
    )


def cross_fitted_selection(predictions: Predictions, accuracy: float) -> Selection | None:
    """Decide each fold's rows above the threshold that keeps the accuracy on the other folds; None of one fold alone.

    A threshold that is read off the rows that are then scored keeps its promise there by construction.
    """
    confidence, right, folds = predictions.confidence, predictions.right, predictions.folds
    numbers = np.unique(folds)
    if len(numbers) < 2:
        return None
    decided = np.zeros(len(folds), bool)
    for fold in numbers:
        others = coverage_curve(confidence[folds != fold], right[folds != fold])
        point = others.widest(accuracy)
        if point is not None:
            decided |= (folds == fold) & (confidence >= others.threshold[point])
    return Selection(float(decided.mean()), wilson(int(right[decided].sum()), int(decided.sum())))
