"""This machine's GPUs: how many there are, and which of them a worker process computes on."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import filelock

from digits.errors import shown
from digits.training import backend

GAIN = 1.2  # times as fast as before, that twice as many members on the same GPUs must train
PROCESSOR = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}  # environment of a process that sees no GPU
QUESTIONS = {
    "tensorflow": "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))",
    "jax": "import jax; print(sum(device.platform == 'gpu' for device in jax.devices()))",
}


def count() -> int:
    """Number of NVIDIA GPUs that the backend can use here; asked in a process of its own, which gives them back.

    Where there is one and the backend cannot use it, a line says so, and this process and those that it starts compute
    on the processor.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    there = any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()  # the latter in Linux on Windows
    if hidden or not there:
        return 0
    question = [sys.executable, "-c", QUESTIONS[backend.name()]]
    answer = subprocess.run(question, capture_output=True, text=True, errors="replace", check=False)
    found = int(answer.stdout.split()[-1]) if answer.returncode == 0 else 0
    if not found:
        reason = shown(answer.stderr.strip().rpartition("\n")[2]) if answer.returncode else "it is not found"
        print(f"The GPU cannot be used by {backend.BACKENDS[backend.name()]} ({reason}): training on the processor")
        os.environ.update(PROCESSOR)
    return found


def best_workers(rate: Callable[[int], float], gpus: int, most: int) -> int:
    """Members at a time on the GPUs: doubled for as long as that trains so much faster; a small net fills no GPU.

    Args:
        rate: the speed of that many at a time, in any unit; 0 where it does not matter or memory does not suffice.
        gpus: how many there are; one member each is the least.
        most: members at a time.
    """
    if most <= gpus:
        return gpus
    workers, before = gpus, 0.0
    while workers <= most and (reached := rate(workers)) > GAIN * before:
        workers, before = 2 * workers, reached
    return max(gpus, workers // 2)


@functools.cache
def claim(folder: Path, gpus: int, workers: int) -> filelock.BaseFileLock:
    """Show this worker process one GPU, which it shares with as few other workers as possible.

    folder: holds the locks; the same for all workers that share the GPUs. gpus: how many there are. workers: how many
    share them.

    Returns:
        The lock of this worker's share, which the cache keeps for as long as the process lives.

    Raises:
        RuntimeError: more workers than that share the GPUs.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(number) for number in range(gpus)]
    for number in range(workers):
        lock = filelock.FileLock(folder / f".gpu-{number}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        return lock
    raise RuntimeError(f"more workers than the {workers} that share the GPUs")
