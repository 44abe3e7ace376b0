"""Measure before training: the multiply-adds of a network, and the speed of its training steps."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digits import models
from digits.config import Architecture, Config, EarlyStopping, Schedule, Training
from digits.data import Rows, Split
from digits.seeds import derive
from digits.training import backend
from digits.training.callback import Callback
from digits.training.cost import images_per_epoch
from digits.workers.budget import Speed

STEPS = 100  # of an epoch of the warm-up on a GPU, which takes several at a time ...
CPU_STEPS = 20  # ... and on a processor, where a step of a large net takes seconds
EPOCHS = 5  # of the warm-up at least, where an epoch has few steps
SCORED = 100  # rows after each of its epochs


def count_macs(
    architectures: Sequence[Architecture], shape: tuple[int, int, int], classes: int, threads: int
) -> dict[str, int]:
    """Forward multiply-adds by architecture; 0 of one that cannot be built, whose own training says why.

    shape: height, width and channels of an image. classes: number of logits. threads: of the backend in this process.
    """
    backend.start(threads)
    macs = {}
    for architecture in architectures:
        macs[architecture.label] = 0
        with contextlib.suppress(Exception):
            model = models.build(architecture, shape, classes, "float32", seed=0)
            macs[architecture.label] = models.multiply_adds(model)
    return macs


def measure(architecture: Architecture, config: Config, rows: Rows, seconds: float) -> tuple[str, Speed | None]:
    """Label and speed of an architecture in this worker process, from a few seconds of training.

    The speed is None where training fails; the member's own training says why.

    rows: of the table, see `sample`. seconds: to measure, after the first part of an epoch, which compiles.
    """
    backend.start(config.training.threads)
    from digits.training import loop

    # a schedule that watches rows would hold some back, of which there may be too few here
    unwatched = {"early_stopping": EarlyStopping(), "schedule": Schedule(name="constant")}
    config = config.with_training(epochs=max(config.training.epochs, EPOCHS), clean_epochs=0, **unwatched)
    steps = STEPS if backend.device() else CPU_STEPS
    numbers = np.arange(min(len(rows), steps * config.training.batch_size))
    split = Split(rows, numbers, numbers[:SCORED])
    watch = _Stopwatch(images_per_epoch(len(numbers), config.training), seconds)
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_Enough):
            loop.train(architecture, config, split, derive(config.seed, "warm-up"), Path(folder) / "c.npz", watch)
        return architecture.label, watch.speed()
    except Exception:
        return architecture.label, None


def sample(rows: Rows, settings: Training) -> Rows:
    """Take as many of the rows as a warm-up trains on."""
    return rows.take(np.arange(min(len(rows), STEPS * settings.batch_size)))


class _Enough(Exception):
    """The warm-up has taken its time."""


class _Stopwatch(Callback):
    """Measures the training steps.

    images: of an epoch. limit: seconds to measure.
    """

    def __init__(self, images: int, limit: float) -> None:
        self.images = images
        self.limit = limit
        self.began = self.before = time.perf_counter()
        self.share = 0.0
        self.start: float | None = None  # seconds until the first part of an epoch was done
        self.trained = self.seconds = 0.0  # epochs after that part, and the time that they took

    def within_epoch(self, epoch: int, share: float) -> None:
        now = time.perf_counter()
        if share:
            self._add(share - self.share, now - self.before)
        self.before, self.share = now, share

    def after_epoch(self, row: dict[str, float], images: int) -> None:
        if not self.share:  # an epoch of a single part
            self._add(1.0, row["seconds"])

    def _add(self, share: float, seconds: float) -> None:
        if self.start is None:
            self.start = time.perf_counter() - self.began
            return
        self.trained += share
        self.seconds += seconds
        if self.seconds >= self.limit:
            raise _Enough

    def speed(self) -> Speed | None:
        """Images a second of the steps, and what the start took; None where nothing was measured."""
        return Speed(self.trained * self.images / self.seconds, self.start) if self.seconds else None
