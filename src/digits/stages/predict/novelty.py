"""Novelty: how unlike the training data an image is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

SHRINKAGE = 1e-3  # towards a sphere, so that directions in which hardly anything varies decide nothing
ORDINARY = 0.99  # share of the training rows whose novelty is at most 1


@dataclass(frozen=True, eq=False)
class Novelty:
    """Mahalanobis distance to the nearest class, squared, in units of an ordinary one.

    whitening: float32 (d, d). means: of the classes, whitened, float32 (classes, d). limit: the squared distance that
    `ORDINARY` of the rows do not exceed.
    """

    whitening: np.ndarray
    means: np.ndarray
    limit: float = 1.0

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Novelty float32 (n,) of vectors float (n, d)."""
        whitened = vectors.astype(np.float32) @ self.whitening
        return ((whitened[:, None] - self.means) ** 2).sum(axis=2).min(axis=1) / np.float32(self.limit)


def fit(vectors: np.ndarray, targets: np.ndarray) -> Novelty:
    """Class means and one covariance around them (K. Lee et al., "A Simple Unified Framework for Detecting
    Out-of-Distribution Samples and Adversarial Attacks", 2018).

    vectors: float (n, d), of rows that the network never saw. targets: class of each row, int (n,).
    """
    vectors = vectors.astype(np.float64)
    limiting = np.arange(len(vectors)) % 5 == 0  # rows that do not shape the covariance give the limit
    fitted = vectors[~limiting]
    _, targets = np.unique(targets[~limiting], return_inverse=True)
    means = np.stack([fitted[targets == target].mean(axis=0) for target in range(targets.max() + 1)])
    covariance = np.atleast_2d(np.cov((fitted - means[targets]).T))
    dimensions = len(covariance)
    covariance += SHRINKAGE * np.trace(covariance) / dimensions * np.eye(dimensions)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    novelty = Novelty(whitening.astype(np.float32), (means @ whitening).astype(np.float32))
    return replace(novelty, limit=float(np.quantile(novelty(vectors[limiting]), ORDINARY)))
