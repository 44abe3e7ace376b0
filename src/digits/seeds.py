"""One seed in the config; everything random derives its own from it."""

from __future__ import annotations

import zlib

import numpy as np


def derive(seed: int | np.random.SeedSequence, *keys: str | int) -> np.random.SeedSequence:
    """The seed sequence of one purpose, such as `derive(2026, "member", "default", 0, 3)`.

    Depends on the names alone, not on how many others were derived before: adding a fold or a worker
    changes no other stream.
    """
    parent = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    words = tuple(zlib.crc32(str(key).encode()) for key in keys)
    return np.random.SeedSequence(parent.entropy, spawn_key=parent.spawn_key + words)


def as_int(sequence: np.random.SeedSequence) -> int:
    """A 32-bit seed for libraries that take a plain number."""
    return int(sequence.generate_state(1)[0])
