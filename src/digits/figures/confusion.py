"""The confusion matrix."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from digits.competition import COMPETITION
from digits.figures.style import canvas, caption, styled


@styled
def confusion_matrix(counts: np.ndarray, classes: np.ndarray) -> Figure:
    """Rows by label and prediction.

    Args:
        counts: int (classes, classes): a row a label, a column a prediction.
        classes: labels (classes,).
    """
    figure, (axes,) = canvas(1, width=6.4, height=5.6)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    most = max(int(wrong.max()), 1)
    axes.imshow(np.where(wrong > 0, wrong, np.nan), cmap="Oranges", norm=LogNorm(0.5, 2 * most))
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "#999999" if row == column else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(title="Confusion matrix, out of fold", xlabel=f"predicted {COMPETITION.noun}", ylabel="label")
    axes.grid(visible=False)
    text = f"{wrong.sum():,} of {counts.sum():,} rows are wrong"
    if wrong.any():
        label, chosen = np.unravel_index(wrong.argmax(), wrong.shape)
        text += f"; most often {classes[label]} is taken for {classes[chosen]} ({most})"
    caption(figure, text)
    return figure
