"""How unlike the training data something is."""

import numpy as np
import pytest

from digits.stages.predict import novelty

DRAW = np.random.default_rng(0)
TARGETS = DRAW.integers(0, 3, 6000)
SHAPE = np.array([[4.0, 0, 0], [0, 1, 0], [0, 0, 0.1]])  # wide in one direction, narrow in another
CENTRES = np.array([[0.0, 0, 0], [30, 0, 0], [0, 30, 0]])
VECTORS = CENTRES[TARGETS] + DRAW.normal(0, 1, (6000, 3)) @ SHAPE
MEASURE = novelty.fit(VECTORS, TARGETS)


def test_one_in_a_hundred_of_its_own_kind_is_beyond_one():
    fresh = CENTRES[TARGETS] + DRAW.normal(0, 1, (6000, 3)) @ SHAPE
    assert (MEASURE(fresh) > 1).mean() == pytest.approx(0.01, abs=0.005)


def test_distance_is_measured_in_the_spread_of_its_direction():
    wide, narrow = MEASURE(np.array([[8.0, 0, 0]])), MEASURE(np.array([[0, 0, 2.0]]))
    assert wide[0] < 1 < narrow[0]


def test_the_nearest_class_counts():
    assert (MEASURE(CENTRES) < 0.01).all()
    assert MEASURE(CENTRES.mean(axis=0, keepdims=True))[0] > 5


def test_a_direction_in_which_nothing_varies_is_no_crash():
    flat = np.column_stack([VECTORS, np.zeros(len(VECTORS))])
    assert np.isfinite(novelty.fit(flat, TARGETS)(flat)).all()
