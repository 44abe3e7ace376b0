"""Measures of images before anything is trained: ink, slant, intensities, principal components."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from digits.seeds import derive

COMPONENTS = 50  # four fifths of the variance of handwritten digits
FITTED_ROWS = 10_000  # that the components are found on; all rows are then projected
BLOCK = 100_000  # rows that are brought from bytes to floats at a time


class Shapes(NamedTuple):
    """Ink of each image, its mean intensity as a share of white, and its slant in degrees: float64 (n,) each."""

    ink: np.ndarray
    slant: np.ndarray


def grey(images: np.ndarray) -> np.ndarray:
    """Brightness of images, uint8 (n, height, width) of uint8 (n, height, width, channels)."""
    return images[..., 0] if images.shape[-1] == 1 else images.mean(axis=-1).round().astype(np.uint8)


def class_images(images: np.ndarray, targets: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every pixel in every class, in shares of white: float64 (classes, height, width).

    images: uint8 (n, height, width). targets: the class of each, int (n,); each class has a row.
    """
    groups = (images[targets == target] / white(images) for target in range(classes))
    means, deviations = zip(*((group.mean(axis=0), group.std(axis=0)) for group in groups), strict=True)
    return np.stack(means), np.stack(deviations)


def intensity_counts(images: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of each class by intensity, int64 (classes, 256): images uint8 (n, height, width), targets int (n,)."""
    levels = np.iinfo(images.dtype).max + 1
    groups = (images[targets == target].ravel() for target in range(classes))
    return np.stack([np.bincount(pixels, minlength=levels) for pixels in groups])


def shapes(images: np.ndarray) -> Shapes:
    """Measure ink and slant of images, uint8 (n, height, width).

    The slant is what deskewing takes away: that of the line through the middles of the rows of pixels, fitted by the
    second moments of the ink, mu11 / mu02. Upright is 0, leaning to the right like italics is positive. Without ink, or
    with ink in one row of pixels only, it is 0.
    """
    offsets = (np.arange(size) - (size - 1) / 2 for size in images.shape[1:])  # from the middle: small sums are exact
    y, x = (grid.ravel() for grid in np.meshgrid(*offsets, indexing="ij"))
    weights = np.stack([np.ones_like(x), x, y, x * y, y * y], axis=1).astype(np.float32)
    sums = np.concatenate([block.astype(np.float32) @ weights for block in _blocks(images)]).astype(np.float64)
    mass = sums[:, 0]
    mean_x, mean_y, mean_xy, mean_yy = (sums[:, 1:] / np.maximum(mass, 1)[:, None]).T
    covariance, variance = mean_xy - mean_x * mean_y, mean_yy - mean_y**2
    upright = variance < 1e-3  # of a pixel squared; a stroke of two rows has 0.25
    skew = np.divide(covariance, variance, out=np.zeros(len(images)), where=~upright)
    return Shapes(mass / (x.size * white(images)), np.degrees(np.arctan(-skew)))


def components(images: np.ndarray, seed: np.random.SeedSequence) -> np.ndarray:
    """Principal components of pixels in shares of white, found on some rows: float32 (n, at most `COMPONENTS`).

    The projection is orthogonal: distances between components are never larger than between images.

    images: uint8 (n, height, width, channels). seed: of the rows.
    """
    rows = np.random.default_rng(derive(seed, "rows")).permutation(len(images))[:FITTED_ROWS]
    pixels = images[rows].reshape(len(rows), -1) / white(images)
    count = min(COMPONENTS, *pixels.shape)
    with threadpool_limits(1):  # a second of work, which threads on busy cores make ten
        model = PCA(count, svd_solver="covariance_eigh").fit(pixels)
        projected = [model.transform(block / white(images)) for block in _blocks(images)]
        return np.concatenate(projected).astype(np.float32, copy=False)


def _blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Flat rows, uint8 (at most `BLOCK`, pixels) each time."""
    flat = images.reshape(len(images), -1)
    return (flat[start : start + BLOCK] for start in range(0, len(flat), BLOCK))


def white(images: np.ndarray) -> np.float32:
    """The largest intensity that an image can have."""
    return np.float32(np.iinfo(images.dtype).max)
