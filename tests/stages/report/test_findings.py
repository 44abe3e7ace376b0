"""Sentences that follow what was measured."""

import pytest

from digits.stages.report import findings

DIGITS = [
    {"digit": 4, "f1": 0.990, "f1_interval": [0.985, 0.993]},
    {"digit": 9, "f1": 0.980, "f1_interval": [0.970, 0.986]},
    {"digit": 0, "f1": 0.999, "f1_interval": [0.995, 1.000]},
]
PAIR = {"digits": [4, 9], "rows": 30, "first_as_second": 15, "second_as_first": 15}
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
SCORED = {"rows": 10_000, "mistakes": 100, "accuracy": 0.99, "accuracy_interval": [0.988, 0.992]}


def told(sentences: list[str]) -> str:
    return " ".join(sentences)


def test_the_hardest_digit_is_named_and_how_sure_that_is():
    sure = told(findings.digits({"digits": DIGITS, "confused": [], "mistakes": 0}))
    assert "hardest digit is 9" in sure
    assert "easiest 0" in sure
    assert "do not overlap" in sure
    near = [DIGITS[0], {**DIGITS[1], "f1_interval": [0.96, 0.999]}]
    assert "this order is uncertain" in told(findings.digits({"digits": near, "confused": [], "mistakes": 0}))


@pytest.mark.parametrize(
    ("forth", "back", "expected"),
    [
        (15, 15, "no clear direction"),
        (28, 2, "mostly a 4 that is taken for a 9"),
        (1, 29, "mostly a 9 that is taken for"),
    ],
)
def test_a_direction_is_told_only_where_chance_does_not_explain_it(forth, back, expected):
    pair = {**PAIR, "first_as_second": forth, "second_as_first": back}
    assert expected in told(findings.digits({"digits": DIGITS, "confused": [pair], "mistakes": 100}))


def test_the_spread_of_the_folds_is_held_against_chance():
    wide = told(findings.scores(METRICS, SCORED, 10))  # chance alone: 0.0031
    assert "no more than the draw" in wide
    assert "50 mistakes fewer" in wide
    assert "more than chance" in told(findings.scores({**METRICS, "oof_accuracy_std": 0.02}, SCORED, 10))
    one = {**METRICS, "oof_accuracy_std": 0.0, "oof_accuracy_by_architecture": {"a": 0.99}}
    assert len(findings.scores(one, SCORED, 1)) == 2


def test_confidence_is_called_what_it_is():
    stage = {"ece": 0.001, "if_calibrated_high": 0.002, "mean_confidence": 0.985, "accuracy": 0.99}
    coverage = {
        "promised_accuracy": 0.999, "threshold": 0.9, "coverage": 0.97, "nearly_all": 0.99,
        "accuracy_of_nearly_all": 0.998, "cross_fitted": None,
    }  # fmt: skip
    record = {"calibration": {"stages": {"unscaled": stage, "scaled by architecture": stage}}, "coverage": coverage}
    good = told(findings.confidence(record))
    assert "within what chance does" in good
    assert "not sure enough by 0.0050" in good
    assert "97.00% of the rows can be decided" in good
    bad = {**stage, "ece": 0.05, "mean_confidence": 0.999}
    record = {
        "calibration": {"stages": {"unscaled": stage, "scaled by architecture": bad}},
        "coverage": {**coverage, "threshold": None},
    }
    assert "more than chance does" in told(findings.confidence(record))
    assert "too sure by 0.0090" in told(findings.confidence(record))
    assert "No threshold" in told(findings.confidence(record))


def test_rescues_are_told_where_there_is_more_than_one_kind():
    rescue = {"rows": 100, "mistakes": 7, "rescued": 3, "spoilt": 1}
    record = {
        "agreement": {"test": {"mean": 0.98}},
        "rescued": {"architectures": {"a": rescue, "b": rescue}, "all_wrong": 4},
    }
    assert "7 mistakes of a alone the ensemble rescued 3, and it spoilt 1" in told(findings.ensemble(record))
    record = {"agreement": {"test": {"mean": None}}, "rescued": {"architectures": {"a": rescue}, "all_wrong": 7}}
    assert findings.ensemble(record) == []


def test_trials_as_good_as_the_best_are_counted():
    trials = [
        {"status": "done", "log_loss": "0.0100", "log_loss_se": "0.0010"},
        {"status": "done", "log_loss": "0.0105", "log_loss_se": "0.0010"},
        {"status": "done", "log_loss": "0.0200", "log_loss_se": "0.0010"},
        {"status": "failed", "log_loss": "", "log_loss_se": ""},
    ]
    sentence = told(findings.tuning(trials, "log_loss"))
    assert "4 trials (3 done, 1 failed)" in sentence
    assert "1 other is within one standard error" in sentence
    assert "none of them has a score" in told(findings.tuning(trials[3:], "log_loss"))
