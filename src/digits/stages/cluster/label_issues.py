"""Rows whose label may be wrong: those that nothing else agrees with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 10
SEARCHED = 50_000  # rows among which neighbours are looked for: among all, time would grow with their square


@dataclass(frozen=True, eq=False)
class Queue:
    """Candidates, the most suspicious first.

    rows: int (q,), indices in the arrays that were given. believed: float (q,), the probability of the given
    label. neighbours: float (q,), the share of the nearest rows that have the given label.
    """

    rows: np.ndarray
    believed: np.ndarray
    neighbours: np.ndarray


def label_queue(
    probabilities: np.ndarray, targets: np.ndarray, cluster_classes: np.ndarray, features: np.ndarray
) -> Queue:
    """Rows whose out-of-fold prediction, cluster and neighbours all speak against their label.

    Ranked by the probability of the given label, ascending, as in confident learning (C. G. Northcutt,
    L. Jiang, I. L. Chuang, 2021); the members that give it never saw the row.

    Args:
        probabilities: out-of-fold, float (n, classes).
        targets: the class of the label of each row, int (n,).
        cluster_classes: the most frequent class of the cluster of each row, int (n,); -1 for noise.
        features: in which rows have neighbours, float (n, d); they are looked for among `SEARCHED` rows at most.
    """
    odd = np.flatnonzero((probabilities.argmax(axis=1) != targets) & (cluster_classes != targets))
    if not len(odd):
        return Queue(odd, np.empty(0), np.empty(0))
    searched = np.sort(np.random.default_rng(0).permutation(len(features))[:SEARCHED])
    most = min(NEIGHBOURS + 1, len(searched))  # of which the nearest is the row itself, where it is among them
    near = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(features[searched])
    found = searched[near.kneighbors(features[odd], return_distance=False)]
    others = found != odd[:, None]
    others[others.all(axis=1), -1] = False
    share = ((targets[found] == targets[odd, None]) & others).sum(axis=1) / (most - 1)
    contradicted = share < 0.5
    odd, share = odd[contradicted], share[contradicted]
    believed = probabilities[odd, targets[odd]]
    order = np.argsort(believed, kind="stable")
    return Queue(odd[order], believed[order], share[order])
