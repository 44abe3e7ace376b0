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

from digits.figures.style import PALETTE, styled

GREYS = 32
GAP = 2  # pixels between images
INCHES, LINE = 1.15, 0.145  # width of an image with its gap on a sheet, height of a line of its caption
LETTERS = 18  # of a line of it


def tile(images: np.ndarray, columns: int, above: int = 0) -> np.ndarray:
    """Images side by side on white, row after row, as one image in 0..1.

    Args:
        images: (n, height, width, channels). With one channel ink is bright, and is drawn dark and in full contrast;
            with several they are 0..255.
        columns: images in a row.
        above: pixels that stay free over each image.

    Returns:
        (h, w) of one channel, else (h, w, channels).
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.ones((rows * (height + GAP + above) + GAP, columns * (width + GAP) + GAP, channels))
    for index, image in enumerate(images):
        top, left = _corner(index, (height, width), columns, above)
        shown = 1 - image / max(float(image.max()), 1.0) if channels == 1 else image / 255
        sheet[top : top + height, left : left + width] = shown
    return sheet[..., 0] if channels == 1 else sheet


def _corner(index: int, size: tuple[int, int], columns: int, above: int = 0) -> tuple[int, int]:
    """Top and left pixel of an image of a tile."""
    height, width = size
    return index // columns * (height + GAP + above) + GAP + above, index % columns * (width + GAP) + GAP


def draw_tile(axes: Axes, images: np.ndarray, columns: int, framed: np.ndarray | None = None) -> None:
    """Draw images on axes without ticks, with a frame around those selected by `framed`, bool (n,)."""
    axes.imshow(tile(images, columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    height, width = images.shape[1:3]
    for index in np.flatnonzero(framed) if framed is not None else ():
        top, left = _corner(index, (height, width), columns)
        corner = (left - (GAP + 1) / 2, top - (GAP + 1) / 2)
        axes.add_patch(Rectangle(corner, width + GAP, height + GAP, fill=False, edgecolor=PALETTE[1], lw=1.8))


@styled
def sheet(images: np.ndarray, captions: Sequence[str], columns: int = 10) -> Figure:
    """Images with a line or several over each.

    images: uint8, as for `tile`. captions: n short texts. columns: images side by side.
    """
    size = images.shape[1:3]
    inch = (size[1] + GAP) / INCHES
    above = round(inch * LINE * max((text.count("\n") + 1 for text in captions), default=0))
    tiles = tile(images, columns, above)
    figure = Figure(figsize=(INCHES * columns, len(tiles) / inch + 0.6), layout="constrained")
    axes = figure.subplots()  # one for all: an axes for each image takes a minute for a thousand
    axes.imshow(tiles, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    for index, text in enumerate(captions):
        top, left = _corner(index, size, columns, above)
        axes.text(left + size[1] / 2, top - 1, text, fontsize=8, ha="center", va="bottom", linespacing=1.1)
    return figure


def fitted(*parts: str, between: str = "  ") -> str:
    """Parts of a caption of `sheet` in one line, or below each other where an image is too narrow for that."""
    line = between.join(parts)
    return line if len(line) <= LETTERS else f"{between.rstrip()}\n".join(parts)


def save_grey(figure: Figure, path: Path) -> None:
    """Save a figure without colours as a PNG of `GREYS` greys: a third of the size, and nobody sees the difference."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    grey = np.asarray(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L"))
    steps = np.rint(np.rint(grey * ((GREYS - 1) / 255)) * (255 / (GREYS - 1)))
    Image.fromarray(steps.astype(np.uint8)).save(path, optimize=True)
