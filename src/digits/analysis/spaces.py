"""Where rows can be clustered and drawn: a source of features, and steps that bring it to fewer dimensions.

A space has a name such as `aligned`, `pixels-pca` or `pixels-pca-tsne`: the source, then the steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import joblib
import numpy as np
from sklearn.decomposition import PCA

COMPONENTS = 50  # of the PCA step: what t-SNE is commonly given
ITERATIONS, EVERY = 750, 25  # that openTSNE takes in all, and between two words on its progress


def pca(features: np.ndarray, seed: int, components: int = COMPONENTS) -> np.ndarray:
    """The first principal components, float32 (n, at most `components`)."""
    most = min(components, *features.shape)
    return PCA(most, svd_solver="randomized", random_state=seed).fit_transform(features).astype(np.float32)


def tsne(
    features: np.ndarray, seed: int, perplexity: float = 30.0, progress: Callable[[float], object] | None = None
) -> np.ndarray:
    """A t-SNE map, float32 (n, 2) (L. van der Maaten, G. Hinton, 2008; openTSNE's implementation).

    Args:
        features: float (n, d).
        seed: of the start and of the tree that finds neighbours.
        perplexity: how many neighbours count; lowered where there are too few rows for it.
        progress: called now and then with the share of the work that is done.
    """
    import openTSNE

    perplexity = min(perplexity, (len(features) - 1) / 3)
    done = itertools.count(1)
    model = openTSNE.TSNE(
        perplexity=perplexity,
        n_jobs=joblib.cpu_count(),
        random_state=seed,
        callbacks=progress and [lambda *_: progress(min(1.0, next(done) * EVERY / ITERATIONS)) and None],
        callbacks_every_iters=EVERY,
    )
    return np.asarray(model.fit(features), np.float32)


def umap(features: np.ndarray, seed: int) -> np.ndarray:
    """A UMAP map of 15 neighbours, float32 (n, 2) (L. McInnes, J. Healy, J. Melville, 2018)."""
    import umap

    neighbours = min(15, len(features) - 1)
    return np.asarray(umap.UMAP(neighbours, random_state=seed, n_jobs=1).fit_transform(features), np.float32)


# What a step of that name does with (features, seed, perplexity).
STEPS: dict[str, Callable[[np.ndarray, int, float], np.ndarray]] = {
    "pca": lambda features, seed, _: pca(features, seed),
    "tsne": tsne,
    "umap": lambda features, seed, _: umap(features, seed),
}


def reach(name: str, sources: Mapping[str, np.ndarray], seed: int, perplexity: float) -> np.ndarray:
    """The rows in the space of that name: float (n, d) from the sources, float (n, ...) each."""
    source, *steps = name.split("-")
    features = sources[source].reshape(len(sources[source]), -1)
    for step in steps:
        features = STEPS[step](features, seed, perplexity)
    return features
