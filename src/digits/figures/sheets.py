"""Contact sheets: many images side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from digits.figures.style import PALETTE, caption, styled

GREYS = 32
GAP = 2  # pixels between images
INCHES, LINE = 1.15, 0.145  # an image with its gap on a sheet with captions, and a line of these


def tile(images: np.ndarray, columns: int, above: int = 0) -> np.ndarray:
    """Images (n, side, side) side by side on white, row after row: one image, ink dark, 0..1.

    above: pixels that stay free over each image.
    """
    side = images.shape[1]
    rows = -(-len(images) // columns)
    sheet = np.zeros((rows * (side + GAP + above) + GAP, columns * (side + GAP) + GAP))
    for place, image in enumerate(images):
        top, left = _corner(place, side, columns, above)
        sheet[top : top + side, left : left + side] = image / max(float(image.max()), 1.0)
    return 1 - sheet


def _corner(place: int, side: int, columns: int, above: int) -> tuple[int, int]:
    """The top and left pixel of an image of a tile."""
    return place // columns * (side + GAP + above) + GAP + above, place % columns * (side + GAP) + GAP


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
    """Images with a line or several over each.

    Args:
        images: uint8 (n, side, side), ink bright.
        captions: n short texts.
        title: of the sheet.
        note: what to see.
        columns: images side by side.
    """
    side = images.shape[1]
    inch = (side + GAP) / INCHES
    above = round(inch * LINE * max((text.count("\n") + 1 for text in captions), default=0))
    tiles = tile(images, columns, above)
    figure = Figure(figsize=(INCHES * columns, len(tiles) / inch + 0.9), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots()  # one for all: an axes for each image takes a minute for a thousand
    axes.imshow(tiles, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    for place, text in enumerate(captions):
        top, left = _corner(place, side, columns, above)
        axes.text(left + side / 2, top - 1, text, fontsize=8, ha="center", va="bottom", linespacing=1.1)
    caption(figure, note)
    return figure


def save_grey(figure: Figure, path: Path) -> None:
    """Save a figure without colours as a PNG of `GREYS` greys: a third of the size, and nobody sees the difference."""
    drawn = FigureCanvasAgg(figure)
    drawn.draw()
    grey = np.asarray(Image.fromarray(np.asarray(drawn.buffer_rgba())).convert("L"))
    steps = np.rint(np.rint(grey * ((GREYS - 1) / 255)) * (255 / (GREYS - 1)))
    Image.fromarray(steps.astype(np.uint8)).save(path, optimize=True)
