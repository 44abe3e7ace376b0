"""Somebody's own picture of a digit, brought to the form of the training data."""

from __future__ import annotations

import io
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from digits.errors import UserError

MOST_PIXELS = 64_000_000  # of a picture that is opened at all: a phone's are a third of it
BOX = 20 / 28  # share of the side that the digit's box takes in the training data
FAINT = 0.2  # of the strongest ink: what is paler is paper


def read(file: BinaryIO) -> np.ndarray:
    """A picture file in shades of grey, uint8 (height, width); turned as its rotation tag says, on white paper.

    Raises:
        UserError: it is no picture that can be read, or too large.
    """
    try:
        with Image.open(io.BytesIO(file.read())) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise UserError(f"{picture.width}x{picture.height} pixels are too many; {MOST_PIXELS:,} are allowed")
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"no picture that can be read ({' '.join(str(error).split())[:100]})") from None
    paper = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(paper, upright).convert("L"))


def to_digit(picture: np.ndarray, side: int) -> np.ndarray | None:
    """The digit of a picture as the training data would show it, or None where there is no ink.

    As the makers of MNIST did it: the ink's box brought to 20 of 28 pixels, its centre of mass to the middle.

    Args:
        picture: uint8 (height, width), dark ink on light paper or the other way round.
        side: of the training images.

    Returns:
        uint8 (side, side), ink bright.
    """
    ink = _ink(picture)
    rows, columns = np.flatnonzero(ink.max(axis=1) > FAINT), np.flatnonzero(ink.max(axis=0) > FAINT)
    if not len(rows):
        return None
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX * side / max(digit.shape)
    size = [max(1, round(length * scale)) for length in digit.shape[::-1]]
    small = cv2.resize(digit, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return (255 * np.clip(_centred(small, side) / small.max(), 0, 1)).astype(np.uint8)


def _ink(picture: np.ndarray) -> np.ndarray:
    """How far each pixel is from the paper, float32 (height, width), the strongest ink 1; all 0 on a blank picture."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ink = np.abs(picture.astype(np.float32) - np.median(border))
    strongest = ink.max()
    return np.where(ink > FAINT * strongest, ink, 0) / strongest if strongest > 16 else np.zeros_like(ink)


def _centred(small: np.ndarray, side: int) -> np.ndarray:
    """The small image on an empty one, its centre of mass in the middle."""
    rows, columns = np.indices(small.shape)
    middle = (np.average(columns, weights=small), np.average(rows, weights=small))
    shift = np.float32([[1, 0, (side - 1) / 2 - middle[0]], [0, 1, (side - 1) / 2 - middle[1]]])
    return cv2.warpAffine(small, shift, (side, side))
