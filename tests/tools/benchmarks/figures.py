"""How soon training reaches an accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from digits.figures.style import PALETTE, canvas, log_percent, styled


@styled
def convergence(curves: dict[str, np.ndarray], targets: Sequence[float]) -> Figure:
    """Error rate over seconds of training, a line a config, and the targets across.

    Args:
        curves: for each name float (epochs, 2): seconds since the start, accuracy on held-out rows.
        targets: accuracies.
    """
    figure, (axes,) = canvas(width=7.5, height=4.5)
    for (name, points), colour in zip(curves.items(), PALETTE, strict=False):
        axes.plot(points[:, 0], 1 - points[:, 1], "o-", ms=3, lw=1.4, color=colour, label=name)
    for target in targets:
        axes.axhline(1 - target, color="#444444", lw=0.8, ls="--")
        axes.annotate(f"{target:.1%}", (1, 1 - target), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    axes.set(title="Error on held-out rows", xlabel="seconds of training", ylabel="rows that were wrong", yscale="log")
    log_percent(axes.yaxis)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
