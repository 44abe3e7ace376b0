"""The one style sheet, with palettes for the colour-blind: Okabe and Ito's, and P. Tol's "muted" for many."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

P = ParamSpec("P")

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
SERIES = [  # ten and more groups
    "#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE",
    "#882255", "#44AA99", "#999933", "#AA4499", "#666666",
]  # fmt: skip
LETTERS_PER_INCH = 14  # of a caption
POINTS = 72  # in an inch
LETTER, LINE = 0.62, 1.3  # width of a letter and height of a line, in sizes of the font
SMALLEST, UPRIGHT, LARGEST = 5, 7, 10  # size of names in points: at least, at least on a horizontal axis, at most
MOST_LETTERS = 14  # of a name
NARROW = 0.5  # inches of a bar, below which what is written over it is turned
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


def shortened(name: Any, most: int = MOST_LETTERS) -> str:
    """Name of a class, cut off after so many letters."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def name_ticks(axis: Axis, names: Sequence[Any], room: float) -> None:
    """Name the positions 0, 1, ... of an axis, so that no name runs into the next.

    On a horizontal axis names are turned where they are too wide. Where there is no room even so, some are left out.

    Args:
        axis: horizontal or vertical.
        names: of the positions.
        room: inches from one position to the next.
    """
    texts = [shortened(name) for name in names]
    longest = max(map(len, texts), default=0)
    upright, stacked = POINTS * room / (LETTER * (longest + 1)), POINTS * room / LINE  # sizes that fit
    turned = axis.axis_name == "x" and upright < UPRIGHT
    size = upright if axis.axis_name == "x" and not turned else stacked
    step = math.ceil(SMALLEST / size)
    size = min(LARGEST, max(SMALLEST, size))
    axis.set_ticks(range(0, len(texts), step), texts[::step], fontsize=size, rotation=90 if turned else 0)


def name_width(names: Sequence[Any]) -> float:
    """Inches that the longest name takes beside an axis."""
    return LETTER * LARGEST / POINTS * max((len(shortened(name)) for name in names), default=0)


def matrix_side(count: int) -> float:
    """Inches for so many rows or columns of a matrix: counts in its cells can be read, up to some sixty of them."""
    return float(np.clip(0.36 * count, 5, 15))


def write_cells(axes: Axes, texts: Sequence[Sequence[str]], colours: np.ndarray, room: float) -> None:
    """Write into the cells of a matrix, unless they are too small to be read.

    Args:
        axes: with the matrix.
        texts: a list of each row.
        colours: of the texts, str (rows, columns).
        room: inches of the narrower side of a cell.
    """
    size = min(8, 0.3 * POINTS * room)
    for (row, column), colour in np.ndenumerate(colours):
        if texts[row][column] and size >= SMALLEST:
            axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=size, color=colour)
    axes.grid(visible=False)


def bars_width(count: int) -> float:
    """Inches for a figure of so many bars."""
    return float(np.clip(0.27 * count + 1, 7.5, 16))


def write_over_bars(
    axes: Axes, bars: BarContainer, texts: Sequence[Sequence[str]], room: float, **options: Any
) -> None:
    """Write short texts over each bar, one below the other, or turned and side by side where bars are narrow.

    Args:
        axes: with bars from 0 up.
        bars: all of them.
        texts: a list for each bar.
        room: inches from one bar to the next.
        options: of the texts.
    """
    turned = room < NARROW
    lines = ["  ".join(parts) if turned else "\n".join(parts) for parts in texts]
    axes.bar_label(bars, lines, padding=2, rotation=90 if turned else 0, **{"fontsize": 8} | options)
    top = max((bar.get_y() + bar.get_height() for bar in bars), default=1)
    axes.set(xlim=(-0.8, len(bars) - 0.2), ylim=(0, top * (1.45 if turned else 1.16)))


def caption(figure: Figure, text: str) -> None:
    """Write what to see under the figure, on as many lines as its width asks for."""
    letters = int(LETTERS_PER_INCH * figure.get_figwidth())
    figure.supxlabel(textwrap.fill(text, letters), fontsize=9, color="#444444")


def error_rate(accuracy: np.ndarray | float) -> np.ndarray:
    """One minus the accuracy, and at least 1e-4, for a logarithmic axis."""
    return np.maximum(1 - np.asarray(accuracy), 1e-4)
