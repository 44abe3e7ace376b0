"""Figures of a search, drawn from made-up trials."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from digits.stages.tune import figures, findings
from digits.stages.tune.measures import Importance

DRAW = np.random.default_rng(0)
RATES = 10 ** DRAW.uniform(-4, -1, 12)
COLUMNS = {"training.rate": RATES, "training.name": np.array(["a", "b", "c"] * 4, object)}
LOSSES = np.log10(RATES) ** 2


def _darkness(colour) -> float:
    return 1 - float(np.mean(to_rgb(colour)))


@pytest.mark.parametrize("lower", [True, False])
def test_the_best_so_far_is_the_best_of_those_that_ran_through(lower):
    objective = np.array([0.5, 0.1, 0.4, 0.9])
    through = np.array([True, False, True, True])
    figure = figures.search_progress(np.arange(4.0) * 60, objective, through, "log loss", lower)
    best = figure.axes[0].lines[-1].get_ydata()
    assert list(best) == ([0.5, 0.5, 0.4, 0.4] if lower else [0.5, 0.5, 0.5, 0.9])


@pytest.mark.parametrize("lower", [True, False])
def test_good_trials_are_darker_than_bad_ones(lower):
    objective = LOSSES if lower else -LOSSES
    figure = figures.parallel_coordinates(COLUMNS, objective, ["training.rate"], lower)
    lines = [line for line in figure.axes[0].lines if line.get_alpha()]
    assert _darkness(lines[-1].get_color()) > _darkness(lines[0].get_color())
    slices = figures.slices(COLUMNS, objective, ["training.rate"], "log loss", lower)
    points = next(axes.collections[0] for axes in slices.axes if axes.collections)
    shades = [_darkness(colour[:3]) for colour in points.to_rgba(points.get_array())]
    assert shades[int(LOSSES.argmin())] > shades[int(LOSSES.argmax())]


def test_slices_mark_choices_at_their_values_and_round_numbers_on_a_log_scale():
    columns = {
        "training.rate": np.linspace(0.0021, 0.008, 12),
        "architecture.kernel": np.array([3, 5, 3] * 4),
        "training.name": np.array(["a", "b", "c"] * 4, object),
        "training.batch_size": np.array([32, 64, 128] * 4),
    }
    figure = figures.slices(columns, LOSSES, ["training.rate", "training.batch_size"], "log loss", True)
    figure.draw_without_rendering()

    def marks(axis) -> list[str]:
        low, high = axis.get_view_interval()
        shown = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        return [tick.label1.get_text() for tick in shown]

    assert [marks(axes.xaxis) for axes in figure.axes] == [
        ["0.002", "0.005"],
        ["3", "5"],
        ["a", "b", "c"],
        ["32", "64", "128"],
    ]
    assert not any(text.get_text() for axes in figure.axes for text in axes.get_xticklabels(minor=True))


@pytest.mark.parametrize(("explained", "doubtful"), [(0.1, True), (-0.5, True), (0.8, False)])
def test_a_forest_that_explains_little_is_said_to(explained, doubtful):
    figure = figures.hyperparameter_importance({"a.b": Importance(0.5, 0.1), "c": Importance(0.1, 0.1)})
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["c", "a\nb"]
    trials = [{"status": "done", "log_loss": 0.2}, {"status": "stopped", "log_loss": 0.1}]
    captions = findings.captions(trials, "log_loss", explained)
    assert ("a hint at most" in captions["importance"].text) == doubtful
    assert captions["progress"].text == "2 trials, 1 of them stopped early; best 0.20000."
