"""Bring the feature spaces of several networks into one, without labels.

Two networks of one recipe learn features that differ by an arbitrary rotation and scale, so their features may never be
pooled raw. The unlabelled test images, which all of them have seen the same way, anchor their spaces: each is centred,
scaled, and rotated onto the mean of all (generalised orthogonal Procrustes analysis: J. C. Gower, "Generalized
Procrustes Analysis", Psychometrika 40, 1975).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import orthogonal_procrustes
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from digits.runs import Run

ANCHORS = 10_000  # test images that anchor the alignment: more change nothing
MOST_ROUNDS = 100
TOLERANCE = 1e-6  # of the mean residual: a gain that no figure shows
PROBE_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class Alignment:
    """Map from one network's space into the common one.

    mean: float (d,). scale: the root mean square distance of its anchors from their mean, or 1 where they are one
    point. rotation: float (d, c), its rows or its columns orthonormal, c the width of the widest space.
    residual: the share of the anchors' variance that the common shape does not explain, 0..1.
    """

    mean: np.ndarray
    scale: float
    rotation: np.ndarray
    residual: float

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Bring features of this network, float (n, d), into the common space: float (n, c)."""
        return (features - self.mean) / self.scale @ self.rotation


def of_run(run: Run) -> dict[str, Alignment]:
    """Fit the alignment of every member of a finished run, by the member's name.

    The anchors are `ANCHORS` test images, the same ones in every call. The widest member's features give the width
    of the common space.

    Raises:
        UserError: a member is missing or damaged.
    """
    drawn = np.random.default_rng(0).permutation(len(run.dataset.test_images))[:ANCHORS]
    members = run.members
    for member in members:
        run.verified(member)
    anchors = (run.member_arrays(member, "test.npz", features="f2")["features"][drawn] for member in members)
    alignments = align(list(anchors))
    return {member.name: alignment for member, alignment in zip(members, alignments, strict=True)}


def align(anchors: Sequence[np.ndarray]) -> list[Alignment]:
    """Fit the alignment of every network, in their order.

    anchors: of each network, features of the same images in the same order, float (m, d); a narrower space is filled
    up with zeros to the width of the widest.
    """
    means = [features.mean(axis=0) for features in anchors]
    centred = [features - mean for features, mean in zip(anchors, means, strict=True)]
    scales = [float(np.sqrt((features**2).sum(axis=1).mean())) or 1.0 for features in centred]
    width = max(features.shape[1] for features in anchors)
    shapes = [
        np.pad(features / scale, ((0, 0), (0, width - features.shape[1])))
        for features, scale in zip(centred, scales, strict=True)
    ]
    with threadpool_limits(1):  # threads that wait for each other's small products take longer than one alone
        rotations, residuals = _procrustes(shapes)
    return [
        Alignment(mean, scale, rotation[: len(mean)], residual)
        for mean, scale, rotation, residual in zip(means, scales, rotations, residuals, strict=True)
    ]


def _procrustes(shapes: list[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
    """Rotate all shapes onto their mean until the mean no longer moves: rotations and residuals."""
    common, before = shapes[0], np.inf
    for _ in range(MOST_ROUNDS):
        rotations = [orthogonal_procrustes(shape, common)[0] for shape in shapes]
        turned = [shape @ rotation for shape, rotation in zip(shapes, rotations, strict=True)]
        common = np.mean(turned, axis=0)
        residuals = [float(((shape - common) ** 2).sum(axis=1).mean()) for shape in turned]
        if before - np.mean(residuals) < TOLERANCE:
            break
        before = np.mean(residuals)
    return rotations, residuals


def fold_probe(features: np.ndarray, folds: np.ndarray, seed: int) -> float:
    """Accuracy of a cross-validated logistic regression that guesses the fold from the features.

    Chance is one over the number of folds. Features of unaligned networks give nearly 1, one fold alone NaN.

    features: float (n, d). folds: int (n,). seed: of the draw of `PROBE_ROWS` rows, and of how they are split.
    """
    if len(np.unique(folds)) < 2:
        return float("nan")
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(features))[:PROBE_ROWS]
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    parts = StratifiedKFold(3, shuffle=True, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():  # threads: a hundred times as long where others work too
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that is nearly fitted says as much
        return float(cross_val_score(probe, features[rows], folds[rows], cv=parts).mean())
