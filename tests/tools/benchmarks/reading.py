"""Reading the competition's tables, against pandas."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.clock import seconds
from digits import data
from digits.data.source import Source, locate

ROUNDS = 3


def reading(source: Source) -> dict[str, float]:
    """Seconds to read both tables: the `first` time, from the cache (`cached`), and with `pandas.read_csv`.

    The best of a few rounds each, all from files that the system holds in memory.
    """
    import pandas

    tables = locate(source.path)

    def with_pandas() -> None:
        for table in tables.values():
            with table.open() as stream:
                pandas.read_csv(stream)

    taken: dict[str, list[float]] = {"first": [], "cached": [], "pandas": []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("first", "cached"):
                taken[name].append(seconds(lambda cache=Path(folder): data.read(source, cache)))
        taken["pandas"].append(seconds(with_pandas))
    return {name: min(rounds) for name, rounds in taken.items()}
