"""The one style sheet, with palettes for the colour-blind: Okabe and Ito's, and P. Tol's "muted" for many.

Light colours of both are darker here: each has a contrast of 3:1 or more on white, as WCAG 2.2 asks of graphics.
"""

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
from matplotlib.ticker import FixedLocator, Formatter, FuncFormatter, LogLocator, NullFormatter

P = ParamSpec("P")

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B87A00", "#3F93D1", "#000000", "#8A8A8A"]
SERIES = [  # ten and more groups
    "#CC6677", "#332288", "#A07000", "#117733", "#3D8FC4",
    "#882255", "#2E9384", "#8C8C2E", "#AA4499", "#666666",
]  # fmt: skip
WIDTH = 4.8  # inches of a figure: on a phone, 350 pixels wide, its text is 9 pixels high or more
SMALL = 9  # points of the smallest text but that of cells and of many names
LETTERS_PER_INCH = 10  # of a title
POINTS = 72  # in an inch
LETTER, LINE = 0.62, 1.3  # width of a letter and height of a line, in sizes of the font
SMALLEST, UPRIGHT, LARGEST = 6, 8, 10  # size of names in points: at least, at least on a horizontal axis, at most
MOST_LETTERS = 14  # of a name
NARROW = 0.39  # inches of a bar, below which what is written over it is turned
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.4g}%")
SHEET: dict[str, Any] = {
    "figure.dpi": 200,
    "figure.facecolor": "white",
    "font.size": 10,
    "legend.fontsize": SMALL,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
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


def canvas(panels: int = 1, height: float = 3.3, width: float = WIDTH) -> tuple[Figure, np.ndarray]:
    """Figure with panels below each other, of this height each in inches: (figure, Axes array (panels,))."""
    figure = Figure(figsize=(width, height * panels), layout="constrained")
    return figure, figure.subplots(panels, 1, squeeze=False)[:, 0]


def entitle(figure: Figure, title: str) -> None:
    """Write over the figure what is seen, on as many lines as its width asks for."""
    letters = int(LETTERS_PER_INCH * figure.get_figwidth())
    figure.suptitle(textwrap.fill(title, letters), fontsize=11, weight="bold")


def log_percent(axis: Axis) -> None:
    """Format a logarithmic axis of shares: 0.05 as `5%`, 0.001 as `0.1%`."""
    _format_log(axis, PERCENT)


def log_shares(axes: Axes) -> None:
    """Make the vertical axis one of shares, logarithmic, with 0 where 0 is: below the smallest share that is drawn."""
    heights = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    some = heights[heights > 0]
    if len(some) < len(heights):
        least = some.min(initial=1.0)
        axes.set_yscale("symlog", linthresh=least, linscale=0.4)
        axes.set_ylim(bottom=-0.05 * least)
        decades = 10.0 ** np.arange(np.floor(np.log10(least)), 1)
        steps = [step for decade in decades for step in (decade, 2 * decade, 5 * decade) if least <= step <= 1]
        axes.yaxis.set_major_locator(FixedLocator([0, *steps]))
        axes.yaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_yscale("log")
        log_percent(axes.yaxis)


def plain_log(axis: Axis) -> None:
    """Format a logarithmic axis with plain numbers."""
    _format_log(axis, FuncFormatter(lambda value, _: f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"))


def _format_log(axis: Axis, formatter: Formatter) -> None:
    """Place ticks at 1, 2 and 5 of every decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(formatter)
    axis.set_minor_formatter(NullFormatter())


def shortened(name: Any, most: int = MOST_LETTERS) -> str:
    """Name of a class, cut off after so many letters."""
    text = str(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def name_ticks(axis: Axis, names: Sequence[Any], room: float) -> None:
    """Name the positions 0, 1, ... of an axis, so that no name runs into the next.

    On a horizontal axis names are turned where they are too wide. Where there is no room even so, some are left out.

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
    return float(np.clip(0.36 * count, 3.8, 15))


def write_cells(axes: Axes, texts: Sequence[Sequence[str]], colours: np.ndarray, room: float) -> None:
    """Write into the cells of a matrix, unless they are too small to be read.

    texts: a list of each row. colours: of the texts, str (rows, columns). room: inches of the narrower side of a cell.
    """
    size = min(SMALL, 0.3 * POINTS * room)
    for (row, column), colour in np.ndenumerate(colours):
        if texts[row][column] and size >= SMALLEST:
            axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=size, color=colour)
    axes.grid(visible=False)


def bars_width(count: int) -> float:
    """Inches for a figure of so many bars."""
    return float(np.clip(0.27 * count + 1, WIDTH, 16))


def write_over_bars(
    axes: Axes, bars: BarContainer, texts: Sequence[Sequence[str]], room: float, **options: Any
) -> None:
    """Write short texts over each bar, one below the other, or turned and side by side where bars are narrow.

    bars: all of the axes, from 0 up. texts: a list for each bar. room: inches from one bar to the next. options: of
    the texts.
    """
    turned = room < NARROW
    lines = ["  ".join(parts) if turned else "\n".join(parts) for parts in texts]
    axes.bar_label(bars, lines, padding=2, rotation=90 if turned else 0, **{"fontsize": 8} | options)
    top = max((bar.get_y() + bar.get_height() for bar in bars), default=1)
    axes.set(xlim=(-0.8, len(bars) - 0.2), ylim=(0, top * (1.45 if turned else 1.16)))
