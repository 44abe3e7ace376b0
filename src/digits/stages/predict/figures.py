"""Figure of the predictions of people's own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from digits.competition import COMPETITION
from digits.figures.style import PALETTE, SMALL, entitle, styled
from digits.stages.predict.readings import OK, Reading

ACROSS = 4  # pictures side by side, at most; fewer than two leave the title no room
MOST_PROBABLE = 3


@styled
def prediction_sheet(readings: Sequence[Reading], classes: np.ndarray, title: str) -> Figure:
    """Each picture, what the networks saw, and the most probable classes.

    readings: of pictures that can be read. classes: labels, int or str (classes,). title: which pictures these are.
    """
    across = min(max(2, len(readings)), ACROSS)
    rows = max(1, -(-len(readings) // across))
    figure = Figure(figsize=(3.3 * across, 1.5 * rows + 0.9), layout="constrained")
    entitle(
        figure,
        f"{title}: what the networks saw, the most probable {COMPETITION.nouns}; ? is not like a {COMPETITION.noun}",
    )
    grid = figure.subplots(rows, 3 * across, squeeze=False, width_ratios=[1, 1, 0.9] * across)
    for axes in grid.flat:
        axes.set_axis_off()
    for cells, reading in zip(grid.reshape(-1, 3), readings, strict=False):
        _draw(*cells, reading, classes)
    return figure


def _draw(left: Axes, middle: Axes, right: Axes, reading: Reading, classes: np.ndarray) -> None:
    picture = reading.picture
    left.set_title(_short(Path(picture.name).name), fontsize=SMALL, loc="left", pad=3, parse_math=False)
    if picture.thumbnail is not None:
        left.imshow(picture.thumbnail, cmap="gray", vmin=0, vmax=255)
    if len(picture.images):
        middle.imshow(np.hstack([*picture.images]), cmap="gray_r", interpolation="nearest")
    label = reading.label if reading.status == OK else f"{reading.label} ?"
    middle.set_title(label.strip(), fontsize=11, weight="bold", pad=3)
    if reading.probabilities is not None and len(reading.probabilities) == 1:
        _bars(right, reading.probabilities[0], classes)


def _bars(axes: Axes, probabilities: np.ndarray, classes: np.ndarray) -> None:
    best = np.argsort(probabilities)[::-1][:MOST_PROBABLE]
    axes.barh(np.arange(len(best)), probabilities[best], color=PALETTE[0], height=0.55)
    for y, index in enumerate(best):
        axes.text(-0.06, y, str(classes[index]), ha="right", va="center", fontsize=9)
        axes.text(1.05, y, f"{probabilities[index]:.2f}", ha="left", va="center", fontsize=SMALL)
    axes.set(xlim=(-0.3, 1.7), ylim=(MOST_PROBABLE - 0.2, -0.8))


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:12]}...{name[-11:]}"
