"""This machine's worker processes: how they are started, given work and ended."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, as_completed, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joblib.executor import get_memmapping_executor

from digits.workers import gpus as devices

Submit = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Iterator[Any]]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@contextmanager
def processes(workers: int, folder: Path, gpus: int = 0, apart: bool = False) -> Iterator[Submit]:
    """Start worker processes, which end with the block, or with this process if it is killed.

    A single worker is this process itself. Large arrays are shared with the workers, not copied.

    Args:
        workers: processes; they stay the same within the block, so that each imports its backend once.
        folder: holds the locks of the GPUs.
        gpus: of the machine; the workers share them.
        apart: give a single worker a process of its own, too.

    Yields:
        `submit(function, jobs)`: the results of `function(*job)` in the order in which they end. A job is taken from
        `jobs` only when a worker is free.
    """
    if workers == 1 and not apart:
        yield lambda function, jobs: (function(*job) for job in jobs)
        return
    pool = get_memmapping_executor(
        workers, initializer=_start_worker, initargs=(os.getpid(), folder, gpus, workers), env=ONE_THREAD
    )
    try:
        yield functools.partial(_submit, pool, workers)
    finally:
        pool.terminate(kill_workers=True)


def _submit(
    pool: Executor, workers: int, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    running: set[Future] = set()
    for job in jobs:
        running.add(pool.submit(function, *job))
        if len(running) == workers:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    yield from (future.result() for future in as_completed(running))


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
