"""Clusterings of feature vectors, and how well they agree with the labels.

No clusterer sees a label. For features of a network that was trained on labels, agreement with the labels is a
statement about the network, and not to be compared with records of unsupervised clustering.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from scipy.optimize import linear_sum_assignment
from sklearn import cluster, metrics, mixture
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from digits.ensemble.interval import Interval, bootstrapped

NOISE = -1  # the cluster of rows that a clusterer leaves out
DRAWS = 1000
REFITS = 10
REFIT_ROWS = 5_000
NEIGHBOURS = 10  # for the densities of DBSCAN and HDBSCAN
CHUNK = 256  # rows of the distance matrix at a time


def kmeans(features: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Lloyd's k-means, the best of ten starts.

    Args:
        features: float (n, d).
        k: number of clusters; ignored by those that find their own.
        seed: of the starts.

    Returns:
        The cluster of every row, int (n,), as every clusterer of this module does.
    """
    return cluster.KMeans(k, n_init=10, random_state=seed).fit_predict(features)


def minibatch_kmeans(features: np.ndarray, k: int, seed: int) -> np.ndarray:
    """k-means that looks at 4,096 rows at a time, the best of ten starts: for rows by the million."""
    return cluster.MiniBatchKMeans(k, n_init=10, batch_size=4096, random_state=seed).fit_predict(features)


def gaussian_mixture(features: np.ndarray, k: int, seed: int) -> np.ndarray:
    """A mixture of Gaussians with full covariances, each row to its most probable component."""
    return mixture.GaussianMixture(k, reg_covar=1e-4, random_state=seed).fit_predict(features)


def ward(features: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Agglomerative clustering by Ward's criterion."""
    return cluster.AgglomerativeClustering(k, linkage="ward").fit_predict(features)


def dbscan(features: np.ndarray, k: int, seed: int) -> np.ndarray:
    """DBSCAN with epsilon at the knee of the k-distance curve; it finds its own number of clusters."""
    return cluster.DBSCAN(eps=knee(neighbour_distances(features)), min_samples=NEIGHBOURS).fit_predict(features)


def hdbscan(features: np.ndarray, k: int, seed: int) -> np.ndarray:
    """HDBSCAN with clusters of at least 1 % of the rows; it finds their number itself."""
    smallest = max(NEIGHBOURS, len(features) // 100)
    return cluster.HDBSCAN(min_cluster_size=smallest, min_samples=NEIGHBOURS, copy=True).fit_predict(features)


def spectral(features: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Spectral clustering of the graph of nearest neighbours."""
    method = cluster.SpectralClustering(
        k, affinity="nearest_neighbors", n_neighbors=NEIGHBOURS, assign_labels="cluster_qr", random_state=seed
    )
    with warnings.catch_warnings():  # groups without a path between them are what is looked for
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        return method.fit_predict(features)


@dataclass(frozen=True)
class Clusterer:
    """A way to cluster: `fit(features, k, seed)`, and how many rows it can take in reasonable time."""

    fit: Callable[[np.ndarray, int, int], np.ndarray]
    most_rows: int | None = None


CLUSTERERS = {
    "kmeans": Clusterer(kmeans),
    "minibatch_kmeans": Clusterer(minibatch_kmeans),
    "gaussian_mixture": Clusterer(gaussian_mixture),
    "ward": Clusterer(ward, 10_000),
    "dbscan": Clusterer(dbscan, 10_000),
    "hdbscan": Clusterer(hdbscan, 10_000),
    "spectral": Clusterer(spectral, 5_000),
}


def neighbour_distances(features: np.ndarray) -> np.ndarray:
    """The distance of every row to its `NEIGHBOURS`-th nearest, ascending: float64 (n,)."""
    near = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(features)
    return np.sort(near.kneighbors()[0][:, -1]).astype(np.float64)


def knee(curve: np.ndarray) -> float:
    """The value of an ascending curve where it bends upward: the point farthest below its chord.

    V. Satopaa et al., "Finding a 'Kneedle' in a Haystack", 2011, without the smoothing.
    """
    place = np.linspace(0, 1, len(curve))
    span = curve[-1] - curve[0]
    height = (curve - curve[0]) / span if span > 0 else place
    return float(curve[np.argmax(place - height)])


def contingency(clusters: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How many rows of each cluster, ascending, have each class, ascending: int (clusters, classes)."""
    return metrics.cluster.contingency_matrix(clusters, targets)


def ordered(clusters: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The same clusters, numbered from 0 in the order of their most frequent class, the largest first: int (n,)."""
    numbers = np.unique(clusters[clusters != NOISE])
    majorities = [np.bincount(targets[clusters == number]).argmax() for number in numbers]
    sizes = [(clusters == number).sum() for number in numbers]
    renumbered = np.full(len(clusters), NOISE)
    for place, old in enumerate(numbers[np.lexsort((np.negative(sizes), majorities))] if len(numbers) else ()):
        renumbered[clusters == old] = place
    return renumbered


def purity(clusters: np.ndarray, targets: np.ndarray) -> float:
    """Share of rows that have the most frequent class of their cluster; a row left out as noise counts as wrong.

    C. D. Manning, P. Raghavan, H. Schütze, "Introduction to Information Retrieval", 2008, section 16.3.
    """
    kept = clusters != NOISE
    if not kept.any():
        return 0.0
    return float(contingency(clusters[kept], targets[kept]).max(axis=1).sum() / len(targets))


def hungarian_accuracy(clusters: np.ndarray, targets: np.ndarray) -> float:
    """Share of rows that are right when each class is given to one cluster at most, in the best way."""
    kept = clusters != NOISE
    if not kept.any():
        return 0.0
    table = contingency(clusters[kept], targets[kept])
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(targets))


def agreement(clusters: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Every score of a clustering against the classes; noise is one more cluster in all but the first two."""
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

    def of_chunk(start: int) -> np.ndarray:
        rows = np.arange(start, min(start + CHUNK, len(kept)))
        distances = points[rows] @ points.T
        distances *= -2
        distances += squares
        distances += squares[rows, None]
        np.maximum(distances, 0, out=distances)
        np.sqrt(distances, out=distances)
        distances[np.arange(len(rows)), rows] = 0
        return _silhouettes((distances @ member).astype(np.float64), own[rows], sizes)

    with threadpool_limits(1), Parallel(-1, prefer="threads") as parallel:  # a thread a chunk, not a product
        values[kept] = np.concatenate(parallel(delayed(of_chunk)(start) for start in range(0, len(kept), CHUNK)))
    return values


def _silhouettes(sums: np.ndarray, own: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """From the summed distances of rows to each cluster, float (n, clusters), and the cluster of each row, int (n,)."""
    rows = np.arange(len(own))
    inside = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[rows, own] = np.inf
    outside = means.min(axis=1)
    larger = np.maximum(inside, outside)
    values = np.divide(outside - inside, larger, out=np.zeros(len(own)), where=larger > 0)
    return np.where(sizes[own] > 1, values, 0.0)


def purity_interval(clusters: np.ndarray, targets: np.ndarray, seed: int) -> Interval:
    """Purity with its interval over the draw of rows, the clusters as they are."""
    kept = clusters != NOISE
    table = contingency(clusters[kept], targets[kept])
    shares = np.append(table.ravel(), (~kept).sum()) / len(targets)
    draws = np.random.default_rng(seed).multinomial(len(targets), shares, DRAWS)[:, :-1]
    purities = draws.reshape(DRAWS, *table.shape).max(axis=2).sum(axis=1) / len(targets)
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
    """How little the clusters depend on which rows there are: ARI of `REFITS` refits, float64 (refits,).

    Each refit clusters `REFIT_ROWS` rows drawn with replacement, and is compared on them with the clusters given.
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
    """k-means with 2 to `most` clusters."""
    ks = np.arange(2, most + 1)
    models = [cluster.KMeans(int(k), n_init=3, random_state=seed).fit(features) for k in ks]
    means = [np.nanmean(silhouettes(features, model.labels_)) for model in models]
    return Sweep(ks, np.array([model.inertia_ for model in models]), np.array(means))
