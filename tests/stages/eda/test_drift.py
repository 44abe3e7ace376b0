"""The two-sample test finds planted drift, and finds none where there is none."""

import numpy as np
import pytest

from digits.seeds import derive
from digits.stages.eda import drift

DRAW = np.random.default_rng(0)
POINTS = DRAW.normal(size=(4000, 5))


def seed(number: int = 1) -> np.random.SeedSequence:
    return derive(number, "drift")


def test_two_halves_of_one_population_cannot_be_told_apart():
    found = drift.two_sample_test(POINTS[:2500], POINTS[2500:], seed())
    assert found.auc.low < 0.5 < found.auc.high
    assert abs(found.auc.value - 0.5) < 0.05
    assert not found.differ


def test_false_alarms_are_as_rare_as_promised():
    tests = []
    for number in range(60):
        points = np.random.default_rng(number).normal(size=(400, 3))
        tests.append(drift.two_sample_test(points[:200], points[200:], seed(number)))
    assert sum(test.differ for test in tests) <= 3  # 0.6 are expected
    assert sum(test.p_value < 0.5 for test in tests) >= 15  # and the p-values are spread, not all near 1


@pytest.mark.parametrize("kind", ["shift", "spread"])
def test_planted_drift_is_found(kind):
    other = POINTS[2000:] + np.eye(5)[0] if kind == "shift" else POINTS[2000:] * (1 + np.eye(5)[0])
    found = drift.two_sample_test(POINTS[:2000], other, seed())
    assert found.auc.low > 0.6
    assert found.accuracy > 0.6
    assert found.p_value < 1e-6
    assert found.differ


def test_it_judges_as_many_rows_of_one_table_as_of_the_other(monkeypatch):
    found = drift.two_sample_test(POINTS[:3000], POINTS[3000:], seed())
    assert found.is_test.sum() == 500
    assert len(found.is_test) == len(found.scores) == 1000
    monkeypatch.setattr(drift, "ROWS", 100)
    assert len(drift.two_sample_test(POINTS[:3000], POINTS[3000:], seed()).scores) == 100


def test_the_seed_decides():
    one, same, other = (drift.two_sample_test(POINTS[:500], POINTS[500:], seed(number)) for number in (1, 1, 2))
    assert np.array_equal(one.scores, same.scores)
    assert not np.array_equal(one.scores, other.scores)


def test_too_few_rows_say_nothing():
    assert drift.two_sample_test(POINTS[:2000], POINTS[:9], seed()) is None
    assert drift.two_sample_test(POINTS[:2000], POINTS[:10], seed()) is not None


def test_the_interval_narrows_with_more_rows():
    few, many = (drift.two_sample_test(POINTS[:rows], POINTS[rows : 2 * rows], seed()) for rows in (100, 1600))
    assert many.auc.high - many.auc.low < 0.5 * (few.auc.high - few.auc.low)
