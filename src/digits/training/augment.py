"""Augmentation with albumentations over a whole epoch at once, and the views of test-time augmentation.

albumentations costs about 0.1 ms of Python for each call on a 28x28 image, whatever the image holds. So
the images of a small pack travel through one call as channels of one image and share its draw; the packs
are drawn anew each epoch, apart from the batches, so that no two images keep company for long.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from digits.config import Augmentation
from digits.seeds import as_int, derive

if TYPE_CHECKING:
    from albumentations import BasicTransform

# Pixels by which each view of test-time augmentation is moved up and left.
VIEWS = {"shifts": [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]}


def augment(
    images: np.ndarray, settings: Augmentation, seed: np.random.SeedSequence, rows: np.ndarray | None = None
) -> np.ndarray:
    """Draw one augmented copy of every image, or of some.

    Args:
        images: uint8 (n, height, width, channels).
        settings: ranges and probabilities; `settings.pack` images share one draw.
        seed: decides every draw; the same seed gives the same bytes.
        rows: of which images, int (r,); by default of all.

    Returns:
        uint8 (r, height, width, channels), in the order of `rows`; without them and any transform `images` itself.
    """
    if not settings.is_active:
        return images if rows is None else images[rows]
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for updates at import
    import albumentations
    import cv2

    cv2.setNumThreads(0)  # OpenCV's own threads fight with TensorFlow's
    draw = albumentations.Compose(_transforms(settings), seed=as_int(derive(seed, "draw")))
    rows = np.arange(len(images)) if rows is None else rows
    order = np.random.default_rng(derive(seed, "packs")).permutation(len(rows))
    height, width, channels = images.shape[1:]
    augmented = np.empty((len(rows), height, width, channels), images.dtype)
    for start in range(0, len(order), settings.pack):
        pack = order[start : start + settings.pack]
        stacked = images[rows[pack]].transpose(1, 2, 0, 3).reshape(height, width, -1)
        drawn = draw(image=np.ascontiguousarray(stacked))["image"]
        augmented[pack] = drawn.reshape(height, width, -1, channels).transpose(2, 0, 1, 3)
    return augmented


def _transforms(settings: Augmentation) -> list[BasicTransform]:
    import albumentations as library

    transforms: list[BasicTransform] = []
    if settings.is_affine:
        transforms.append(
            library.Affine(
                rotate=(-settings.rotation, settings.rotation),
                translate_percent=(-settings.shift, settings.shift),
                scale=(1 - settings.zoom, 1 + settings.zoom),
                shear=(-settings.shear, settings.shear),
                p=1.0,
            )
        )
    elastic, grid, erasing = settings.elastic, settings.grid, settings.erasing
    if elastic.probability:
        transforms.append(library.ElasticTransform(alpha=elastic.alpha, sigma=elastic.sigma, p=elastic.probability))
    if grid.probability:
        limits = (-grid.limit, grid.limit)
        transforms.append(library.GridDistortion(num_steps=grid.steps, distort_limit=limits, p=grid.probability))
    if erasing.probability:
        transforms.append(library.Erasing(scale=(erasing.scale / 4, erasing.scale), p=erasing.probability))
    return transforms


def views(images: np.ndarray, tta: str) -> Iterator[np.ndarray]:
    """The views of test-time augmentation `tta`: each uint8 (n, height, width, channels), as `images`."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = images.shape[1:3]
    for up, left in VIEWS[tta]:
        yield padded[:, 1 + up : 1 + up + height, 1 + left : 1 + left + width]
