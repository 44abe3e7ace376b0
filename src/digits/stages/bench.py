"""What this machine does a second."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from rich.table import Table

from digits.augment import augment
from digits.config import Augmentation
from digits.data import Dataset
from digits.progress import console

ROUNDS = 5
AFFINE = {"rotation": 10.0, "shift": 0.1, "zoom": 0.1, "shear": 10.0}


def run(dataset: Dataset) -> None:
    """Print the augmentation throughput, one thread, for packs of several sizes, beside one call an image."""
    images = np.resize(dataset.train_images, (20_000, *dataset.train_images.shape[1:]))
    alone = _throughput(lambda: _augment(images[:4_000], pack=1), 4_000)
    table = Table(title=f"affine augmentation on one core, median of {ROUNDS} ({os.cpu_count()} cores here)")
    for heading in ("images that share a draw", "images/s", "against one call an image"):
        table.add_column(heading, justify="right")
    table.add_row("1", f"{alone:,.0f}", "1.0 x")
    for pack in (4, 16, 64):
        packed = _throughput(lambda pack=pack: _augment(images, pack), len(images))
        table.add_row(str(pack), f"{packed:,.0f}", f"{packed / alone:.1f} x")
    console().print(table)


def _augment(images: np.ndarray, pack: int) -> None:
    augment(images, Augmentation(**AFFINE, pack=pack), np.random.SeedSequence(0))


def _throughput(work: Callable[[], None], images: int) -> float:
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return images / statistics.median(times)
