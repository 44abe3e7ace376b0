"""Where rows can be clustered and drawn: a source of features, and steps that bring it to fewer dimensions.

A space has a name such as `aligned`, `pixels-pca` or `pixels-pca-tsne`: the source, then the steps.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType

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
    umap = _without_tensorflow("umap")
    neighbours = min(15, len(features) - 1)
    return np.asarray(umap.UMAP(neighbours, random_state=seed, n_jobs=1).fit_transform(features), np.float32)


def _without_tensorflow(name: str) -> ModuleType:
    """Import a module that would import TensorFlow, for five seconds, because it is there."""
    if name in sys.modules or "tensorflow" in sys.modules:
        return importlib.import_module(name)
    sys.modules["tensorflow"] = None  # Python's way to say that there is no such module
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Tensorflow not installed")
            return importlib.import_module(name)
    finally:
        del sys.modules["tensorflow"]


# What a step of that name does with (features, seed, perplexity).
STEPS: dict[str, Callable[[np.ndarray, int, float], np.ndarray]] = {
    "pca": lambda features, seed, _: pca(features, seed),
    "tsne": tsne,
    "umap": lambda features, seed, _: umap(features, seed),
}


def vectors(source: np.ndarray) -> np.ndarray:
    """Rows of a source as points, float (n, d): features float (n, ...), images uint8 (n, ...) in shares of white."""
    flat = source.reshape(len(source), -1)
    return flat / np.float32(np.iinfo(np.uint8).max) if flat.dtype == np.uint8 else flat


def reach(name: str, sources: Mapping[str, np.ndarray], seed: int, perplexity: float) -> np.ndarray:
    """The rows in the space of that name: float (n, d) from the sources, float or uint8 (n, ...) each."""
    source, *steps = name.split("-")
    features = vectors(sources[source])
    for step in steps:
        features = STEPS[step](features, seed, perplexity)
    return features
