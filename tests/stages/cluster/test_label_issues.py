"""Rows whose label nothing agrees with."""

import numpy as np
from scipy.special import softmax
from sklearn.datasets import make_blobs

from digits.stages.cluster import label_issues
from digits.stages.cluster.label_issues import label_queue

POINTS, TRUE = make_blobs(500, 4, centers=3, cluster_std=0.4, random_state=0)
PROBABILITIES = softmax(5 * np.eye(3)[TRUE] + np.random.default_rng(0).normal(0, 0.3, (500, 3)), axis=1)


def test_planted_errors_are_found_and_nothing_else():
    planted = np.array([3, 77, 250, 499])
    labels = TRUE.copy()
    labels[planted] = (labels[planted] + 1) % 3
    queue = label_queue(PROBABILITIES, labels, TRUE, POINTS)
    assert sorted(queue.rows) == planted.tolist()
    assert (np.diff(queue.believed) >= 0).all()
    assert (queue.believed < 0.1).all()
    assert (queue.neighbours < 0.2).all()


def test_neighbours_among_some_of_the_rows_find_the_same(monkeypatch):
    monkeypatch.setattr(label_issues, "SEARCHED", 60)
    labels = (TRUE + (np.arange(500) % 50 == 0)) % 3
    queue = label_queue(PROBABILITIES, labels, TRUE, POINTS)
    assert sorted(queue.rows) == list(range(0, 500, 50))
    assert (queue.neighbours < 0.3).all()


def test_a_row_is_no_neighbour_of_itself():
    labels = TRUE.copy()
    labels[3] = 3  # which no other row has
    probabilities = np.pad(PROBABILITIES, ((0, 0), (0, 1)))
    assert label_queue(probabilities, labels, TRUE, POINTS).neighbours.tolist() == [0]


def test_one_voice_for_the_label_keeps_it_out():
    labels = TRUE.copy()
    labels[3] = (labels[3] + 1) % 3
    clusters = TRUE.copy()
    clusters[3] = labels[3]
    assert len(label_queue(PROBABILITIES, labels, clusters, POINTS).rows) == 0
    believing = PROBABILITIES.copy()
    believing[3] = np.eye(3)[labels[3]]
    assert len(label_queue(believing, labels, TRUE, POINTS).rows) == 0


def test_right_labels_make_an_empty_queue():
    queue = label_queue(PROBABILITIES, TRUE, TRUE, POINTS)
    assert len(queue.rows) == len(queue.believed) == len(queue.neighbours) == 0
