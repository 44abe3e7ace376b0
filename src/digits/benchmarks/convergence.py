"""How soon a config reaches an accuracy on rows that it does not train on."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np

from digits import backend, models, progress
from digits.config import Config
from digits.data import Rows
from digits.seeds import derive


class _Enough(Exception):
    """The last target is reached, or the time is up."""


class _Curve:
    """A `training.Report` that keeps the accuracy over time and ends training when there is no more to see."""

    def __init__(self, lines: progress.EpochLines, target: float, limit: float) -> None:
        self.lines = lines
        self.target = target
        self.limit = limit
        self.started = time.perf_counter()
        self.points: list[tuple[float, float]] = []

    def within(self, epoch: int, share: float) -> None:
        if time.perf_counter() - self.started > self.limit:
            raise _Enough
        self.lines.within(epoch, share)

    def after(self, row: dict[str, float], images: int) -> None:
        self.points.append((time.perf_counter() - self.started, row["held_out_accuracy"]))
        self.lines.after(row, images)
        if row["held_out_accuracy"] >= self.target:
            raise _Enough


def curve(
    name: str, config: Config, train: Rows, held_out: Rows, target: float, limit: float, threads: int, live: bool
) -> np.ndarray:
    """Train the config's first architecture by its own schedule until `target` or for `limit` seconds.

    Whatever the config says, it has `threads` threads: it trains alone.

    Returns:
        float64 (epochs, 2): wall seconds since the start, everything included, and the accuracy on all of
        `held_out`, after every epoch.
    """
    backend.start(threads)
    from digits import training

    side, classes = train.images.shape[1], int(train.targets.max()) + 1
    precision = backend.resolve_precision(config.training.precision)
    settings = config.training.model_copy(update={"monitor_rows": None})
    with (
        tempfile.TemporaryDirectory() as folder,
        progress.EpochLines(name, settings.epochs, to_come=0, live=live) as lines,
    ):
        report = _Curve(lines, target, limit)
        model = models.build(config.architectures[0], side, classes, precision, seed=0)
        seed, checkpoint = derive(config.seed, "bench"), Path(folder) / "checkpoint.npz"
        predict = training.predictor(model)
        with contextlib.suppress(_Enough):
            training.fit(model, predict, train, held_out, settings, config.augmentation, seed, checkpoint, report)
    return np.array(report.points).reshape(-1, 2)


def reached(points: np.ndarray, target: float) -> tuple[float, int] | None:
    """Seconds and epochs until the accuracy first was `target` or more; None where it never was."""
    over = np.flatnonzero(points[:, 1] >= target)
    return (float(points[over[0], 0]), int(over[0]) + 1) if len(over) else None
