"""Deal the training rows out to folds."""

from __future__ import annotations

import hashlib

import numpy as np

from digits.errors import UserError
from digits.seeds import as_int


def assign(images: np.ndarray, labels: np.ndarray, count: int, seed: int, setting: str = "folds.count") -> np.ndarray:
    """Assign each row to a fold: int64 (n,), from 0 to count - 1.

    Stratified by label over the distinct images. An exact duplicate goes to the fold of its first copy, so that no
    network is scored on an image that it was trained on.

    images: uint8 (n, height, width, channels). labels: (n,). count: at least 2. seed: any whole number >= 0. setting:
    of the config, where the count comes from.

    Raises:
        UserError: a class has fewer distinct images than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold  # seconds to import; `digits.data` must stay fast

    first, copy_of = np.unique(first_copies(images), return_inverse=True)
    classes, sizes = np.unique(labels[first], return_counts=True)
    if sizes.min() < count:
        rarest, most = sizes.argmin(), sizes.min()
        advice = "add rows of it, or leave it out" if most < 2 else f"lower {setting} to {most}, or add rows of it"
        images = "image" if most == 1 else "images"
        raise UserError(
            f"class {classes[rarest]} has {most} distinct training {images}, too few for {count} folds; {advice}"
        )
    splitter = StratifiedKFold(count, shuffle=True, random_state=as_int(np.random.SeedSequence(seed)))
    folds = np.empty(len(first), np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(first, labels[first])):
        folds[held_out] = fold
    return folds[copy_of]


def first_copies(images: np.ndarray) -> np.ndarray:
    """Number of the first row with the same pixels as each row: int64 (n,) of uint8 (n, ...)."""
    seen: dict[bytes, int] = {}
    digests = (hashlib.sha256(image.tobytes()).digest() for image in images)
    return np.fromiter((seen.setdefault(digest, row) for row, digest in enumerate(digests)), np.int64, len(images))
