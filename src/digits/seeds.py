"""Seeds derived from the one in the config."""

from __future__ import annotations

import zlib

import numpy as np


def derive(seed: int | np.random.SeedSequence, *keys: str | int) -> np.random.SeedSequence:
    """Derive the seed of one purpose, such as `derive(2026, "member", "default", 0, 3)`.

    It depends on the keys alone, not on how many others were derived before: another fold or worker changes no stream.
    """
    parent = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    words = tuple(zlib.crc32(str(key).encode()) for key in keys)
    return np.random.SeedSequence(parent.entropy, spawn_key=parent.spawn_key + words)


def as_int(sequence: np.random.SeedSequence) -> int:
    """Seed of 32 bits for libraries that take a plain number."""
    return int(sequence.generate_state(1)[0])
