"""This machine's GPUs: how many there are, and one for each worker process."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import filelock


def count() -> int:
    """NVIDIA GPUs that TensorFlow can use here; asked in a process of its own, which gives them back."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or not any(Path("/dev").glob("nvidia[0-9]*")):
        return 0
    question = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[-1])


@functools.cache
def claim(folder: Path, gpus: int) -> filelock.BaseFileLock:
    """Show this worker process the first GPU that no other worker holds; the cache keeps the lock.

    Args:
        folder: holds the locks; the same for all workers that share the GPUs.
        gpus: how many there are.

    Raises:
        RuntimeError: every GPU is held by another worker.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(number) for number in range(gpus)]
    for device in devices:
        lock = filelock.FileLock(folder / f".gpu-{device}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            continue
        os.environ["CUDA_VISIBLE_DEVICES"] = device
        return lock
    raise RuntimeError(f"{gpus} GPUs and more workers than that")
