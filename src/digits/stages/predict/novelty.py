"""How unlike everything in the training data an image is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHRINKAGE = 1e-3  # towards a sphere, so that directions in which hardly anything varies decide nothing
ORDINARY = 0.99  # share of the rows that novelty 1 is not beyond


@dataclass(frozen=True, eq=False)
class Judge:
    """Measures Mahalanobis distances to the nearest class, in units of what is ordinary.

    source: what it judges, `features` or `logits`. whitening: float32 (d, d). means: of the classes, whitened, float32
    (classes, d). limit: the squared distance that `ORDINARY` of the rows do not exceed.
    """

    source: str
    whitening: np.ndarray
    means: np.ndarray
    limit: float

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """The novelty of vectors float (n, d): float32 (n,)."""
        return self._squares(vectors) / np.float32(self.limit)

    def _squares(self, vectors: np.ndarray) -> np.ndarray:
        seen = vectors.astype(np.float32) @ self.whitening
        return ((seen[:, None] - self.means[None]) ** 2).sum(axis=2).min(axis=1)


def fit(vectors: np.ndarray, targets: np.ndarray, source: str) -> Judge:
    """Class means and one covariance around them (K. Lee et al., "A Simple Unified Framework for Detecting
    Out-of-Distribution Samples and Adversarial Attacks", 2018).

    Args:
        vectors: float (n, d), of rows that the network never saw.
        targets: the classes of the rows, int (n,).
        source: what the vectors are.
    """
    vectors = vectors.astype(np.float64)
    limiting = np.arange(len(vectors)) % 5 == 0  # rows that did not shape the covariance say what is ordinary
    fitted, kinds = vectors[~limiting], targets[~limiting]
    classes, places = np.unique(kinds, return_inverse=True)
    means = np.stack([fitted[kinds == of].mean(axis=0) for of in classes])
    covariance = np.atleast_2d(np.cov((fitted - means[places]).T))
    dimensions = len(covariance)
    covariance += SHRINKAGE * np.trace(covariance) / dimensions * np.eye(dimensions)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    judge = Judge(source, whitening.astype(np.float32), (means @ whitening).astype(np.float32), 1.0)
    limit = float(np.quantile(judge._squares(vectors[limiting]), ORDINARY))
    return Judge(source, judge.whitening, judge.means, limit)
