"""The rows of a competition in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LEFT_OUT = -1  # in the place of a target: the row is not learned


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class Dataset:
    """The rows of a competition, in the order of its CSVs.

    name: of the competition, "demo", or that of another data set's files.
    source: where the rows come from, for people.
    train_images: uint8 (n, height, width, channels). train_labels: int64 or str (n,).
    test_images: uint8 (m, height, width, channels). test_labels: (m,), the truth for a true score where it is known.
    test_ids: int64 (m,), of the test rows in a submission, where their table has ids.
    note: one line on what was assumed in reading the tables; empty where nothing was.
    corrected: what networks learn instead of `targets`, int32 (n,), `LEFT_OUT` for rows that they do not learn; None
        where that is `targets`. No score is computed with it.
    """

    name: str
    source: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray | None = None
    test_ids: np.ndarray | None = None
    note: str = ""
    corrected: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.train_images.shape[1:]

    @cached_property
    def classes(self) -> np.ndarray:
        """The labels seen in training, ascending: int64 or str (c,)."""
        return np.unique(self.train_labels)

    @cached_property
    def targets(self) -> np.ndarray:
        """Index of each training row's label in `classes`: int32 (n,)."""
        return np.searchsorted(self.classes, self.train_labels).astype(np.int32)

    @property
    def rows(self) -> Rows:
        """The training rows."""
        return Rows(self.train_images, self.targets, len(self.classes), self.corrected)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the training pixels and labels."""
        return _fingerprint(self.train_images, self.train_labels)

    @cached_property
    def test_fingerprint(self) -> str:
        """SHA-256 of the test pixels."""
        return _fingerprint(self.test_images)

    @property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of all that a run is made from: of the training and the test table, and of corrected labels."""
        corrected = {} if self.corrected is None else {"corrections": hashlib.sha256(self.corrected).hexdigest()}
        return {"train": self.fingerprint, "test": self.test_fingerprint} | corrected


@dataclass(frozen=True, eq=False)
class Rows:
    """Labelled images.

    images: uint8 (n, height, width, channels). targets: the index of each label, int32 (n,), below `classes`.
    corrected: see `Dataset`.
    """

    images: np.ndarray
    targets: np.ndarray
    classes: int
    corrected: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: np.ndarray) -> Rows:
        """Select rows by number, int (m,), in their order."""
        corrected = None if self.corrected is None else self.corrected[rows]
        return Rows(self.images[rows], self.targets[rows], self.classes, corrected)

    def hold_out(self, folds: np.ndarray, fold: int) -> Split:
        """Split off a fold, whose targets stay as given; of the others, the corrected ones are learned.

        folds: of each row, int (n,).
        """
        learned, held_out = folds != fold, np.flatnonzero(folds == fold)
        if self.corrected is None:
            return Split(self, np.flatnonzero(learned), held_out)
        rows = Rows(self.images, np.where(learned, self.corrected, self.targets), self.classes)
        return Split(rows, np.flatnonzero(learned & (self.corrected != LEFT_OUT)), held_out)


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows of one network, and rows that are held out.

    rows: the whole table, which is only read: processes may share it. learned, held_out: numbers of rows, int (r,) and
    (h,).
    """

    rows: Rows
    learned: np.ndarray
    held_out: np.ndarray


def _fingerprint(images: np.ndarray, *labels: np.ndarray) -> str:
    """SHA-256 of arrays; a single channel does not count, so that the fingerprints of earlier versions are the same."""
    digest = hashlib.sha256()
    for values in (images[..., 0] if images.shape[-1] == 1 else images, *labels):
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()
