"""What the networks made of people's own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from digits.figures.style import PALETTE, caption, styled

ACROSS = 4  # pictures side by side, at most; fewer than two leave the title no room
MOST_PROBABLE = 3


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture.

    title: its name. picture: uint8 (height, width), None where there is none. seen: what the network saw, uint8 (side,
    width), ink bright, None for nothing. verdict: the digit. probabilities: float (classes,), None for several digits.
    """

    title: str
    picture: np.ndarray | None
    seen: np.ndarray | None
    verdict: str
    probabilities: np.ndarray | None


@styled
def prediction_sheet(panels: Sequence[Panel], classes: np.ndarray, told: str) -> Figure:
    """Each picture, what the network saw, and the most probable digits.

    Args:
        panels: the pictures.
        classes: labels (classes,).
        told: which pictures these are.
    """
    across = min(max(2, len(panels)), ACROSS)
    rows = max(1, -(-len(panels) // across))
    figure = Figure(figsize=(3.3 * across, 1.5 * rows + 0.9), layout="constrained")
    figure.suptitle("Picture, what the networks saw, and the most probable digits")
    grid = figure.subplots(rows, 3 * across, squeeze=False, width_ratios=[1, 1, 0.9] * across)
    for axes in grid.flat:
        axes.set_axis_off()
    for place, panel in enumerate(panels):
        row, column = divmod(place, across)
        picture, seen, bars = grid[row, 3 * column : 3 * column + 3]
        picture.set_title(_short(panel.title), fontsize=7, loc="left", pad=3, parse_math=False)
        if panel.picture is not None:
            picture.imshow(panel.picture, cmap="gray", vmin=0, vmax=255)
        if panel.seen is not None:
            seen.imshow(panel.seen, cmap="gray_r", interpolation="nearest")
        seen.set_title(panel.verdict or "no digit", fontsize=11, weight="bold", pad=3)
        if panel.probabilities is not None:
            _bars(bars, panel.probabilities, classes)
    caption(figure, f"{told}; ? marks what is not like a digit of the training data")
    return figure


def _bars(axes: Axes, probabilities: np.ndarray, classes: np.ndarray) -> None:
    best = np.argsort(probabilities)[::-1][:MOST_PROBABLE]
    places = np.arange(len(best))
    axes.barh(places, probabilities[best], color=PALETTE[0], height=0.55)
    for place, of in zip(places, best, strict=True):
        axes.text(-0.06, place, str(classes[of]), ha="right", va="center", fontsize=9)
        axes.text(1.05, place, f"{probabilities[of]:.2f}", ha="left", va="center", fontsize=7)
    axes.set(xlim=(-0.3, 1.7), ylim=(MOST_PROBABLE - 0.2, -0.8))


def _short(name: str) -> str:
    return name if len(name) <= 26 else f"{name[:12]}...{name[-11:]}"
