"""Measures of predictions: scores by class, calibration and coverage, and what an ensemble adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from digits.ensemble import metrics
from digits.ensemble.interval import Interval, wilson

BINS = 15  # of the expected calibration error, as in Guo et al., "On Calibration of Modern Neural Networks", 2017
FEWEST = 30  # rows of a bin whose share of mistakes is drawn
DRAWS = 200  # simulations of a perfectly calibrated classifier
PROMISED = 0.999  # accuracy whose coverage is reported
NEARLY_ALL = 0.99  # coverage whose accuracy is reported
RAW, SCALED, SHARPENED = "unscaled", "scaled by architecture", "also as an ensemble"  # steps of calibration

Label = int | str


@dataclass(frozen=True, eq=False)
class Predictions:
    """The ensemble's predictions for the out-of-fold rows.

    rows: row numbers, int (n,), ascending. folds: int (n,). targets, chosen: class indices, int (n,). probabilities:
    float (n, c); where the ensemble votes, those of the mean.
    """

    rows: np.ndarray
    folds: np.ndarray
    targets: np.ndarray
    chosen: np.ndarray
    probabilities: np.ndarray

    @cached_property
    def right(self) -> np.ndarray:
        """Each row's choice is its label, bool (n,)."""
        return self.chosen == self.targets

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of each row's choice, float (n,)."""
        return self.probabilities[np.arange(len(self.rows)), self.chosen]

    @cached_property
    def second(self) -> np.ndarray:
        """The most probable class other than each row's choice, int (n,)."""
        others = self.probabilities.copy()
        others[np.arange(len(self.rows)), self.chosen] = -1
        return others.argmax(axis=1)

    @cached_property
    def mistakes(self) -> np.ndarray:
        """Indices of the wrong rows, the most confident first, int (w,)."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Measures of a run's out-of-fold predictions; `to_record` turns them into JSON.

    labels: of all classes. confusion: rows by label and choice, int (c, c). confused: the most often confused pair
    first. agreement: of the members on the test rows, and of each architecture and seed on the out-of-fold rows.
    """

    folds: int
    rows: int
    mistakes: int
    accuracy: Interval
    labels: list[Label]
    classes: list[ClassScores]
    confusion: np.ndarray
    confused: list[Pair]
    calibration: Calibration
    coverage: Coverage
    agreement: dict[str, Agreement]
    rescued: Rescues
    intervals: str = "95%: Wilson's for accuracy, precision and recall; F1 by Wilson's interval of its Jaccard index"


def evaluate(
    steps: Mapping[str, Predictions],
    temperatures: Mapping[str, Any],
    choices: Mapping[str, Mapping[str, np.ndarray]],
    labels: np.ndarray,
    seed: int,
) -> Evaluation:
    """Measure everything; scores are those of the step `SCALED`.

    Args:
        steps: predictions after each step of calibration, by `RAW`, `SCALED` and `SHARPENED`.
        temperatures: of those steps, for the record.
        choices: class indices, int (m,) each: under "test" of every member, under "out_of_fold" of every architecture
            and seed, such as `small-s0`.
        labels: of the classes, (c,).
        seed: of the simulated calibration error.
    """
    predictions = steps[SCALED]
    counts = metrics.confusion(predictions.targets, predictions.chosen, len(labels))
    folds = len(np.unique(predictions.folds))
    return Evaluation(
        folds=folds,
        rows=len(predictions.rows),
        mistakes=len(predictions.mistakes),
        accuracy=wilson(int(predictions.right.sum()), len(predictions.rows)),
        labels=labels.tolist(),
        classes=class_scores(counts, labels.tolist()),
        confusion=counts,
        confused=confused_pairs(counts, labels.tolist()),
        calibration=Calibration(
            {name: calibration_error(step, seed) for name, step in steps.items()}, temperatures, folds > 1
        ),
        coverage=coverage(predictions, PROMISED),
        agreement={rows: agreement(chosen) for rows, chosen in choices.items()},
        rescued=rescues(choices["out_of_fold"], predictions),
    )


def to_record(value: Any) -> Any:
    """An evaluation, or a part of it, as JSON holds it: an interval becomes `<name>` and `<name>_interval`."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, pd.DataFrame):
        return value.to_dict("list")
    if isinstance(value, Mapping):
        return {str(key): to_record(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_record(item) for item in value]
    if not is_dataclass(value):
        return value
    record: dict[str, Any] = {}
    for field in fields(value):
        name, item = field.name.rstrip("_"), getattr(value, field.name)
        if isinstance(item, Interval):
            record |= {name: item.value, f"{name}_interval": [item.low, item.high]}
        else:
            record[name] = to_record(item)
    return record


# --- class by class ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class. support: rows that have its label. predicted: rows that were taken for it."""

    class_: Label
    support: int
    predicted: int
    precision: Interval
    recall: Interval
    f1: Interval


def class_scores(counts: np.ndarray, labels: Sequence[Label]) -> list[ClassScores]:
    """Scores of every class of a confusion matrix, int (c, c), a row a label."""
    classes = []
    for index, label in enumerate(labels):
        hits, support, predicted = int(counts[index, index]), int(counts[index].sum()), int(counts[:, index].sum())
        scores = wilson(hits, predicted), wilson(hits, support), f1(hits, predicted - hits, support - hits)
        classes.append(ClassScores(label, support, predicted, *scores))
    return classes


def f1(hits: int, false_positives: int, false_negatives: int) -> Interval:
    """Harmonic mean of precision and recall, with its interval.

    F1 = 2 J / (1 + J), J being the share of hits among the rows that have the label, were taken for it, or both. Of
    that many rows the hits are binomial, and F1 grows with J: so Wilson's interval of J, brought over to F1, is one of
    F1. It needs no bootstrap, which gives 1 to 1 where there is no mistake.
    """
    share = wilson(hits, hits + false_positives + false_negatives)
    return Interval(*(2 * value / (1 + value) for value in (share.value, share.low, share.high)))


@dataclass(frozen=True)
class Pair:
    """Two classes, and how many rows of the one were taken for the other."""

    classes: tuple[Label, Label]
    rows: int
    first_as_second: int
    second_as_first: int


def confused_pairs(counts: np.ndarray, labels: Sequence[Label]) -> list[Pair]:
    """Every pair of classes of a confusion matrix that was ever confused, the most often confused first."""
    pairs = [
        Pair((labels[i], labels[j]), int(counts[i, j] + counts[j, i]), int(counts[i, j]), int(counts[j, i]))
        for i, j in combinations(range(len(counts)), 2)
    ]
    return sorted((pair for pair in pairs if pair.rows), key=lambda pair: -pair.rows)


# --- calibration -------------------------------------------------------------------------------------------


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


# --- members and the ensemble ------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Agreement:
    """Shares of equal choices of every pair, float (m, m), and the mean over all pairs; None of one member alone."""

    members: list[str]
    mean: float | None
    shares: np.ndarray


def agreement(choices: Mapping[str, np.ndarray]) -> Agreement:
    """Share of rows for which two members choose the same class: choices int (n,) by member."""
    stacked = np.stack(list(choices.values()))
    shares = np.array([(stacked == chosen).mean(axis=1) for chosen in stacked])
    pairs = shares[np.triu_indices(len(shares), 1)]
    return Agreement(list(choices), float(pairs.mean()) if len(pairs) else None, shares)


@dataclass(frozen=True)
class Rescue:
    """Networks against the ensemble, on the rows that they predicted out of fold.

    rescued: rows that the ensemble got right and they did not. spoilt: rows that they got right and the ensemble did
    not.
    """

    rows: int
    mistakes: int
    rescued: int
    spoilt: int


@dataclass(frozen=True)
class Rescues:
    """What the ensemble rescued and spoilt, by member and by architecture and seed.

    all_wrong, some_wrong: rows that all, or some, got wrong. mistakes_with_a_member_right: rows that only the ensemble
    as a whole got wrong.
    """

    members: dict[str, Rescue]
    architectures: dict[str, Rescue]
    all_wrong: int
    some_wrong: int
    mistakes_with_a_member_right: int


def rescues(choices: Mapping[str, np.ndarray], predictions: Predictions) -> Rescues:
    """Count what the ensemble rescued and spoilt: choices int (n,) by architecture and seed, such as `small-s0`."""
    hits = {name: chosen == predictions.targets for name, chosen in choices.items()}
    folds = {fold: predictions.folds == fold for fold in np.unique(predictions.folds).tolist()}
    stacked = np.stack(list(hits.values()))
    return Rescues(
        members={
            f"{name}-f{fold}": _rescue(alone[own], predictions.right[own])
            for name, alone in hits.items()
            for fold, own in folds.items()
        },
        architectures={name: _rescue(alone, predictions.right) for name, alone in hits.items()},
        all_wrong=int((~stacked.any(axis=0)).sum()),
        some_wrong=int((~stacked.all(axis=0)).sum()),
        mistakes_with_a_member_right=int((stacked.any(axis=0) & ~predictions.right).sum()),
    )


def _rescue(alone: np.ndarray, together: np.ndarray) -> Rescue:
    """Compare which rows one network and the ensemble got right, bool (n,) each."""
    return Rescue(len(alone), int((~alone).sum()), int((together & ~alone).sum()), int((alone & ~together).sum()))
