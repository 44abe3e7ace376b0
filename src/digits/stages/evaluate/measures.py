"""Measures of predictions: scores by class, calibration and coverage, and what an ensemble adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from digits.ensemble import metrics
from digits.ensemble.interval import Interval, wilson
from digits.stages.evaluate.calibration import Calibration, Coverage, calibration_error, coverage
from digits.stages.evaluate.predictions import Predictions

PROMISED = 0.999  # accuracy whose coverage is reported
RAW, SCALED, SHARPENED = "unscaled", "scaled by architecture", "also as an ensemble"  # steps of calibration

Label = int | str


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
