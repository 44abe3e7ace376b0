"""Curves of training. A history is a structured array (epochs,) with the fields of a member's `history.csv`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from digits.figures.style import PALETTE, SERIES, canvas, caption, error_rate, log_percent, plain_log, styled


@styled
def training_history(histories: Mapping[str, np.ndarray]) -> Figure:
    """Loss and error rate by epoch of every member, such as `default-s0-f3`; a colour an architecture."""
    figure, (left, right) = canvas(2)
    architectures = list(dict.fromkeys(name.split("-")[0] for name in histories))
    colours = dict(zip(architectures, PALETTE * len(architectures), strict=False))
    for name, history in histories.items():
        colour = colours[name.split("-")[0]]
        for axes, field, transform in ((left, "loss", np.asarray), (right, "accuracy", error_rate)):
            axes.plot(history["epoch"], transform(history[field]), ":", color=colour, lw=1, alpha=0.7)
            axes.plot(history["epoch"], transform(history[f"held_out_{field}"]), color=colour, lw=1.4)
    for architecture in architectures:
        left.plot([], [], color=colours[architecture], label=f"{architecture}, held out")
        left.plot([], [], ":", color=colours[architecture], label=f"{architecture}, training (augmented)")
    left.legend(fontsize=8)
    left.set(title="Log loss", xlabel="epoch", ylabel="log loss (nats)", yscale="log")
    right.set(title="Error rate", xlabel="epoch", ylabel="rows that were wrong", yscale="log")
    log_percent(right.yaxis)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    errors = f"{len(histories)} members; held-out error after the last epoch {_range(histories.values())}"
    caption(figure, f"{errors}, on the rows that are scored after every epoch")
    return figure


@styled
def fold_histories(histories: Mapping[str, Mapping[int, Sequence[np.ndarray]]]) -> Figure:
    """Held-out loss and error rate of every fold by epoch: a column an architecture, a colour a fold.

    histories: those of all seeds by architecture and fold.
    """
    figure = Figure(figsize=(max(6.4, 4.8 * len(histories)), 7), layout="constrained")
    panels = figure.subplots(2, len(histories), squeeze=False, sharex="col", sharey="row")
    for (losses, errors), (architecture, folds) in zip(panels.T, histories.items(), strict=True):
        _draw_folds(losses, {fold: [each["held_out_loss"] for each in seeds] for fold, seeds in folds.items()})
        rates = {fold: [error_rate(each["held_out_accuracy"]) for each in seeds] for fold, seeds in folds.items()}
        _draw_folds(errors, rates)
        losses.set_title(architecture)
        errors.set_xlabel("epoch")
        errors.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0, 0].set_ylabel("held-out log loss (nats)")
    heights = np.concatenate([line.get_ydata() for axes in panels[0] for line in axes.lines])
    if heights.max() > 5 * heights.min() > 0:  # a logarithmic axis shows more than a tick or two
        panels[0, 0].set_yscale("log")
        plain_log(panels[0, 0].yaxis)
    panels[1, 0].set(ylabel="held-out rows that were wrong", yscale="log")
    for axes in panels[1]:
        log_percent(axes.yaxis)
    panels[0, -1].legend(title="fold", fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    texts = [_last_errors(architecture, folds) for architecture, folds in histories.items()]
    caption(figure, f"held-out error after the last epoch: {'; '.join(texts)}; on the rows scored after every epoch")
    return figure


def _draw_folds(axes: Axes, folds: Mapping[int, Sequence[np.ndarray]]) -> None:
    """Draw the curves of all seeds, float (epochs,) each, by fold, and their mean."""
    for index, (fold, curves) in enumerate(folds.items()):
        for seed, curve in enumerate(curves):
            label = f"{fold}" if seed == 0 else None
            marker = "." if len(curve) == 1 else None  # one epoch alone makes no line
            epochs = np.arange(1, len(curve) + 1)
            axes.plot(epochs, curve, marker=marker, color=SERIES[index % len(SERIES)], lw=1.3, label=label)
    every = list(chain(*folds.values()))
    shortest = min(map(len, every))  # early stopping ends them at different epochs
    means = np.mean([curve[:shortest] for curve in every], axis=0)
    axes.plot(np.arange(1, len(means) + 1), means, color="black", lw=2.2, label="mean")


def _last_errors(architecture: str, folds: Mapping[int, Sequence[np.ndarray]]) -> str:
    """Such as `small 1.00% to 2.00%, worst in fold 0`."""
    errors = f"{architecture} {_range(chain(*folds.values()))}"
    worst = max(folds, key=lambda fold: max(1 - history["held_out_accuracy"][-1] for history in folds[fold]))
    return f"{errors}, worst in fold {worst}" if len(folds) > 1 else errors


def _range(histories: Iterable[np.ndarray]) -> str:
    """Lowest and highest held-out error after the last epoch."""
    errors = [1 - history["held_out_accuracy"][-1] for history in histories]
    low, high = min(errors), max(errors)
    return f"{low:.2%}" if low == high else f"{low:.2%} to {high:.2%}"
