"""A statistic with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

LEVEL = 0.95  # of every interval


@dataclass(frozen=True)
class Interval:
    """A statistic with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(hits: int, rows: int) -> Interval:
    """Share of independent rows with the score interval of E. B. Wilson (JASA 22, 1927).

    Unlike the mean plus or minus two deviations it holds near 0 and 1, and for a handful of rows. Of no rows the value
    is NaN, and the interval 0 to 1.
    """
    if rows == 0:
        return Interval(float("nan"), 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, squared = hits / rows, z * z / rows
    middle = (share + squared / 2) / (1 + squared)
    reach = z * np.sqrt(share * (1 - share) / rows + squared / (4 * rows)) / (1 + squared)
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    return Interval(share, min(low, share), max(high, share))  # rounding may leave 0 or 1 just outside


def bootstrapped(value: float, draws: np.ndarray) -> Interval:
    """Statistic with the percentile interval of its bootstrap draws, float (draws,)."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
