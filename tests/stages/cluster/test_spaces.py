"""Spaces: sources, and steps to fewer dimensions."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_score

from digits.stages.cluster import spaces

UMAP = pytest.mark.slow  # it compiles itself, which takes longer than all other tests here
POINTS, GROUPS = make_blobs(300, 60, centers=3, random_state=0)


@pytest.mark.parametrize("name", ["given-tsne", "given-pca-tsne", pytest.param("given-umap", marks=UMAP)])
def test_a_map_keeps_groups_apart(name):
    points = spaces.reach(name, {"given": POINTS}, seed=0, perplexity=20.0)
    assert points.shape == (300, 2)
    assert points.dtype == np.float32
    assert silhouette_score(points, GROUPS) > 0.7


def test_images_are_flattened():
    images = np.arange(24.0).reshape(2, 3, 4)
    assert spaces.reach("given", {"given": images}, 0, 5.0).tolist() == images.reshape(2, 12).tolist()


def test_bytes_become_shares_of_white():
    images = np.array([[[0, 51], [102, 255]]], np.uint8)
    points = spaces.reach("given", {"given": images}, 0, 5.0)
    assert points.dtype == np.float32
    assert points[0] == pytest.approx([0, 0.2, 0.4, 1])


def test_components_are_as_many_as_there_can_be():
    assert spaces.pca(POINTS, 0).shape == (300, spaces.COMPONENTS)
    assert spaces.pca(POINTS[:7], 0).shape == (7, 7)


@pytest.mark.parametrize("step", ["pca", "tsne", pytest.param("umap", marks=UMAP)])
def test_the_seed_decides(step):
    first, same = (spaces.STEPS[step](POINTS, 3, 20.0) for _ in range(2))
    assert np.array_equal(first, same)


def test_progress_ends_at_one():
    shares = []
    spaces.tsne(POINTS, 0, 20.0, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize("step", ["tsne", pytest.param("umap", marks=UMAP)])
def test_few_points_are_no_error(step):
    assert spaces.STEPS[step](POINTS[:12], 0, 30.0).shape == (12, 2)
