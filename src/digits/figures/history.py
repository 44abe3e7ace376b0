"""How training went."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from digits.figures.style import PALETTE, SERIES, canvas, caption, error_rate, log_percent, plain_log, styled


@styled
def training_history(histories: dict[str, np.ndarray]) -> Figure:
    """Loss and error rate of every member by epoch, a colour an architecture.

    Args:
        histories: for each member's name, such as `default-s0-f3`, a structured array (epochs,) with the
            fields epoch, loss, held_out_loss, accuracy and held_out_accuracy.
    """
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
    last = [1 - history["held_out_accuracy"][-1] for history in histories.values()]
    seen = f"{len(histories)} members; held-out error after the last epoch {_range(last)}"
    caption(figure, f"{seen}, on the rows that are scored after every epoch")
    return figure


@styled
def fold_histories(histories: Mapping[str, Mapping[int, Sequence[np.ndarray]]]) -> Figure:
    """Held-out loss and error rate of every fold by epoch: a column an architecture, a colour a fold.

    Args:
        histories: for each architecture and fold those of its seeds, as `training_history` takes them.
    """
    figure = Figure(figsize=(max(6.4, 4.8 * len(histories)), 7), layout="constrained")
    panels = figure.subplots(2, len(histories), squeeze=False, sharex="col", sharey="row")
    for column, (architecture, folds) in zip(panels.T, histories.items(), strict=True):
        for axes, field, transform in zip(column, ("loss", "accuracy"), (np.asarray, error_rate), strict=True):
            _draw_folds(axes, folds, field, transform)
        column[0].set_title(architecture)
        column[1].set_xlabel("epoch")
        column[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0, 0].set_ylabel("held-out log loss (nats)")
    if _is_steep(panels[0]):
        panels[0, 0].set_yscale("log")
        plain_log(panels[0, 0].yaxis)
    panels[1, 0].set(ylabel="held-out rows that were wrong", yscale="log")
    for axes in panels[1]:
        log_percent(axes.yaxis)
    panels[0, -1].legend(title="fold", fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    caption(figure, f"held-out error after the last epoch: {_told(histories)}; on the rows scored after every epoch")
    return figure


def _draw_folds(
    axes: Axes,
    folds: Mapping[int, Sequence[np.ndarray]],
    field: str,
    transform: Callable[[np.ndarray], np.ndarray],
) -> None:
    for place, (fold, of_seeds) in enumerate(folds.items()):
        for number, history in enumerate(of_seeds):
            curve = transform(history[f"held_out_{field}"])
            label = f"{fold}" if number == 0 else None
            mark = "." if len(curve) == 1 else None  # one epoch alone makes no line
            axes.plot(history["epoch"], curve, marker=mark, color=SERIES[place % len(SERIES)], lw=1.3, label=label)
    means = np.mean([transform(of[f"held_out_{field}"]) for of in _alike(folds)], axis=0)
    axes.plot(np.arange(1, len(means) + 1), means, color="black", lw=2.2, label="mean")


def _is_steep(panels: Iterable[Axes]) -> bool:
    """Whether a logarithmic axis would show more than a tick or two."""
    heights = np.concatenate([line.get_ydata() for axes in panels for line in axes.lines])
    return bool(heights.max() > 5 * heights.min() > 0)


def _alike(folds: Mapping[int, Sequence[np.ndarray]]) -> list[np.ndarray]:
    """All histories, cut to the shortest: early stopping ends them at different epochs."""
    every = [history for of_seeds in folds.values() for history in of_seeds]
    shortest = min(map(len, every))
    return [history[:shortest] for history in every]


def _told(histories: Mapping[str, Mapping[int, Sequence[np.ndarray]]]) -> str:
    told = []
    for architecture, folds in histories.items():
        last = [1 - history["held_out_accuracy"][-1] for of_seeds in folds.values() for history in of_seeds]
        worst = max(folds, key=lambda fold: max(1 - history["held_out_accuracy"][-1] for history in folds[fold]))
        told.append(f"{architecture} {_range(last)}" + (f", worst in fold {worst}" if len(folds) > 1 else ""))
    return "; ".join(told)


def _range(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.2%}" if low == high else f"{low:.2%} to {high:.2%}"
