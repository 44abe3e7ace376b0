"""The one style sheet, with palettes for the colour-blind: Okabe and Ito's, and P. Tol's "muted" for many."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

P = ParamSpec("P")

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
SERIES = [  # ten and more groups
    "#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE",
    "#882255", "#44AA99", "#999933", "#AA4499", "#666666",
]  # fmt: skip
LETTERS_PER_INCH = 14  # of a caption
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
    """Draw a figure function in this style, and leave Matplotlib's settings as they are."""

    @functools.wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with rc_context(SHEET):
            return draw(*args, **kwargs)

    return drawing


def canvas(columns: int, width: float = 5.2, height: float = 3.9) -> tuple[Figure, np.ndarray]:
    """Figure with a row of axes: (figure, Axes array (columns,))."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def log_percent(axis: Axis) -> None:
    """Format a logarithmic axis of shares: 0.05 as `5 %`, 0.001 as `0.1 %`."""
    _format_log(axis, lambda value, _: f"{100 * value:.4g} %")


def plain_log(axis: Axis) -> None:
    """Format a logarithmic axis with plain numbers."""
    _format_log(axis, lambda value, _: f"{value:.4g}")


def _format_log(axis: Axis, text: Callable[[float, int], str]) -> None:
    """Place ticks at 1, 2 and 5 of every decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(text))
    axis.set_minor_formatter(NullFormatter())


def caption(figure: Figure, text: str) -> None:
    """Write what to see under the figure, on as many lines as its width asks for."""
    letters = int(LETTERS_PER_INCH * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(text, letters), fontsize=9, color="#444444")


def error_rate(accuracy: np.ndarray | float) -> np.ndarray:
    """One minus the accuracy, and at least 1e-4, for a logarithmic axis."""
    return np.maximum(1 - np.asarray(accuracy), 1e-4)
