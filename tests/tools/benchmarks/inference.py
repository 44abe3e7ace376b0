"""Prediction in batches: images a second, and the memory of the process."""

from __future__ import annotations

import resource

import numpy as np

from benchmarks.clock import per_second
from digits import models
from digits.config import Config
from digits.training import backend

MIB = 2**20


def inference(config: Config, images: np.ndarray, classes: int) -> dict[str, float]:
    """Predict images uint8 (n, height, width, channels) with the config's first architecture, in its own process.

    Returns:
        `images` a second, and the memory of the process in MiB: `loaded` before the first prediction, `peak` at its
        highest.
    """
    backend.start(config.training.threads)
    from digits.training import loop

    precision = backend.resolve_precision(config.training.precision)
    model = models.build(config.architectures[0], images.shape[1:], classes, precision, seed=0)
    predict = loop.predictor(model)
    loaded = _peak_memory()
    throughput = per_second(lambda: predict(images), len(images), rounds=3)
    return {"images": throughput, "loaded": loaded, "peak": _peak_memory()}


def _peak_memory() -> float:
    """The most memory that this process has held so far, in MiB; Linux counts in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
