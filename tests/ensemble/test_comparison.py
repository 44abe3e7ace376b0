"""Paired comparison."""

import numpy as np
import pytest
from scipy.stats import binom

from digits.ensemble.comparison import accuracy_difference, mcnemar, mean_difference


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pair(gained: int, lost: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.r_[np.zeros(gained, bool), np.ones(lost + both, bool)]
    b = np.r_[np.ones(gained, bool), np.zeros(lost, bool), np.ones(both, bool)]
    return a, b


@pytest.mark.parametrize(("gained", "lost"), [(10, 2), (2, 10), (7, 7), (0, 5)])
def test_mcnemar_is_the_binomial_tail(gained, lost):
    tail = binom.cdf(min(gained, lost), gained + lost, 0.5)
    assert mcnemar(*pair(gained, lost, 500)) == pytest.approx(min(1.0, 2 * tail))


def test_equal_classifiers_do_not_differ():
    a, _ = pair(0, 3, 9)
    assert mcnemar(a, a) == 1.0
    same = accuracy_difference(a, a, draw())
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_the_interval_is_that_of_the_rows_that_changed_sides():
    difference = accuracy_difference(*pair(60, 40, 9900), draw())
    assert difference.value == pytest.approx(0.002)
    spread = 1.96 * np.sqrt(100) / 10_000  # 100 changed rows, each worth one ten-thousandth either way
    assert difference.low == pytest.approx(0.002 - spread, abs=1e-4)
    assert difference.high == pytest.approx(0.002 + spread, abs=1e-4)


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says():
    generator = draw(1)
    inside = 0
    for _ in range(200):
        a = generator.exponential(1.0, 300)
        found = mean_difference(a, a + generator.normal(0.05, 0.5, 300), generator, draws=400)
        inside += found.low <= 0.05 <= found.high
    assert 0.89 < inside / 200 <= 1.0
