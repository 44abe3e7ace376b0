"""The one style sheet. Colours: Okabe and Ito's palette, and P. Tol's "muted" where eight are too few; the
colour-blind tell them apart too.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

P = ParamSpec("P")

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
SERIES = [  # ten and more groups
    "#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE",
    "#882255", "#44AA99", "#999933", "#AA4499", "#666666",
]  # fmt: skip
LETTERS_AN_INCH = 14  # of a caption
SHEET: dict[str, Any] = {
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a figure function draw in the house style, and leave everybody else's alone."""

    @functools.wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with rc_context(SHEET):
            return draw(*args, **kwargs)

    return drawing


def canvas(columns: int, width: float = 5.2, height: float = 3.9) -> tuple[Figure, np.ndarray]:
    """A figure with a row of axes: (figure, Axes array (columns,))."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def log_percent(axis: Axis) -> None:
    """A logarithmic axis of shares: 0.05 as `5 %`, 0.001 as `0.1 %`, ticks at 1, 2 and 5 of every decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axis.set_minor_formatter(NullFormatter())


def confidence_axis(axes: Axes, least: float) -> None:
    """A horizontal axis of doubt, 1 minus confidence: logarithmic, from 1 down to `least`, labelled as confidence.

    Nearly all rows of a good classifier lie beyond 99 %, where a plain axis shows nothing.
    """
    doubts = [0.5, *(10.0**-decade for decade in range(1, 13))]
    axes.set(xscale="log", xlim=(1, least), xlabel="confidence (%)")
    axes.xaxis.set_major_locator(FixedLocator([doubt for doubt in doubts if doubt >= least]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda doubt, _: _confidence(doubt)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _confidence(doubt: float) -> str:
    """Such as `99.9`, or `6 nines` where so many digits would run into each other."""
    nines = round(-np.log10(doubt))
    return f"{100 * (1 - doubt):.6g}" if nines < 5 else f"{nines} nines"


def plain_log(axis: Axis) -> None:
    """A logarithmic axis with plain numbers, ticks at 1, 2 and 5 of every decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axis.set_minor_formatter(NullFormatter())


def caption(figure: Figure, text: str) -> None:
    """What to see, under the figure, on as many lines as its width asks for."""
    letters = int(LETTERS_AN_INCH * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(text, letters), fontsize=9, color="#444444")


def error_rate(accuracy: np.ndarray | float) -> np.ndarray:
    """What a logarithmic axis can show of an accuracy; a perfect one stands at its foot instead of nowhere."""
    return np.maximum(1 - np.asarray(accuracy), 1e-4)
