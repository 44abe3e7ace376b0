"""Clusterings of feature vectors, and how well they agree with the labels.

No clusterer sees a label. For features of a network that was trained on labels, agreement with the labels is a
statement about the network, and not to be compared with records of unsupervised clustering.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from joblib import Parallel, delayed
from scipy.optimize import linear_sum_assignment
from sklearn import cluster, metrics, mixture
from sklearn.base import ClusterMixin
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from digits.ensemble.interval import Interval, bootstrapped

NOISE = -1  # the cluster of rows that a clusterer leaves out
DRAWS = 1000
REFITS = 10
REFIT_ROWS = 5_000
NEIGHBOURS = 10  # for the densities of DBSCAN and HDBSCAN
CHUNK = 256  # rows of the distance matrix at a time
EXACT_ROWS = 50_000  # of silhouettes: all pairs of them are measured; more would settle the mean's fourth digit


def neighbour_distances(features: np.ndarray) -> np.ndarray:
    """The distance of every row to its `NEIGHBOURS`-th nearest, ascending: float64 (n,)."""
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(features)
    return np.sort(near.kneighbors()[0][:, -1]).astype(np.float64)


def knee(curve: np.ndarray) -> float:
    """The value of an ascending curve where it bends upward: the point farthest below its chord.

    V. Satopaa et al., "Finding a 'Kneedle' in a Haystack", 2011, without the smoothing.
    """
    progress = np.linspace(0, 1, len(curve))
    span = curve[-1] - curve[0]
    height = (curve - curve[0]) / span if span > 0 else progress
    return float(curve[np.argmax(progress - height)])


@dataclass(frozen=True)
class Clusterer:
    """A way to cluster.

    make: gives the estimator for features float (n, d), a number of clusters and a seed; those that find their own
    number ignore it. most_rows: that it can take in reasonable time.
    """

    make: Callable[[np.ndarray, int, int], ClusterMixin]
    most_rows: int | None = None

    def fit(self, features: np.ndarray, k: int, seed: int) -> np.ndarray:
        """The cluster of every row of features float (n, d), int (n,); NOISE for rows that are left out."""
        with warnings.catch_warnings():  # groups without a path between them are what is looked for
            warnings.filterwarnings("ignore", "Graph is not fully connected")
            return self.make(features, k, seed).fit_predict(features)


def _dbscan(features: np.ndarray, k: int, seed: int) -> ClusterMixin:
    """DBSCAN with epsilon at the knee of the k-distance curve."""
    return cluster.DBSCAN(eps=knee(neighbour_distances(features)), min_samples=NEIGHBOURS)


def _hdbscan(features: np.ndarray, k: int, seed: int) -> ClusterMixin:
    """HDBSCAN with clusters of at least 1 % of the rows."""
    smallest = max(NEIGHBOURS, len(features) // 100)
    return cluster.HDBSCAN(min_cluster_size=smallest, min_samples=NEIGHBOURS, copy=True)


def _spectral(features: np.ndarray, k: int, seed: int) -> ClusterMixin:
    graph = {"affinity": "nearest_neighbors", "n_neighbors": NEIGHBOURS}
    return cluster.SpectralClustering(k, assign_labels="cluster_qr", random_state=seed, **graph)


CLUSTERERS = {
    "kmeans": Clusterer(lambda _, k, seed: cluster.KMeans(k, n_init=10, random_state=seed)),
    "minibatch_kmeans": Clusterer(
        lambda _, k, seed: cluster.MiniBatchKMeans(k, n_init=10, batch_size=4096, random_state=seed)
    ),
    "gaussian_mixture": Clusterer(lambda _, k, seed: mixture.GaussianMixture(k, reg_covar=1e-4, random_state=seed)),
    "ward": Clusterer(lambda _, k, seed: cluster.AgglomerativeClustering(k, linkage="ward"), 10_000),
    "dbscan": Clusterer(_dbscan, 10_000),
    "hdbscan": Clusterer(_hdbscan, 10_000),
    "spectral": Clusterer(_spectral, 5_000),
}


def contingency(clusters: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rows by cluster and class, both ascending, without noise: int (clusters, classes)."""
    kept = clusters != NOISE
    return metrics.cluster.contingency_matrix(clusters[kept], targets[kept])


def ordered(clusters: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Number clusters from 0 in the order of their most frequent class, the largest first: int (n,)."""
    kept = clusters != NOISE
    table = contingency(clusters, targets)
    order = np.lexsort((-table.sum(axis=1), table.argmax(axis=1))) if kept.any() else np.empty(0, int)
    renumbered = np.full(len(clusters), NOISE)
    for number, old in enumerate(np.unique(clusters[kept])[order]):
        renumbered[clusters == old] = number
    return renumbered


def purity(clusters: np.ndarray, targets: np.ndarray) -> float:
    """Share of rows that have the most frequent class of their cluster; noise counts as wrong.

    C. D. Manning, P. Raghavan, H. Schütze, "Introduction to Information Retrieval", 2008, section 16.3.
    """
    return float(contingency(clusters, targets).max(axis=1, initial=0).sum() / len(targets))


def hungarian_accuracy(clusters: np.ndarray, targets: np.ndarray) -> float:
    """Share of rows that are right when each class is given to one cluster at most, in the best way."""
    table = contingency(clusters, targets)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(targets))


def agreement(clusters: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Scores of a clustering against the classes; noise is one more cluster in all but the first two."""
    homogeneity, completeness, _ = metrics.homogeneity_completeness_v_measure(targets, clusters)
    return {
        "purity": purity(clusters, targets),
        "hungarian_accuracy": hungarian_accuracy(clusters, targets),
        "nmi": float(metrics.normalized_mutual_info_score(targets, clusters)),
        "ari": float(metrics.adjusted_rand_score(targets, clusters)),
        "homogeneity": float(homogeneity),
        "completeness": float(completeness),
        "noise": float((clusters == NOISE).mean()),
        "clusters": len(np.unique(clusters[clusters != NOISE])),
    }


def silhouettes(features: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """The silhouette of every row, exact: float64 (n,), NaN for noise, 0 in a cluster of one.

    The value of scikit-learn's `silhouette_samples` (P. J. Rousseeuw, 1987), in a fraction of the time: the
    distances of many rows to all others are added up cluster by cluster as one matrix product.
    """
    values = np.full(len(clusters), np.nan)
    kept = np.flatnonzero(clusters != NOISE)
    numbers, own, sizes = np.unique(clusters[kept], return_inverse=True, return_counts=True)
    if not 1 < len(numbers) < len(kept):
        return values
    points = (features[kept] - features[kept].mean(axis=0)).astype(np.float32)
    squares = np.einsum("nd,nd->n", points, points)
    member = np.zeros((len(kept), len(numbers)), np.float32)
    member[np.arange(len(kept)), own] = 1

    def summed_distances(start: int) -> np.ndarray:
        """Sum the distances of a chunk of rows to each cluster: float32 (rows, clusters)."""
        rows = np.arange(start, min(start + CHUNK, len(kept)))
        distances = points[rows] @ points.T
        distances *= -2
        distances += squares
        distances += squares[rows, None]
        np.maximum(distances, 0, out=distances)
        np.sqrt(distances, out=distances)
        distances[np.arange(len(rows)), rows] = 0
        return distances @ member

    with threadpool_limits(1), Parallel(-1, prefer="threads") as parallel:  # a thread a chunk, not a product
        chunks = parallel(delayed(summed_distances)(start) for start in range(0, len(kept), CHUNK))
    sums, rows = np.concatenate(chunks).astype(np.float64), np.arange(len(kept))
    inside = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[rows, own] = np.inf
    outside = means.min(axis=1)
    larger = np.maximum(inside, outside)
    silhouettes = np.divide(outside - inside, larger, out=np.zeros(len(kept)), where=larger > 0)
    values[kept] = np.where(sizes[own] > 1, silhouettes, 0.0)
    return values


@dataclass(frozen=True, eq=False)
class Clustering:
    """Rows in a space, float (n, d), with their clusters, int (n,), and the classes of their labels, int (n,)."""

    space: np.ndarray
    clusters: np.ndarray
    targets: np.ndarray

    @cached_property
    def numbers(self) -> np.ndarray:
        """Numbers of the clusters, ascending, without noise."""
        return np.unique(self.clusters[self.clusters != NOISE])

    @cached_property
    def majorities(self) -> np.ndarray:
        """The most frequent class of each row's cluster, int (n,); NOISE for noise."""
        majorities = np.full(len(self.clusters), NOISE)
        for number in self.numbers:
            rows = self.clusters == number
            majorities[rows] = np.bincount(self.targets[rows]).argmax()
        return majorities

    @cached_property
    def distances(self) -> np.ndarray:
        """Distance of each row to the centroid of its cluster, float (n,); NaN for noise."""
        distances = np.full(len(self.clusters), np.nan)
        for number in self.numbers:
            rows = self.clusters == number
            distances[rows] = np.linalg.norm(self.space[rows] - self.space[rows].mean(axis=0), axis=1)
        return distances

    @cached_property
    def silhouettes(self) -> np.ndarray:
        """Silhouette of each row, float (n,); NaN for noise, and for rows beyond a sample of `EXACT_ROWS`."""
        drawn = np.random.default_rng(0).permutation(len(self.clusters))[:EXACT_ROWS]
        values = np.full(len(self.clusters), np.nan)
        values[drawn] = silhouettes(self.space[drawn], self.clusters[drawn])
        return values

    @cached_property
    def scores(self) -> dict[str, float]:
        """Agreement with the classes, and the mean silhouette: NaN for one cluster, or for noise alone."""
        finite = self.silhouettes[np.isfinite(self.silhouettes)]
        silhouette = float(finite.mean()) if len(finite) else float("nan")
        return agreement(self.clusters, self.targets) | {"silhouette": silhouette}


def purity_interval(clusters: np.ndarray, targets: np.ndarray, seed: int) -> Interval:
    """Purity with its interval over the draw of rows, the clusters as they are."""
    table = contingency(clusters, targets)
    shares = np.append(table.ravel(), len(targets) - table.sum()) / len(targets)  # the last is that of the noise
    draws = np.random.default_rng(seed).multinomial(len(targets), shares, DRAWS)[:, :-1]
    purities = draws.reshape(DRAWS, *table.shape).max(axis=2, initial=0).sum(axis=1) / len(targets)
    return bootstrapped(purity(clusters, targets), purities)


def mean_interval(values: np.ndarray, seed: int) -> Interval:
    """The mean of finite values with its interval over the draw of rows; NaN where there is none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(np.nan, np.nan, np.nan)
    draw = np.random.default_rng(seed)
    means = np.array([values[draw.integers(0, len(values), len(values))].mean() for _ in range(DRAWS)])
    return bootstrapped(float(values.mean()), means)


def stability(features: np.ndarray, clusters: np.ndarray, method: str, k: int, seed: int) -> np.ndarray:
    """Adjusted Rand index of each of `REFITS` refits with the clusters given, float64 (refits,).

    Each refit clusters `REFIT_ROWS` rows drawn with replacement, and is compared on them.
    """
    draw = np.random.default_rng(seed)
    scores = []
    for _ in range(REFITS):
        rows = draw.integers(0, len(features), min(REFIT_ROWS, len(features)))
        scores.append(metrics.adjusted_rand_score(clusters[rows], CLUSTERERS[method].fit(features[rows], k, seed)))
    return np.array(scores)


@dataclass(frozen=True, eq=False)
class Sweep:
    """k-means for several k: int (s,), the sum of squared distances (s,), and the mean silhouette (s,)."""

    k: np.ndarray
    inertia: np.ndarray
    silhouette: np.ndarray


def sweep(features: np.ndarray, most: int, seed: int) -> Sweep:
    """Run k-means with 2 to `most` clusters."""
    ks = np.arange(2, most + 1)
    models = [cluster.KMeans(int(k), n_init=3, random_state=seed).fit(features) for k in ks]
    means = [np.nanmean(silhouettes(features, model.labels_)) for model in models]
    return Sweep(ks, np.array([model.inertia_ for model in models]), np.array(means))
