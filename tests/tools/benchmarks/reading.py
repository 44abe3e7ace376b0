"""Reading the competition's tables, against pandas."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clock import seconds
from digits import data
from digits.data.source import Source, locate

ROUNDS = 3


@dataclass(frozen=True)
class Seconds:
    """Seconds to read both tables: the first time, from the cache, and with `pandas.read_csv`."""

    first: float
    cached: float
    pandas: float


def reading(source: Source) -> Seconds:
    """The best of a few rounds each, all from files that the system holds in memory."""
    import pandas

    tables = locate(source.path)

    def with_pandas() -> None:
        for table in tables.values():
            with table.open() as stream:
                pandas.read_csv(stream)

    first, cached = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            first.append(seconds(lambda folder=folder: data.read(source, Path(folder))))
            cached.append(seconds(lambda folder=folder: data.read(source, Path(folder))))
    return Seconds(min(first), min(cached), min(seconds(with_pandas) for _ in range(ROUNDS)))
