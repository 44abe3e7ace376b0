"""Learning-rate schedules."""

import numpy as np
import pytest

from digits.config import Training
from digits.training.schedules import SCHEDULES, epochs_without_gain, learning_rates

NONE = np.empty(0)


def recipe(name: str, **settings) -> Training:
    schedule = {"name": name, **settings}
    return Training.model_validate({"epochs": 10, "optimizer": {"learning_rate": 0.5}, "schedule": schedule})


def whole(training: Training, steps: int = 50) -> np.ndarray:
    return np.concatenate([learning_rates(training, epoch, steps, np.zeros(epoch)) for epoch in range(10)])


@pytest.mark.parametrize("name", SCHEDULES)
def test_never_above_the_peak_nor_below_the_minimum(name):
    rates = whole(recipe(name, minimum=0.01))
    assert rates.dtype == np.float32
    assert rates.shape == (500,)
    assert rates.max() <= 0.5
    assert rates.min() >= np.float32(0.01)


def test_one_cycle_rises_then_falls_to_nothing():
    rates = whole(recipe("one_cycle", warmup=0.3))
    top = rates.argmax()
    assert top == pytest.approx(150, abs=2)
    assert (np.diff(rates[:top]) > 0).all()
    assert (np.diff(rates[top + 1 :]) < 0).all()
    assert rates[-1] < 1e-4


def test_cosine_starts_at_the_peak():
    assert whole(recipe("cosine"))[0] == pytest.approx(0.5, rel=1e-3)


def test_exponential_decays_once_an_epoch():
    rates = learning_rates(recipe("exponential", decay=0.5), 3, 4, NONE)
    assert rates == pytest.approx([0.0625] * 4)


def test_steps_cut_at_each_milestone():
    rates = whole(recipe("steps", factor=0.1, milestones=[0.8, 0.5]))
    assert rates == pytest.approx([0.5] * 250 + [0.05] * 150 + [0.005] * 100)


def test_the_clean_epochs_come_after_the_whole_schedule_and_have_a_rate_of_their_own():
    training = recipe("one_cycle").model_copy(update={"clean_epochs": 2, "clean_rate": 0.001})
    rates = whole(training)
    assert rates[400:] == pytest.approx([0.001] * 100)
    eight = training.model_copy(update={"epochs": 8, "clean_epochs": 0})
    assert rates[:400] == pytest.approx(whole(eight)[:400])


def test_plateau_cuts_after_patience_and_starts_counting_again():
    training = recipe("plateau", factor=0.1, patience=2)
    losses = np.array([1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.4])
    factors = [learning_rates(training, epoch, 1, losses[:epoch])[0] / 0.5 for epoch in range(8)]
    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(("losses", "expected"), [([], 0), ([3.0], 0), ([3.0, 2.0, 2.5, 2.2], 2)])
def test_epochs_without_gain(losses, expected):
    assert epochs_without_gain(np.array(losses)) == expected
