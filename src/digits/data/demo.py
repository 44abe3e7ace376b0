"""The embedded demo set: scikit-learn's 1,797 handwritten digits in the form of the competition.

The originals are 8x8 pixels with values 0 to 16 (Alpaydin and Kaynak, 1998, UCI Machine Learning Repository). Like
MNIST's, the digits here fill a 20x20 box that is placed by its centre of mass in 28x28.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from digits.data.dataset import Dataset
from digits.data.source import DEMO

SIDE = 28
BOX = 20
# Shares of an image's maximum that become black and white. Enlarging blurs the strokes and rings around them; these
# limits make edges about as steep, and ink about as plentiful, as MNIST's.
BLACK, WHITE = 0.2, 0.75
TEST_SHARE = 0.4
SPLIT_SEED = 0


def demo() -> Dataset:
    """Make 1,078 training and 719 test images, always the same ones, whose test labels are known."""
    originals, labels = load_digits(return_X_y=True)
    images = _mnist_like(originals.reshape(-1, 8, 8))
    labels = labels.astype(np.int64)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=SPLIT_SEED
    )
    return Dataset(
        name=DEMO,
        source="scikit-learn's handwritten digits, enlarged to 28x28",
        train_images=images[train, ..., None],
        train_labels=labels[train],
        test_images=images[test, ..., None],
        test_labels=labels[test],
    )


def _mnist_like(originals: np.ndarray) -> np.ndarray:
    """Enlarge float (n, 8, 8) to uint8 (n, 28, 28), smooth, centred, in full contrast."""
    # The spline is linear in the pixels, so the enlarged unit pixels, as a matrix, enlarge every image.
    spline = zoom(np.eye(originals.shape[1]), (BOX / originals.shape[1], 1), order=3, mode="nearest", grid_mode=True)
    boxes = spline @ originals @ spline.T
    boxes /= boxes.max(axis=(1, 2), keepdims=True)
    boxes = 255 * np.clip((boxes - BLACK) / (WHITE - BLACK), 0, 1)
    images = np.zeros((len(boxes), SIDE, SIDE), np.uint8)
    for image, box, (top, left) in zip(images, boxes.round(), _corners(boxes), strict=True):
        image[top : top + BOX, left : left + BOX] = box
    return images


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Top and left of each box that put its centre of mass into the image's centre: int64 (n, 2)."""
    index = np.arange(BOX)
    mass = boxes.sum(axis=(1, 2))
    centre = np.stack([boxes.sum(axis=2) @ index, boxes.sum(axis=1) @ index], axis=1) / mass[:, None]
    corner = np.rint((SIDE - 1) / 2 - centre).astype(np.int64)
    return corner.clip(0, SIDE - BOX)
