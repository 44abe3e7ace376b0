"""Drift between two tables, found by a classifier that tries to tell their rows apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from digits.ensemble.interval import Interval
from digits.seeds import as_int, derive

ROWS = 30_000  # of each table, at most: with half of them to judge, an AUC of 0.51 stands out
LEAST = 10  # rows of each table: fewer show nothing
LEVEL = 0.01  # of the p-value below which the tables differ: one pair of equal tables in a hundred seems to


@dataclass(frozen=True, eq=False)
class TwoSampleTest:
    """Result of a classifier that tells rows apart that it was not fitted to.

    is_test: bool (n,), half of them. scores: its probability that a row is of the test table, float64 (n,).
    auc: with its 95 % interval. accuracy: share of rows that it guessed right. p_value: of guessing as many by chance.
    """

    is_test: np.ndarray
    scores: np.ndarray
    auc: Interval
    accuracy: float
    p_value: float

    @property
    def differ(self) -> bool:
        """The classifier can tell the tables apart."""
        return self.p_value < LEVEL


def two_sample_test(train: np.ndarray, test: np.ndarray, seed: np.random.SeedSequence) -> TwoSampleTest | None:
    """A classifier two-sample test (D. Lopez-Paz, M. Oquab, "Revisiting Classifier Two-Sample Tests", 2017).

    As many rows of one table as of the other are drawn; gradient-boosted trees learn from half of them and guess the
    table of the other half. If both tables come from one population, the number of right guesses is binomial with
    even odds. Cross-validation would judge every row, but its guesses are not independent: on random halves of MNIST
    the standard deviation of their number was 1.2 times the binomial one.

    train: features of rows, float (n, d). test: of others, float (m, d). seed: of the rows taken and of the trees.

    Returns:
        None where one of them has fewer than `LEAST` rows.
    """
    from scipy.stats import binomtest  # takes longer to import than everything else here

    size = min(len(train), len(test), ROWS) // 2
    if size < LEAST // 2:
        return None
    draw = np.random.default_rng(derive(seed, "rows"))
    drawn = [table[draw.permutation(len(table))[: 2 * size]] for table in (train, test)]
    seen, judged = (np.concatenate([table[half] for table in drawn]) for half in (slice(size), slice(size, None)))
    is_test = np.arange(2 * size) >= size
    model = HistGradientBoostingClassifier(max_iter=50, max_leaf_nodes=15, random_state=as_int(derive(seed, "trees")))
    with threadpool_limits(1):  # more threads mostly wait for each other on so few rows
        scores = model.fit(seen, is_test).predict_proba(judged)[:, 1]
    right = (scores > 0.5) == is_test
    p_value = float(binomtest(int(right.sum()), len(right), alternative="greater").pvalue)
    return TwoSampleTest(is_test, scores, _auc(is_test, scores), float(right.mean()), p_value)


def _auc(positive: np.ndarray, scores: np.ndarray) -> Interval:
    """The area under the ROC curve (J. Hanley, B. McNeil, Radiology 143, 1982)."""
    area = float(roc_auc_score(positive, scores))
    many, others = int(positive.sum()), int((~positive).sum())
    above, below = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (many - 1) * (above - area**2) + (others - 1) * (below - area**2)
    margin = 1.96 * np.sqrt(variance / (many * others))
    return Interval(area, max(0.0, float(area - margin)), min(1.0, float(area + margin)))
