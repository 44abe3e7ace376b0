"""How often something is done in a second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def per_second(work: Callable[[], object], count: int, rounds: int = 5) -> float:
    """`count` over the median seconds of `rounds` calls of `work`, after one that is not timed."""
    work()
    return count / statistics.median(seconds(work) for _ in range(rounds))


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call of `work`."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
