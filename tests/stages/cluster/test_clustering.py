"""Clusterers and their scores."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_samples

from digits.stages.cluster import clustering
from digits.stages.cluster.clustering import CLUSTERERS, NOISE

POINTS, TARGETS = make_blobs(600, 5, centers=4, cluster_std=0.6, random_state=1)


@pytest.mark.parametrize("name", CLUSTERERS)
def test_every_clusterer_finds_blobs(name):
    clusters = CLUSTERERS[name].fit(POINTS, 4, 0)
    assert clusters.shape == (600,)
    assert clustering.purity(clusters, TARGETS) > 0.97
    assert clustering.agreement(clusters, TARGETS)["clusters"] == 4


@pytest.mark.parametrize("name", [name for name in CLUSTERERS if name not in ("ward", "dbscan", "hdbscan")])
def test_the_seed_decides(name):
    assert np.array_equal(CLUSTERERS[name].fit(POINTS, 3, 7), CLUSTERERS[name].fit(POINTS, 3, 7))


def test_purity_and_hungarian_accuracy_by_hand():
    clusters = np.array([0, 0, 0, 1, 1, 2, 2, NOISE])
    targets = np.array([5, 5, 6, 6, 6, 5, 5, 5])
    assert clustering.purity(clusters, targets) == pytest.approx(6 / 8)  # 2 + 2 + 2, and noise is wrong
    assert clustering.hungarian_accuracy(clusters, targets) == pytest.approx(4 / 8)  # 5 has one cluster only
    scores = clustering.agreement(clusters, targets)
    assert scores["noise"] == pytest.approx(1 / 8)
    assert scores["clusters"] == 3


def test_noise_alone_scores_nothing():
    clusters = np.full(len(TARGETS), NOISE)
    assert clustering.purity(clusters, TARGETS) == 0
    assert clustering.hungarian_accuracy(clusters, TARGETS) == 0
    assert np.isnan(clustering.silhouettes(POINTS, clusters)).all()


def test_clusters_are_numbered_in_the_order_of_their_classes():
    clusters = np.array([7, 7, 7, 3, 3, 4, NOISE])
    targets = np.array([0, 0, 1, 2, 2, 0, 1])
    assert clustering.ordered(clusters, targets).tolist() == [0, 0, 0, 2, 2, 1, NOISE]


@pytest.mark.parametrize("chunk", [7, 4096])
def test_silhouettes_are_those_of_scikit_learn(monkeypatch, chunk):
    monkeypatch.setattr(clustering, "CHUNK", chunk)
    clusters = CLUSTERERS["kmeans"].fit(POINTS, 6, 0)
    clusters[5] = 17  # a cluster of one
    expected = silhouette_samples(POINTS, clusters)
    assert np.allclose(clustering.silhouettes(POINTS + 1000, clusters), expected, atol=1e-3)
    assert np.allclose(clustering.silhouettes(POINTS, clusters), expected, atol=1e-5)


def test_silhouettes_leave_noise_out():
    clusters = CLUSTERERS["kmeans"].fit(POINTS, 4, 0)
    kept = np.arange(len(POINTS)) % 5 > 0
    clusters[~kept] = NOISE
    values = clustering.silhouettes(POINTS, clusters)
    assert np.isnan(values[~kept]).all()
    assert np.allclose(values[kept], silhouette_samples(POINTS[kept], clusters[kept]), atol=1e-5)


def test_intervals_hold_what_they_are_of():
    clusters = np.where(np.random.default_rng(0).random(len(TARGETS)) < 0.1, 0, TARGETS)
    purity = clustering.purity_interval(clusters, TARGETS, seed=0)
    assert purity.low < purity.value < purity.high
    spread = np.sqrt(purity.value * (1 - purity.value) / len(TARGETS))
    assert purity.high - purity.low == pytest.approx(2 * 1.96 * spread, rel=0.2)
    mean = clustering.mean_interval(np.append(np.linspace(-1, 1, 500), np.nan), seed=0)
    assert mean.low < mean.value == pytest.approx(0, abs=1e-12)
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * np.linspace(-1, 1, 500).std() / np.sqrt(500), rel=0.1)


def test_stable_clusters_are_found_again_and_arbitrary_ones_are_not():
    draw = np.random.default_rng(0)
    shapeless = draw.normal(size=(600, 5))
    stable = clustering.stability(POINTS, CLUSTERERS["kmeans"].fit(POINTS, 4, 0), "kmeans", 4, seed=0)
    arbitrary = clustering.stability(shapeless, CLUSTERERS["kmeans"].fit(shapeless, 9, 0), "kmeans", 9, seed=0)
    assert stable.mean() > 0.98
    assert arbitrary.mean() < 0.8


def test_the_sweep_peaks_where_the_blobs_are():
    swept = clustering.sweep(POINTS, 8, seed=0)
    assert swept.k.tolist() == list(range(2, 9))
    assert swept.k[swept.silhouette.argmax()] == 4
    assert (np.diff(swept.inertia) < 0).all()


def test_the_knee_is_where_a_curve_bends():
    curve = np.concatenate([np.linspace(1, 2, 90), np.linspace(2, 20, 10)])
    assert clustering.knee(curve) == pytest.approx(2, abs=0.05)
    assert clustering.knee(np.full(9, 3.0)) == 3
