"""Parts of the map in a browser, which `map.js` draws: its script, colours, names and images."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

SIDE, WIDEST = 28, 8_192  # pixels of an image on the sprite, and of the sprite, at most
WRONG = "#D40000"  # a mistake
COLOURS = [  # of groups; each has a contrast of 2.5 or more on white and on the dark theme; the first ten are not red
    "#0072B2", "#D55E00", "#008460", "#C060CC", "#FC6CC0", "#60B400", "#9084FC", "#785424", "#F08400", "#00A8D8",
    "#B40000", "#006C00", "#D85460", "#9C30A8", "#788400", "#CC909C", "#6048CC", "#00A884", "#246060", "#6C5484",
    "#B46C18", "#A89C54", "#B4306C", "#2484FC", "#846CC0", "#9090C0", "#9C5454", "#84A89C", "#B46090", "#FC786C",
]  # fmt: skip


class Sprite(NamedTuple):
    """Images side by side in one file. side: pixels of a side of each; across: images in a row."""

    file: bytes
    side: int
    across: int


def sprite(images: np.ndarray, form: str, **options: Any) -> Sprite:
    """Images side by side, in a square; grey ones with dark ink, as on paper.

    Args:
        images: uint8 (n, height, width, channels).
        form: format of the file, as Pillow names it.
        options: of that format.
    """
    count, height, width, channels = images.shape
    across = math.ceil(math.sqrt(count))
    side = max(1, min(SIDE, max(height, width), WIDEST // across))
    if (height, width) != (side, side):
        small = [np.asarray(_picture(image).resize((side, side), Image.Resampling.BOX)) for image in images]
        images = np.stack(small).reshape(count, side, side, channels)
    rows = math.ceil(count / across)
    sheet = np.full((rows * across, side, side, channels), 255, np.uint8)
    sheet[:count] = 255 - images if channels == 1 else images
    sheet = sheet.reshape(rows, across, side, side, channels).swapaxes(1, 2)
    file = io.BytesIO()
    _picture(sheet.reshape(rows * side, across * side, channels)).save(file, form, **options)
    return Sprite(file.getvalue(), side, across)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def middles(points: np.ndarray, groups: np.ndarray, names: Sequence[str]) -> list[tuple[str, float, float]]:
    """Name of each group, in the midst of its points.

    Args:
        points: float or int (n, 2).
        groups: number of each point's group, int (n,).
        names: of the groups.
    """
    return [(names[group], *np.median(points[groups == group], axis=0).tolist()) for group in np.unique(groups)]


def script() -> str:
    """The JavaScript of the map, a module."""
    return Path(__file__).with_name("map.js").read_text(encoding="utf-8")
