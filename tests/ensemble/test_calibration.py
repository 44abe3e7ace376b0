"""Temperature scaling."""

import numpy as np
import pytest
from scipy.special import softmax

from digits.ensemble.calibration import temperature


@pytest.mark.parametrize("overconfidence", [0.3, 1.0, 4.0])
def test_it_finds_the_factor_by_which_logits_are_too_large(overconfidence):
    draw = np.random.default_rng(0)
    honest = draw.normal(0, 2, (20_000, 5))
    chances = softmax(honest, axis=1).cumsum(axis=1)
    targets = (draw.random((20_000, 1)) > chances).sum(axis=1)
    assert temperature((overconfidence * honest).astype(np.float32), targets) == pytest.approx(overconfidence, rel=0.05)


def test_perfect_logits_stay_finite():
    assert 0.04 < temperature(10 * np.eye(3, dtype=np.float32), np.arange(3)) < 20
