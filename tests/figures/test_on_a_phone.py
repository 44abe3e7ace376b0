"""Figures of ten classes are read on a phone too, where they are 350 pixels wide."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from digits.figures.confusion import confusion_matrix
from digits.figures.style import entitle
from digits.stages.cluster import figures as cluster
from digits.stages.cluster.clustering import Sweep
from digits.stages.eda import figures as eda
from digits.stages.evaluate import figures as evaluate
from digits.stages.evaluate.measures import Rescue, agreement
from digits.stages.report import page

PHONE, SMALLEST = 350, 7.5  # pixels
WIDE = page.PHONE / 96  # inches
TEN = np.arange(10)
DRAW = np.random.default_rng(0)
TABLE = np.diag(DRAW.integers(3000, 4700, 10)) + DRAW.integers(0, 9, (10, 10))
TARGETS = np.repeat(TEN, 20)
VALUES = DRAW.normal(5, 1, 200)
IMAGES = DRAW.integers(0, 256, (200, 28, 28, 1)).astype(np.uint8)
SCORES = {name: {"purity": 0.99, "silhouette": 0.7} for name in ("aligned", "each fold by itself")}

FIGURES = {
    "confusion": lambda: confusion_matrix(TABLE, TEN),
    "labels": lambda: eda.label_distribution(TABLE.sum(axis=1), TEN),
    "samples": lambda: eda.class_lines(IMAGES.reshape(10, 20, 28, 28, 1)[:, :12], TEN),
    "means": lambda: eda.class_images(DRAW.random((10, 28, 28)), DRAW.random((10, 28, 28)), TEN),
    "ink and slant": lambda: eda.ink_and_slant(VALUES, VALUES, TARGETS, TEN),
    "agreement": lambda: evaluate.agreement_matrix(agreement({f"default-s0-f{k}": k < VALUES for k in range(10)})),
    "rescued": lambda: evaluate.rescued_bars({"default-s0": Rescue(42000, 120, 30, 20)}),
    "map": lambda: cluster.cluster_map(DRAW.random((200, 2)), TARGETS, VALUES > 6),
    "matrix": lambda: cluster.cluster_matrix(TABLE, TEN, TEN),
    "silhouettes": lambda: cluster.silhouette_plot(VALUES / 10, TARGETS),
    "cluster means": lambda: cluster.mean_images(IMAGES, TARGETS, TARGETS),
    "sweep": lambda: cluster.cluster_sweep(Sweep(TEN + 2, 10.0 - TEN, TEN / 10), 10),
    "controls": lambda: cluster.controls(SCORES, 0.995),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_no_text_is_too_small(make):
    figure = make()
    entitle(figure, "What is seen")
    FigureCanvasAgg(figure).draw()
    shown = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    smallest = min(shown, key=lambda text: text.get_fontsize())
    width = figure.get_figwidth()
    shrunk = PHONE / width if width <= WIDE else 96  # what is wider is scrolled
    pixels = smallest.get_fontsize() / 72 * shrunk
    assert pixels >= SMALLEST, smallest.get_text()
