"""This machine's worker processes: how many, and what they are given to do."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib

from digits.workers import gpus as devices

Start = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterator[Any]]


@contextmanager
def processes(workers: int, folder: Path, gpus: int = 0) -> Iterator[Start]:
    """Start worker processes that end with this one; a single worker is this process itself.

    Args:
        workers: processes; they stay the same for all calls within the block, so TensorFlow is imported once in each.
        folder: holds the locks of the GPUs.
        gpus: of the machine; several workers share them.

    Yields:
        `start(function, jobs)`: the results of `function(*job)` in the order in which they end. A job is taken from
        `jobs` only when a worker is free.
    """
    parallel = joblib.Parallel(
        n_jobs=workers,
        return_as="generator_unordered",
        pre_dispatch=workers,
        batch_size=1,
        initializer=_start_worker,
        initargs=(os.getpid(), folder, gpus, workers),
    )
    with warnings.catch_warnings(), parallel:
        warnings.filterwarnings("ignore", "(?s).*workers have been cancelled")  # another error says why
        yield lambda function, jobs: parallel(joblib.delayed(function)(*job) for job in jobs)


@contextmanager
def apart() -> Iterator[Start]:
    """The same as `processes` for a single worker, in a process of its own that ends with the block."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield lambda function, jobs: (pool.submit(function, *job).result() for job in jobs)


def _start_worker(launcher: int, folder: Path, gpus: int, workers: int) -> None:
    end_with(launcher)
    if gpus:
        devices.claim(folder, gpus, workers)


def end_with(launcher: int) -> None:
    """End this process soon after the one that started it: a killed call leaves nobody behind."""

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
