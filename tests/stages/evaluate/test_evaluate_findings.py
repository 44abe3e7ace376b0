"""Sentences that follow what was measured."""

import dataclasses

import numpy as np
import pytest
from small_evaluation import CONFIDENCE, RIGHT, evaluation, predictions

from digits.ensemble.interval import Interval
from digits.stages.evaluate import findings
from digits.stages.evaluate.measures import ClassScores, Evaluation, Pair

FOUND = evaluation()
METRICS = {
    "oof_accuracy": 0.99,
    "oof_accuracy_std": 0.003,
    "oof_accuracy_by_architecture": {"a": 0.985, "b": 0.98},
    "oof_rows": 10_000,
    "predicted_score": 0.991,
    "predicted_low": 0.985,
    "predicted_high": 0.995,
    "fold_gain": 0.001,
}


def scored(*f1: tuple[int, float, float, float]) -> Evaluation:
    """An evaluation with these classes and F1 scores, without confusions."""
    unknown = Interval(0.5, 0, 1)
    classes = [ClassScores(label, 1, 1, unknown, unknown, Interval(*score)) for label, *score in f1]
    return dataclasses.replace(FOUND, classes=classes, confused=[])


def test_the_hardest_class_is_named_and_how_sure_that_is():
    classes = [(4, 0.990, 0.985, 0.993), (9, 0.980, 0.970, 0.986), (0, 0.999, 0.995, 1.0), (1, np.nan, 0, 1)]
    (sure,) = findings.classes(scored(*classes))
    assert "hardest digit is 9" in sure
    assert "easiest 0" in sure
    assert "do not overlap" in sure
    (near,) = findings.classes(scored(classes[0], (9, 0.980, 0.96, 0.999)))
    assert "this order is uncertain" in near


@pytest.mark.parametrize(
    ("forth", "back", "expected"),
    [
        (15, 15, "no clear direction"),
        (28, 2, "mostly 4 is taken for 9 (28 times)"),
        (1, 29, "mostly 9 is taken for 4 (29 times)"),
    ],
)
def test_a_direction_is_told_only_where_chance_does_not_explain_it(forth, back, expected):
    changed = dataclasses.replace(FOUND, confused=[Pair((4, 9), 30, forth, back)], mistakes=100)
    confused = findings.classes(changed)[-1]
    assert "30 of 100 mistakes (30%)" in confused
    assert expected in confused


def test_the_spread_of_the_folds_is_held_against_chance():
    ten = dataclasses.replace(FOUND, folds=10, rows=10_000)
    text = " ".join(findings.scores(ten, METRICS))  # chance alone: 0.0031
    assert "no more than chance" in text
    assert "50 mistakes fewer" in text
    assert "optimistic" not in text
    assert "p = 0.52" in text
    wide = findings.scores(ten, {**METRICS, "oof_accuracy_std": 0.02}, tuned=True)
    assert "0.02000, more than chance" in wide[-2]
    assert "optimistic" in wide[-1]
    one = {**METRICS, "oof_accuracy_std": 0.0, "oof_accuracy_by_architecture": {"a": 0.99}}
    assert len(findings.scores(ten, one)) == 2


@pytest.mark.parametrize(("folds", "times", "more"), [(2, 1.8, False), (20, 1.4, True)])
def test_how_much_the_folds_may_differ_depends_on_how_many_they_are(folds, times, more):
    found = dataclasses.replace(FOUND, folds=folds)
    spread = {**METRICS, "oof_accuracy_std": times * np.sqrt(0.99 * 0.01 * folds / 10_000)}
    assert ("more than chance" in findings.scores(found, spread)[-1].replace("no more", "")) == more


def test_what_averaging_over_folds_adds_is_told_where_it_is_known():
    assert "0.00100 of it from averaging" in findings.scores(FOUND, METRICS)[1]
    assert "averaging" not in findings.scores(FOUND, METRICS | {"fold_gain": 0.0})[1]


def test_confidence_is_called_what_it_is():
    sections = findings.sentences(FOUND, METRICS, tuned=False)
    good = " ".join(sections["confidence"])
    assert "which chance alone explains" in good
    assert f"{FOUND.coverage.coverage:.2%} of the rows can be decided" in good
    modest = " ".join(findings.calibration(evaluation(predictions(CONFIDENCE - 0.1))))
    assert "more than chance explains" in modest
    assert "not sure enough by 0." in modest
    bad, before = findings.calibration(evaluation(predictions(CONFIDENCE, np.zeros(len(RIGHT), bool)), predictions()))
    assert "too sure by 0.9" in bad
    assert f"Before temperature scaling the ECE was {FOUND.calibration.stages['unscaled'].ece:.4f}" in before


def test_no_threshold_keeps_a_promise_that_no_row_keeps():
    never = dataclasses.replace(FOUND.coverage, threshold=None)
    assert "No threshold" in " ".join(findings.coverage(never))
    assert len(findings.coverage(dataclasses.replace(FOUND.coverage, cross_fitted=None))) == 1


def test_rescues_are_told_where_there_is_more_than_one_network_a_row():
    text = " ".join(findings.ensemble(FOUND))
    rescue = FOUND.rescued.architectures["b-s0"]
    assert f"{rescue.mistakes:,} mistakes of b-s0 alone the ensemble rescued {rescue.rescued:,}" in text
    assert f"On {FOUND.rescued.all_wrong:,} rows all of them are wrong" in text
