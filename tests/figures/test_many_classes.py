"""Figures of 47 classes, such as EMNIST has, by numbers and by words: nothing runs into its neighbour."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from digits.figures import sheets, style
from digits.figures.confusion import confusion_matrix
from digits.stages.cluster import figures as cluster
from digits.stages.eda import figures as eda
from digits.stages.evaluate import figures as evaluate
from digits.stages.evaluate.predictions import Predictions

MANY = 47
NUMBERS = np.arange(MANY)
WORDS = np.array([f"{'some letters'[: 3 + number % 9]}{number}" for number in NUMBERS])
DRAW = np.random.default_rng(0)
COUNTS = DRAW.integers(500, 2400, MANY)
TABLE = np.diag(COUNTS) + DRAW.integers(0, 40, (MANY, MANY))
TARGETS = np.repeat(NUMBERS, 8)
VALUES = DRAW.normal(5, 1, len(TARGETS))
IMAGES = DRAW.integers(0, 256, (len(TARGETS), 8, 8, 1)).astype(np.uint8)

FIGURES = {
    "confusion": lambda names: confusion_matrix(TABLE, names),
    "labels": lambda names: eda.label_distribution(COUNTS, names),
    "ink and slant": lambda names: eda.ink_and_slant(VALUES, VALUES, TARGETS, names),
    "matrix": lambda names: cluster.cluster_matrix(TABLE, NUMBERS, names),
    "silhouettes": lambda names: cluster.silhouette_plot(VALUES, TARGETS),
}


def drawn(figure: Figure) -> Figure:
    FigureCanvasAgg(figure).draw()
    return figure


def run_into_each_other(texts: Iterable[Text]) -> bool:
    """Two neighbours overlap."""
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    return any(first.overlaps(second) for first, second in pairwise(boxes))


@pytest.mark.parametrize("names", [NUMBERS, WORDS], ids=["numbers", "words"])
@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_names_and_figures_stand_apart(make, names):
    figure = drawn(make(names))
    assert figure.get_figwidth() < 20
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            assert not run_into_each_other(axis.get_ticklabels())
        written = sorted(axes.texts, key=lambda text: text.get_position())
        assert not run_into_each_other(written)


@pytest.mark.parametrize("names", [NUMBERS, WORDS], ids=["numbers", "words"])
def test_every_class_has_its_name(names):
    figure = drawn(FIGURES["confusion"](names))
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        assert [text.get_text() for text in axis.get_ticklabels()] == [style.shortened(name) for name in names]


def test_mean_images_are_wrapped():
    means = DRAW.random((MANY, 8, 8))
    figure = eda.class_images(means, means, WORDS)
    assert figure.get_figwidth() < 20
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [style.shortened(name) for name in WORDS]
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images and len(axes.images[0].get_array()) == 8]
    assert len(shown) == 2 * MANY


@pytest.mark.parametrize("count", [1, 10, 47, 300])
def test_where_there_is_no_room_some_names_are_left_out(count):
    figure, (axes,) = style.canvas(1, width=6, height=4)
    axes.set_xlim(-0.5, count - 0.5)
    style.name_ticks(axes.xaxis, [f"name {number}" for number in range(count)], 5 / count)
    labels = drawn(figure).axes[0].get_xticklabels()
    assert labels[0].get_text() == "name 0"
    assert not run_into_each_other(labels)


def test_captions_of_a_sheet_are_no_wider_than_its_images():
    probabilities = np.full((9, MANY), 0.001)
    probabilities[np.arange(9), np.arange(9) + 1] = 0.9
    predictions = Predictions(np.arange(9) + 41_000, np.zeros(9), np.arange(9), np.arange(9) + 1, probabilities)
    images = np.zeros((42_000, 4, 4, 1), np.uint8)
    for names in (NUMBERS, WORDS):
        figure = drawn(evaluate.mistake_sheet(predictions, images, names))
        assert not run_into_each_other(figure.axes[0].texts)
    assert sheets.fitted("4", "row 5", between=", ") == "4, row 5"
    assert sheets.fitted("watermelons", "row 41000", between=", ") == "watermelons,\nrow 41000"
