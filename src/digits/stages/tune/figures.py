"""Figures of a search."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from digits.figures.style import PALETTE, SMALL, WIDTH, canvas, shortened, styled
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
    figure, (axes,) = canvas()
    minutes = seconds / 60
    axes.plot(minutes[~is_through], objective[~is_through], "x", color=PALETTE[7], label="stopped early")
    axes.plot(minutes[is_through], objective[is_through], "o", color=PALETTE[0], label="trial")
    best = np.where(is_through, objective, np.inf if lower else -np.inf)
    best = (np.minimum if lower else np.maximum).accumulate(best)
    known = np.isfinite(best)
    axes.step(minutes[known], best[known], where="post", color=PALETTE[1], label="best so far")
    axes.set(xlabel="minutes that the search had taken", ylabel=label)
    axes.legend()
    return figure


@styled
def parallel_coordinates(columns: dict[str, np.ndarray], objective: np.ndarray, logs: list[str], lower: bool) -> Figure:
    """A line a trial down through all its values; the dark ones are the best.

    Args:
        columns: (trials,) for each hyperparameter, numbers or words.
        objective: float (trials,).
        logs: the hyperparameters on a logarithmic scale.
        lower: whether lower is better.
    """
    figure, (axes,) = canvas(height=0.62 * len(columns) + 0.7)
    places, ticks = zip(*(_scaled(values, name in logs) for name, values in columns.items()), strict=True)
    badness, norm = _badness(objective, lower)
    shades = colormaps[COLOURS](norm(badness))
    heights = np.arange(len(columns))
    for trial in np.argsort(-badness):  # the best on top
        axes.plot([place[trial] for place in places], heights, color=shades[trial], alpha=0.8, lw=1.3)
    for height, marks in zip(heights, ticks, strict=True):
        axes.axhline(height, color="#444444", lw=0.8)
        for place, text in marks:
            axes.text(place, height + 0.08, text, fontsize=SMALL, ha="center", va="top")
    axes.set_yticks(heights, list(map(_short, columns)), fontsize=SMALL)
    axes.set(xticks=[], xlim=(-0.1, 1.1), ylim=(len(columns) - 0.5, -0.3))
    axes.grid(False)
    return figure


def _short(name: str) -> str:
    """The last two words of a key, such as `training.optimizer.learning_rate`, below each other."""
    return "\n".join(shortened(word, 20) for word in name.split(".")[-2:])


def _badness(objective: np.ndarray, lower: bool) -> tuple[np.ndarray, Normalize]:
    """The objective, turned so that lower is better, and a scale on which the worst tenth looks alike."""
    badness = objective if lower else -objective
    return badness, Normalize(badness.min(), np.quantile(badness, 0.9))


def _scaled(values: np.ndarray, log: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Values as heights from 0 to 1, and the heights that get a text."""
    if values.dtype == object:
        words, codes = np.unique(values.astype(str), return_inverse=True)
        marks = [(index / max(len(words) - 1, 1), word[:12]) for index, word in enumerate(words)]
        return codes / max(len(words) - 1, 1), marks
    numbers = np.log(values.astype(float)) if log else values.astype(float)
    low, high = numbers.min(), numbers.max()
    width = high - low or 1.0
    texts = [(0.0, f"{values.min():.3g}"), (1.0, f"{values.max():.3g}")] if high > low else [(0.0, f"{values[0]:.3g}")]
    return (numbers - low) / width, texts


@styled
def hyperparameter_importance(found: dict[str, Importance]) -> Figure:
    """Loss of a forest that predicts the objective, when one hyperparameter is shuffled; the highest first."""
    figure, (axes,) = canvas(height=1.0 + 0.4 * len(found))
    names = list(found)[::-1]
    means = [found[name].mean for name in names]
    axes.barh(range(len(names)), means, xerr=[found[name].spread for name in names], color=PALETTE[0], ecolor="#444444")
    axes.set_yticks(range(len(names)), list(map(_short, names)), fontsize=SMALL)
    axes.set(xlabel="loss of R² when it is shuffled")
    axes.grid(axis="y", visible=False)
    return figure


@styled
def slices(columns: dict[str, np.ndarray], objective: np.ndarray, logs: list[str], label: str, lower: bool) -> Figure:
    """The objective against each hyperparameter, two panels side by side; the dark trials are the best.

    Args: as `parallel_coordinates`; label: what the objective is called.
    """
    rows = -(-len(columns) // 2)
    figure = Figure(figsize=(WIDTH, 2.3 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False, sharey=True)
    badness, norm = _badness(objective, lower)
    for axes, (name, values) in zip(panels.flat, columns.items(), strict=False):
        axes.scatter(_positions(axes, values, name in logs), objective, c=badness, cmap=COLOURS, norm=norm, s=14)
        axes.set_xlabel(_short(name), fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
    for axes in panels.flat[len(columns) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel(label, fontsize=SMALL)
    return figure


def _positions(axes: Axes, values: np.ndarray, log: bool) -> np.ndarray:
    """Numbers as they are, words as their positions on a horizontal axis that names them."""
    distinct, codes = np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)
    if values.dtype == object:
        axes.set_xticks(range(len(distinct)), [word[:12] for word in distinct])
        return codes
    if log:
        axes.set_xscale("log")
        decades = np.log10(distinct[-1] / distinct[0])
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2 else (1,)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    if len(distinct) <= FEW:  # a choice of numbers: nothing lies between them
        axes.set_xticks(distinct, [f"{value:g}" for value in distinct])
    return values
