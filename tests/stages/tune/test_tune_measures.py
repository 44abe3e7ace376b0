"""When a trial is hopeless, and which hyperparameters mattered."""

import numpy as np
import pytest

from digits.stages.tune.measures import LEAST, importances, is_hopeless

FINISHED = [[0.1, 0.3], [0.2, 0.2], [0.3, 0.3], [0.4, 0.2], [0.5, 0.1]]


def test_a_trial_worse_than_the_median_after_as_many_folds_is_hopeless():
    assert is_hopeless([0.31], FINISHED)
    assert not is_hopeless([0.3], FINISHED)
    assert is_hopeless([0.3, 0.31], FINISHED)
    assert not is_hopeless([0.5, 0.05], FINISHED)


def test_few_finished_trials_condemn_none():
    assert not is_hopeless([9.0], FINISHED[: LEAST - 1])
    assert not is_hopeless([9.0, 9.0], [*FINISHED[:4], [0.1]])


def test_what_decides_the_objective_is_found_and_what_does_not_is_not():
    draw = np.random.default_rng(0)
    values = {name: draw.uniform(0, 1, 60) for name in ("noise", "strong", "weak")}
    objective = 3 * values["strong"] + 0.7 * values["weak"] + draw.normal(0, 0.05, 60)
    found, explained = importances(values, objective, seed=0)
    assert list(found) == ["strong", "weak", "noise"]
    assert found["strong"].mean > 10 * abs(found["noise"].mean)
    assert explained > 0.6


def test_pure_noise_is_said_to_explain_nothing():
    draw = np.random.default_rng(1)
    found, explained = importances({"a": draw.uniform(0, 1, 40)}, draw.normal(0, 1, 40), seed=0)
    assert explained < 0.2
    assert found["a"].mean == pytest.approx(0, abs=0.5)
