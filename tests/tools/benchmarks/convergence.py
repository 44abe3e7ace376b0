"""How soon a config reaches an accuracy on rows that it does not train on."""

from __future__ import annotations

import contextlib
import time

import numpy as np

from benchmarks.training import fit
from digits import progress
from digits.config import Config
from digits.data import Rows


class _Enough(Exception):
    """The last target is reached, or the time is up."""


class _Curve:
    """A `Callback` that keeps the accuracy over time and ends training when there is no more to see."""

    def __init__(self, lines: progress.TrainingLines, name: str, target: float, limit: float) -> None:
        self.lines = lines
        self.name = name
        self.target = target
        self.limit = limit
        self.started = time.perf_counter()
        self.points: list[tuple[float, float]] = []

    def within_epoch(self, epoch: int, share: float) -> None:
        if time.perf_counter() - self.started > self.limit:
            raise _Enough
        self.lines.within_epoch(self.name, epoch, share)
        self.lines.tick()

    def after_epoch(self, row: dict[str, float], images: int) -> None:
        self.points.append((time.perf_counter() - self.started, row["held_out_accuracy"]))
        self.lines.after_epoch(self.name, row, images)
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
    config = config.with_training(monitor_rows=None, threads=threads)
    task = progress.Task(name, config.training.epochs, done=0, images=len(train))
    with progress.TrainingLines({name: task}, 1, live) as lines, contextlib.suppress(_Enough):
        callback = _Curve(lines, name, target, limit)
        fit(config, train, held_out, callback)
    return np.array(callback.points).reshape(-1, 2)


def reached(points: np.ndarray, target: float) -> tuple[float, int] | None:
    """Seconds and epochs until the accuracy first was `target` or more; None where it never was."""
    over = np.flatnonzero(points[:, 1] >= target)
    return (float(points[over[0], 0]), int(over[0]) + 1) if len(over) else None
