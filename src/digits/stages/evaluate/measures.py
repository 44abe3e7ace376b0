"""How good predictions are, digit by digit; how far their probabilities can be believed; what an ensemble adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from digits.ensemble.interval import Interval, wilson

BINS = 15  # of the expected calibration error, as in Guo et al., "On Calibration of Modern Neural Networks", 2017
DRAWS = 200  # of what a perfectly calibrated classifier would show


# --- digit by digit ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digit:
    """How one class fares: the rows that have its label, those that were taken for it, and the scores of both."""

    support: int
    predicted: int
    precision: Interval
    recall: Interval
    f1: Interval


def by_digit(counts: np.ndarray) -> list[Digit]:
    """The scores of every class of a confusion matrix, int (classes, classes), a row a label."""
    hits, support, predicted = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return [
        Digit(of, said, wilson(right, said), wilson(right, of), f1(right, said - right, of - right))
        for right, of, said in zip(hits.tolist(), support.tolist(), predicted.tolist(), strict=True)
    ]


def f1(hits: int, false_positives: int, false_negatives: int) -> Interval:
    """The harmonic mean of precision and recall, with its interval.

    F1 = 2 J / (1 + J), J being the share of hits among the rows that have the label, were taken for it, or both. Of
    that many rows the hits are binomial, and F1 grows with J: so Wilson's interval of J, brought over to F1, is one of
    F1. It needs no bootstrap, which says 1 to 1 where there is no mistake.
    """
    share = wilson(hits, hits + false_positives + false_negatives)
    return Interval(*(2 * value / (1 + value) for value in (share.value, share.low, share.high)))


@dataclass(frozen=True)
class Pair:
    """Two classes, `first` < `second`, and how many rows of the one were taken for the other."""

    first: int
    second: int
    first_as_second: int
    second_as_first: int

    @property
    def rows(self) -> int:
        return self.first_as_second + self.second_as_first


def confused_pairs(counts: np.ndarray) -> list[Pair]:
    """Every pair of classes of a confusion matrix that was ever confused, the most often confused first."""
    pairs = [
        Pair(first, second, int(counts[first, second]), int(counts[second, first]))
        for first in range(len(counts))
        for second in range(first + 1, len(counts))
    ]
    return sorted((pair for pair in pairs if pair.rows), key=lambda pair: -pair.rows)


# --- calibration -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Bins:
    """Rows in bins of confidence, the least confident first; bins without rows are left out.

    rows: int (b,). confidence: mean of each bin, float (b,). accuracy: share that was right, float (b,). low, high: its
    95 % interval (Wilson), float (b,).
    """

    rows: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def gap(self) -> float:
        """The mean distance of confidence and accuracy, each bin with the weight of its rows."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.rows))


def equal_mass_edges(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The inner edges of `bins` bins of nearly as many rows each, float (at most bins - 1,); equals stay together."""
    ordered = np.sort(confidence)
    starts = np.arange(1, bins) * len(ordered) // bins
    return np.unique(ordered[starts])


def binned(confidence: np.ndarray, right: np.ndarray, edges: np.ndarray) -> Bins:
    """Rows in the bins between ascending inner edges; a row on an edge belongs to the bin above it.

    Args:
        confidence: float (n,), of the choice.
        right: bool (n,), whether it was right.
        edges: float (b - 1,).
    """
    numbers = np.searchsorted(edges, confidence, side="right")
    rows = np.bincount(numbers, minlength=len(edges) + 1)
    sums = [np.bincount(numbers, weights=of, minlength=len(rows))[rows > 0] for of in (confidence, right)]
    rows = rows[rows > 0]
    shares = [wilson(round(hits), count) for hits, count in zip(sums[1], rows.tolist(), strict=True)]
    low, high = np.array([[share.low, share.high] for share in shares]).T
    return Bins(rows, sums[0] / rows, sums[1] / rows, low, high)


@dataclass(frozen=True)
class CalibrationError:
    """The expected calibration error (ECE) of top choices.

    ece: in bins of equal mass. if_calibrated: the mean of what the same rows would show if every confidence were true.
    if_calibrated_high: what 95 % of such draws stay below. equal_width: the ECE in as many bins of equal width, the
    form that most papers give.
    """

    ece: float
    if_calibrated: float
    if_calibrated_high: float
    equal_width: float
    bins: int


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, generator: np.random.Generator, bins: int = BINS
) -> CalibrationError:
    """The mean distance of confidence and accuracy over bins that hold nearly as many rows each.

    With bins of equal width nearly all rows of a good classifier fall into one (K. Nguyen and B. O'Connor, EMNLP 2015,
    for bins of equal mass). The estimator errs in two ways. What lies too high and too low within one bin cancels, so
    it understates. And chance alone moves every bin off its confidence, so it overstates, the more the fewer rows a bin
    has: a perfect classifier does not get 0. How much it does get is drawn here (consistency resampling, J. Broecker
    and L. A. Smith, Weather and Forecasting 22, 2007); an ECE of that size is no evidence of any miscalibration.

    Args:
        confidence: float (n,), the probability of the choice.
        right: bool (n,), whether it was right.
        generator: of those draws.
        bins: how many.
    """
    edges = equal_mass_edges(confidence, bins)
    numbers = np.searchsorted(edges, confidence, side="right")
    expected = np.bincount(numbers, weights=confidence, minlength=len(edges) + 1)
    gaps = np.empty(DRAWS)
    for place in range(DRAWS):
        drawn = np.bincount(numbers, weights=generator.random(len(confidence)) < confidence, minlength=len(expected))
        gaps[place] = np.abs(drawn - expected).sum() / len(confidence)
    return CalibrationError(
        binned(confidence, right, edges).gap,
        float(gaps.mean()),
        float(np.quantile(gaps, 0.95)),
        binned(confidence, right, np.arange(1, bins) / bins).gap,
        bins,
    )


# --- what could be left to people --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Coverage:
    """What accuracy is where only the most confident rows are judged; a point wherever the confidence changes.

    rows: judged, int (k,), ascending. accuracy: of these, float (k,). threshold: the least confident of them,
    float (k,).
    """

    rows: np.ndarray
    accuracy: np.ndarray
    threshold: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Judged rows as shares of all, float (k,)."""
        return self.rows / self.rows[-1]

    def widest(self, accuracy: float) -> int | None:
        """The last point at which the accuracy is reached; None where it never is."""
        reached = np.flatnonzero(self.accuracy >= accuracy)
        return int(reached[-1]) if len(reached) else None

    def at(self, share: float) -> int:
        """The first point that judges at least this share of the rows."""
        return int(np.argmax(self.shares >= share))


def coverage(confidence: np.ndarray, right: np.ndarray) -> Coverage:
    """Accuracy against coverage: confidence float (n,), right bool (n,). Rows of equal confidence come together."""
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    judged = last + 1
    return Coverage(judged, np.cumsum(right[order])[last] / judged, ordered[last])


@dataclass(frozen=True)
class Selected:
    """The rows whose confidence reaches a threshold that was chosen on other rows: their share of all, how accurate."""

    coverage: float
    accuracy: Interval


def cross_fitted_selection(
    confidence: np.ndarray, right: np.ndarray, folds: np.ndarray, accuracy: float
) -> Selected | None:
    """What becomes of a promised accuracy: each fold is judged above the threshold that keeps it on the other folds.

    A threshold that is read off the rows that are then scored keeps its promise there by construction.

    Args:
        confidence: float (n,).
        right: bool (n,).
        folds: int (n,).
        accuracy: that the threshold shall keep.

    Returns:
        None where there is one fold alone.
    """
    numbers = np.unique(folds)
    if len(numbers) < 2:
        return None
    judged = np.zeros(len(folds), bool)
    for fold in numbers:
        others = coverage(confidence[folds != fold], right[folds != fold])
        point = others.widest(accuracy)
        if point is not None:
            judged[folds == fold] = confidence[folds == fold] >= others.threshold[point]
    return Selected(float(judged.mean()), wilson(int(right[judged].sum()), int(judged.sum())))


# --- members and the ensemble ------------------------------------------------------------------------------


def agreement(choices: np.ndarray) -> np.ndarray:
    """The share of equal choices of every pair of members, float (m, m).

    Args:
        choices: int (m, n), negative where a member has not judged a row; NaN where two have no row in common.
    """
    shares = np.full((len(choices), len(choices)), np.nan)
    for (one, other), _ in np.ndenumerate(shares):
        common = (choices[one] >= 0) & (choices[other] >= 0)
        if common.any():
            shares[one, other] = (choices[one, common] == choices[other, common]).mean()
    return shares


def mean_agreement(shares: np.ndarray) -> float | None:
    """The mean over all pairs that have rows in common; None where there is none."""
    pairs = shares[np.triu_indices(len(shares), 1)]
    known = pairs[np.isfinite(pairs)]
    return float(known.mean()) if len(known) else None


@dataclass(frozen=True)
class Rescue:
    """One member against the ensemble, on the rows that it judged.

    rescued: rows that the ensemble got right and it did not. spoilt: rows that it got right and the ensemble did not.
    """

    rows: int
    mistakes: int
    rescued: int
    spoilt: int


def rescue(chosen: np.ndarray, ensemble: np.ndarray, targets: np.ndarray) -> Rescue:
    """Count what the ensemble rescued and spoilt: int (n,) each, on the rows that the member judged."""
    alone, together = chosen == targets, ensemble == targets
    return Rescue(len(targets), int((~alone).sum()), int((together & ~alone).sum()), int((alone & ~together).sum()))


def total(rescues: Sequence[Rescue]) -> Rescue:
    """Members of several folds taken together."""
    fields = ("rows", "mistakes", "rescued", "spoilt")
    return Rescue(*(sum(getattr(of, field) for of in rescues) for field in fields))


def grouped(rescues: Mapping[str, Rescue], groups: Mapping[str, str]) -> dict[str, Rescue]:
    """The totals of members by group: `groups` gives each member's."""
    return {
        name: total([of for member, of in rescues.items() if groups[member] == name])
        for name in dict.fromkeys(groups.values())
    }
