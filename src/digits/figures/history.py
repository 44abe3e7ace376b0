"""How training went."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from digits.figures.style import PALETTE, canvas, caption, error_rate, log_percent, styled


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


def _range(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.2%}" if low == high else f"{low:.2%} to {high:.2%}"
