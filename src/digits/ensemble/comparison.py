"""Two classifiers on the same rows: what differs, and whether it could be chance."""

from __future__ import annotations

import numpy as np

from digits.ensemble.interval import Interval, bootstrapped

DRAWS = 10_000


def accuracy_difference(a_right: np.ndarray, b_right: np.ndarray, generator: np.random.Generator) -> Interval:
    """Accuracy of B minus accuracy of A with the interval of a paired bootstrap: bool (n,) each, row by row."""
    rows = len(a_right)
    gained, lost = int((b_right & ~a_right).sum()), int((a_right & ~b_right).sum())
    shares = np.array([gained, lost, rows - gained - lost]) / rows
    draws = generator.multinomial(rows, shares, DRAWS)  # the same as drawing rows: only three kinds differ
    return bootstrapped((gained - lost) / rows, (draws[:, 0] - draws[:, 1]) / rows)


def mean_difference(a: np.ndarray, b: np.ndarray, generator: np.random.Generator, draws: int = 1000) -> Interval:
    """Mean of B minus mean of A: float (n,) each, row by row; a loss, say."""
    differences = b - a
    rows = len(differences)
    means = np.array([differences[generator.integers(0, rows, rows)].mean() for _ in range(draws)])
    return bootstrapped(float(differences.mean()), means)


def mcnemar(a_right: np.ndarray, b_right: np.ndarray) -> float:
    """The two-sided p-value of McNemar's exact test: bool (n,) each, row by row.

    Of the rows that only one of the two got right, each should have an even share if they are equally good
    (Q. McNemar, Psychometrika 12, 1947; exact binomial form).
    """
    from scipy.stats import binomtest  # takes longer to import than everything else here

    gained, lost = int((b_right & ~a_right).sum()), int((a_right & ~b_right).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
