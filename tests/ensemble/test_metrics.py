"""Scores, and whether the predicted interval holds."""

from dataclasses import replace

import numpy as np
import pytest

from digits.ensemble import metrics
from digits.ensemble.metrics import METRICS, accuracy, fold_gain, log_loss, predict_score, resampled
from digits.ensemble.rules import RULES, combine
from digits.errors import UserError


def test_accuracy_and_log_loss_by_hand():
    probabilities = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.0, 1.0, 0.0]])
    targets = np.array([0, 2, 0])
    assert accuracy(probabilities, targets) == pytest.approx(2 / 3)
    assert log_loss(probabilities, targets) == pytest.approx(-np.log([0.5, 0.7, 1e-15]).mean())


@pytest.mark.parametrize("name", METRICS)
def test_better_probabilities_score_better(name):
    metric, targets = METRICS[name], np.arange(90) % 3
    good = np.eye(3)[targets] * 0.8 + 0.1
    bad = np.where(np.arange(90)[:, None] < 30, good[:, ::-1], good)
    assert (metric.score(good, targets) > metric.score(bad, targets)) == (name != "log_loss")
    interval = resampled(metric, bad, targets, np.random.default_rng(0))
    assert interval.value == metric.score(bad, targets)
    assert interval.low < interval.value < interval.high


def test_an_unknown_metric_of_a_fork_is_one_line(monkeypatch):
    monkeypatch.setattr(metrics, "COMPETITION", replace(metrics.COMPETITION, metric="f2"))
    with pytest.raises(UserError, match=r"competition.py: unknown metric 'f2'; known: accuracy, log_loss, macro_f1"):
        metrics.of_competition()


def test_macro_f1_weighs_classes_alike():
    targets = np.array([0] * 98 + [1, 2])
    assert METRICS["macro_f1"].score(np.eye(3)[np.zeros(100, int)], targets) == pytest.approx(2 * 0.98 / 1.98 / 3)


@pytest.mark.parametrize(("true", "scored", "unseen"), [(0.9957, 4200, 2800), (0.95, 500, 300), (0.7, 40, 90)])
def test_the_interval_holds_the_score_as_often_as_it_says(true, scored, unseen):
    """Draw the rows that are scored and the test rows anew 500 times; 95 % +- 4 standard errors."""
    draw = np.random.default_rng(1)
    inside = 0
    for _ in range(500):
        predicted = predict_score(draw.binomial(scored, true), scored, unseen)
        inside += predicted.low <= draw.binomial(unseen, true) / unseen <= predicted.high
    assert inside / 500 >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / 500)
    assert inside / 500 < 0.995


def test_more_rows_make_a_narrower_interval():
    few, many = predict_score(95, 100, 100), predict_score(9500, 10_000, 10_000)
    assert few.low < many.low < many.value < many.high < few.high


def test_perfect_rows_leave_room_for_doubt():
    predicted = predict_score(1000, 1000, 1000, gain=0.01)
    assert predicted.value == 1.0
    assert predicted.low < 1.0 <= predicted.high


@pytest.mark.parametrize("rule", RULES)
def test_fold_gain_is_what_averaging_really_gains_where_probabilities_are_calibrated(rule):
    """Targets are drawn from the mean of the members' probabilities, so its calibration is perfect."""
    draw = np.random.default_rng(2)
    logits = (draw.normal(0, 2, (1, 200_000, 3)) + draw.normal(0, 1.5, (5, 200_000, 3))).astype(np.float32)
    beliefs = combine(logits, "mean")
    targets = (beliefs.cumsum(axis=1) > draw.random((len(beliefs), 1))).argmax(axis=1)
    ensemble, by_fold = combine(logits, rule).argmax(axis=1), logits.argmax(axis=2)
    gained = (ensemble == targets).mean() - (by_fold == targets).mean()
    assert gained > 0.05
    assert fold_gain(by_fold, ensemble, beliefs) == pytest.approx(gained, abs=0.003)


def test_one_fold_gains_nothing():
    choice = np.array([1, 0])
    assert fold_gain(choice[None], choice, np.array([[0.2, 0.8], [0.6, 0.4]])) == 0.0
