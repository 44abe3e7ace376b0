"""Curves of training. A history is a structured array (epochs,) with the fields of a member's `history.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from digits.figures.caption import Caption
from digits.figures.style import PALETTE, SERIES, canvas, log_shares, plain_log, styled

SCORED = "The curves are measured on the rows that are scored; no choice is made by them."
CAPTION = Caption("Training of every member, by epoch", SCORED)


@styled
def training_history(histories: Mapping[str, np.ndarray]) -> Figure:
    """Loss and error rate by epoch of every member, such as `default-s0-f3`; a colour an architecture."""
    figure, (losses, errors) = canvas(2)
    architectures = list(dict.fromkeys(name.split("-")[0] for name in histories))
    colours = dict(zip(architectures, PALETTE * len(architectures), strict=False))
    for name, history in histories.items():
        colour, epochs = colours[name.split("-")[0]], history["epoch"]
        losses.plot(epochs, history["loss"], ":", color=colour, lw=1, alpha=0.7)
        losses.plot(epochs, history["held_out_loss"], color=colour, lw=1.4)
        errors.plot(epochs, 1 - history["accuracy"], ":", color=colour, lw=1, alpha=0.7)
        errors.plot(epochs, 1 - history["held_out_accuracy"], color=colour, lw=1.4)
    for architecture in architectures:
        losses.plot([], [], color=colours[architecture], label=f"{architecture}, held out")
        losses.plot([], [], ":", color=colours[architecture], label=f"{architecture}, training (augmented)")
    losses.legend()
    losses.set(ylabel="log loss (nats)", yscale="log")
    plain_log(losses.yaxis)
    _finish(errors)
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def fold_histories(folds: Mapping[int, Sequence[np.ndarray]]) -> Figure:
    """Held-out loss and error rate of an architecture by epoch: a colour a fold, and the mean of all.

    folds: the histories of all seeds by fold.
    """
    figure, (losses, errors) = canvas(2)
    _draw_folds(losses, {fold: [each["held_out_loss"] for each in seeds] for fold, seeds in folds.items()})
    _draw_folds(errors, {fold: [1 - each["held_out_accuracy"] for each in seeds] for fold, seeds in folds.items()})
    losses.set_ylabel("held-out log loss (nats)")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    heights = np.concatenate([line.get_ydata() for line in losses.lines])
    if heights.max() > 5 * heights.min() > 0:  # a logarithmic axis shows more than a tick or two
        losses.set_yscale("log")
        plain_log(losses.yaxis)
    losses.legend(title="fold", loc="upper right", ncols=3)
    _finish(errors)
    return figure


def captions(architectures: Mapping[str, Mapping[int, Sequence[np.ndarray]]]) -> dict[str, Caption]:
    """Words of the figures `history_<architecture>`; all histories by architecture and fold."""
    return {
        f"history_{name}": Caption(f"Training of {name}, by epoch", f"{_last_errors(folds)} {SCORED}")
        for name, folds in architectures.items()
    }


def _finish(errors: Axes) -> None:
    """Format the panel of error rates."""
    errors.set(xlabel="epoch", ylabel="held-out rows that were wrong")
    errors.xaxis.set_major_locator(MaxNLocator(integer=True))
    log_shares(errors)


def _draw_folds(axes: Axes, folds: Mapping[int, Sequence[np.ndarray]]) -> None:
    """Draw the curves of all seeds, float (epochs,) each, by fold, and their mean."""
    for index, (fold, curves) in enumerate(folds.items()):
        for seed, curve in enumerate(curves):
            label = f"{fold}" if seed == 0 else None
            marker = "." if len(curve) == 1 else None  # one epoch alone makes no line
            epochs = np.arange(1, len(curve) + 1)
            axes.plot(epochs, curve, marker=marker, color=SERIES[index % len(SERIES)], lw=1.3, label=label)
    every = list(chain(*folds.values()))
    if len(every) > 1:
        shortest = min(map(len, every))  # early stopping ends them at different epochs
        means = np.mean([curve[:shortest] for curve in every], axis=0)
        axes.plot(np.arange(1, len(means) + 1), means, color="black", lw=2.2, label="mean")


def _last_errors(folds: Mapping[int, Sequence[np.ndarray]]) -> str:
    """Such as `Held-out error after the last epoch: 1.00% to 2.00%, worst in fold 0.`"""
    errors = f"Held-out error after the last epoch: {_range(chain(*folds.values()))}"
    worst = max(folds, key=lambda fold: max(1 - history["held_out_accuracy"][-1] for history in folds[fold]))
    return f"{errors}, worst in fold {worst}." if len(folds) > 1 else f"{errors}."


def _range(histories: Iterable[np.ndarray]) -> str:
    """Lowest and highest held-out error after the last epoch."""
    errors = [1 - history["held_out_accuracy"][-1] for history in histories]
    low, high = min(errors), max(errors)
    return f"{low:.2%}" if low == high else f"{low:.2%} to {high:.2%}"
