"""Figures of a search."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from digits.figures.style import PALETTE, canvas, caption, styled
from digits.stages.tune import findings
from digits.stages.tune.measures import Importance

COLOURS = "viridis"  # dark is good
FEW = 4  # as many distinct numbers are marked each


@styled
def search_progress(
    seconds: np.ndarray, objective: np.ndarray, is_through: np.ndarray, label: str, lower: bool
) -> Figure:
    """The objective of every trial over time, and the best so far.

    Args:
        seconds: float (trials,), ascending: when each ended.
        objective: float (trials,).
        is_through: bool (trials,): not stopped early; only these can be the best.
        label: what the objective is called.
        lower: whether lower is better.
    """
    figure, (axes,) = canvas(1, width=7)
    minutes = seconds / 60
    axes.plot(minutes[~is_through], objective[~is_through], "x", color=PALETTE[7], label="stopped early")
    axes.plot(minutes[is_through], objective[is_through], "o", color=PALETTE[0], label="trial")
    best = np.where(is_through, objective, np.inf if lower else -np.inf)
    best = (np.minimum if lower else np.maximum).accumulate(best)
    known = np.isfinite(best)
    axes.step(minutes[known], best[known], where="post", color=PALETTE[1], label="best so far")
    axes.set(xlabel="minutes that the search had taken", ylabel=label)
    axes.legend()
    caption(figure, findings.progress(len(objective), int((~is_through).sum()), best[-1]))
    return figure


@styled
def parallel_coordinates(
    columns: dict[str, np.ndarray], objective: np.ndarray, logs: list[str], label: str, lower: bool
) -> Figure:
    """A line a trial through all its values; the dark ones are the best.

    Args:
        columns: (trials,) for each hyperparameter, numbers or words.
        objective: float (trials,).
        logs: the hyperparameters on a logarithmic scale.
        label: what the objective is called.
        lower: whether lower is better.
    """
    figure, (axes,) = canvas(1, width=max(7.0, 1.5 * (len(columns) + 1)))
    heights, ticks = zip(*(_scaled(values, name in logs) for name, values in columns.items()), strict=True)
    badness, norm = _badness(objective, lower)
    shades = colormaps[COLOURS](norm(badness))
    positions = np.arange(len(columns))
    for trial in np.argsort(-badness):  # the best on top
        axes.plot(positions, [height[trial] for height in heights], color=shades[trial], alpha=0.8, lw=1.3)
    for position, marks in zip(positions, ticks, strict=True):
        axes.axvline(position, color="#444444", lw=0.8)
        for height, text in marks:
            axes.text(position + 0.03, height, text, fontsize=7, color="#444444", va="center")
    axes.set_xticks(positions, [name.replace(".", ".\n") for name in columns], fontsize=7)
    axes.set(yticks=[], xlim=(-0.2, len(columns) - 0.5))
    axes.grid(False)
    caption(figure, f"{len(objective)} trials; the darker a line, the better its {label}")
    return figure


def _badness(objective: np.ndarray, lower: bool) -> tuple[np.ndarray, Normalize]:
    """The objective, turned so that lower is better, and a scale on which the worst tenth looks alike."""
    badness = objective if lower else -objective
    return badness, Normalize(badness.min(), np.quantile(badness, 0.9))


def _scaled(values: np.ndarray, log: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Values as heights from 0 to 1, and the heights that get a text."""
    if values.dtype == object:
        words, codes = np.unique(values.astype(str), return_inverse=True)
        marks = [(index / max(len(words) - 1, 1), word[:24]) for index, word in enumerate(words)]
        return codes / max(len(words) - 1, 1), marks
    numbers = np.log(values.astype(float)) if log else values.astype(float)
    low, high = numbers.min(), numbers.max()
    width = high - low or 1.0
    texts = [(0.0, f"{values.min():.3g}"), (1.0, f"{values.max():.3g}")] if high > low else [(0.0, f"{values[0]:.3g}")]
    return (numbers - low) / width, texts


@styled
def hyperparameter_importance(found: dict[str, Importance], explained: float) -> Figure:
    """Loss of a forest's prediction of the objective when one hyperparameter is shuffled.

    Args:
        found: by name, the highest first.
        explained: the forest's R^2 on trials that it was not fitted to.
    """
    figure, (axes,) = canvas(1, width=7, height=1.4 + 0.35 * len(found))
    names = list(found)[::-1]
    means = [found[name].mean for name in names]
    axes.barh(names, means, xerr=[found[name].spread for name in names], color=PALETTE[0], ecolor="#444444")
    axes.set(xlabel="loss of R² when it is shuffled")
    axes.grid(axis="y", visible=False)
    caption(figure, findings.importance(explained))
    return figure


@styled
def pairwise_slices(
    columns: dict[str, np.ndarray], objective: np.ndarray, logs: list[str], label: str, lower: bool
) -> Figure:
    """The objective against each hyperparameter, and over each pair of them.

    Args: as `parallel_coordinates`.
    """
    names = list(columns)
    figure = Figure(figsize=(2.6 * len(names), 2.4 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(names), squeeze=False)
    badness, norm = _badness(objective, lower)
    for row, below in enumerate(names):
        for column, across in enumerate(names):
            axes = grid[row, column]
            if column > row:
                axes.set_axis_off()
                continue
            x = _positions(axes, "x", columns[across], across in logs)
            if row == column:
                axes.plot(x, objective, "o", ms=3, color=PALETTE[0])
                axes.set_ylabel(label, fontsize=7)
            else:
                y = _positions(axes, "y", columns[below], below in logs)
                axes.scatter(x, y, c=badness, cmap=COLOURS, norm=norm, s=16)
                axes.set_ylabel(below if column == 0 else "", fontsize=7)
            axes.set_xlabel(across if row == len(names) - 1 else "", fontsize=7)
            axes.tick_params(labelsize=6)
    caption(figure, f"diagonal: {label} against each value; below it: pairs of values, dark is good")
    return figure


def _positions(axes: Axes, axis: str, values: np.ndarray, log: bool) -> np.ndarray:
    """Numbers as they are, words as their positions on an axis that names them."""
    distinct, codes = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
    if values.dtype == object:
        axes.set(**{f"{axis}ticks": range(len(distinct)), f"{axis}ticklabels": [word[:12] for word in distinct]})
        return codes
    if log:
        axes.set(**{f"{axis}scale": "log"})
        scale = axes.xaxis if axis == "x" else axes.yaxis
        decades = np.log10(distinct[-1] / distinct[0])
        scale.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
        scale.set_major_formatter(StrMethodFormatter("{x:g}"))
        scale.set_minor_formatter(NullFormatter())
    if len(distinct) <= FEW:  # a choice of numbers: nothing lies between them
        axes.set(**{f"{axis}ticks": distinct, f"{axis}ticklabels": [f"{value:g}" for value in distinct]})
    return values
