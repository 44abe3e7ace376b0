"""The out-of-fold predictions that everything here measures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Predictions:
    """The ensemble's predictions for the out-of-fold rows.

    rows: row numbers, int (n,), ascending. folds: int (n,). targets, chosen: class indices, int (n,). probabilities:
    float (n, c); where the ensemble votes, those of the mean.
    """

    rows: np.ndarray
    folds: np.ndarray
    targets: np.ndarray
    chosen: np.ndarray
    probabilities: np.ndarray

    @cached_property
    def right(self) -> np.ndarray:
        """Each row's choice is its label, bool (n,)."""
        return self.chosen == self.targets

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of each row's choice, float (n,)."""
        return self.probabilities[np.arange(len(self.rows)), self.chosen]

    @cached_property
    def second(self) -> np.ndarray:
        """The most probable class other than each row's choice, int (n,)."""
        others = self.probabilities.copy()
        others[np.arange(len(self.rows)), self.chosen] = -1
        return others.argmax(axis=1)

    @cached_property
    def mistakes(self) -> np.ndarray:
        """Indices of the wrong rows, the most confident first, int (w,)."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]
