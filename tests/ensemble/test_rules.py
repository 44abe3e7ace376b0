"""Ensembling rules."""

import numpy as np
import pytest
from scipy.special import softmax

from digits.ensemble.rules import RULES, combine


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (5, 40, 4)).astype(np.float32)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_probabilities(logits, rule):
    probabilities = combine(logits, rule)
    assert probabilities.shape == (40, 4)
    assert (probabilities >= 0).all()
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(40))


@pytest.mark.parametrize("rule", RULES)
def test_one_member_keeps_its_choices(logits, rule):
    assert np.array_equal(combine(logits[:1], rule).argmax(axis=1), logits[0].argmax(axis=1))


def test_mean_is_the_mean_of_softmax(logits):
    expected = softmax(logits.astype(float), axis=2).mean(axis=0)
    assert combine(logits, "mean") == pytest.approx(expected)


def test_softmax_of_mean_logits_is_the_geometric_mean_of_softmax(logits):
    product = softmax(logits.astype(float), axis=2).prod(axis=0) ** (1 / len(logits))
    assert combine(logits, "logits") == pytest.approx(product / product.sum(axis=1, keepdims=True))


def test_vote_outvotes_confidence_and_breaks_ties_by_it():
    sure, unsure = [9.0, 0.0], [0.0, 0.1]
    assert combine(np.array([[sure], [unsure], [unsure]]), "vote").argmax() == 1
    assert combine(np.array([[sure], [unsure]]), "vote").argmax() == 0
