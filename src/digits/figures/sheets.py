"""Contact sheets: many images side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from digits.figures.style import PALETTE, caption, styled

GAP = 2  # pixels between images


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """Images (n, side, side) side by side on white, row after row: one image, ink dark, 0..1."""
    side = images.shape[1]
    rows = -(-len(images) // columns)
    pitch = side + GAP
    sheet = np.zeros((rows * pitch + GAP, columns * pitch + GAP))
    for place, image in enumerate(images):
        top, left = place // columns * pitch + GAP, place % columns * pitch + GAP
        sheet[top : top + side, left : left + side] = image / max(float(image.max()), 1.0)
    return 1 - sheet


def draw_tile(axes: Axes, images: np.ndarray, columns: int, framed: np.ndarray | None = None) -> None:
    """Draw images on axes without ticks, a frame around those for which `framed`, bool (n,), says so."""
    axes.imshow(tile(images, columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    pitch = images.shape[1] + GAP
    for place in np.flatnonzero(framed) if framed is not None else ():
        corner = (place % columns * pitch + GAP / 2 - 0.5, place // columns * pitch + GAP / 2 - 0.5)
        axes.add_patch(Rectangle(corner, pitch, pitch, fill=False, edgecolor=PALETTE[1], lw=1.8))


@styled
def sheet(images: np.ndarray, captions: Sequence[str], title: str, note: str, columns: int = 10) -> Figure:
    """Images with a line under each.

    Args:
        images: uint8 (n, side, side), ink bright.
        captions: n short lines.
        title: of the sheet.
        note: what to see.
        columns: images side by side.
    """
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.15 * columns, 1.35 * rows + 0.9), layout="constrained")
    figure.suptitle(title)
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.set_axis_off()
    for axes, image, text in zip(figure.axes, images, captions, strict=False):
        axes.imshow(image, cmap="gray_r", interpolation="nearest")
        axes.set_title(text, fontsize=8, pad=2)
    caption(figure, note)
    return figure
