"""The confusion matrix."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from digits.competition import COMPETITION
from digits.figures.style import canvas, caption, matrix_side, name_ticks, name_width, styled, write_cells


@styled
def confusion_matrix(counts: np.ndarray, classes: np.ndarray) -> Figure:
    """Rows by label and prediction.

    Args:
        counts: int (classes, classes): a row a label, a column a prediction.
        classes: labels (classes,).
    """
    side, names = matrix_side(len(classes)), name_width(classes)
    room = side / len(classes)
    figure, (axes,) = canvas(1, width=side + names + 1.3, height=side + 0.6)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    most = max(int(wrong.max()), 1)
    axes.imshow(np.where(wrong > 0, wrong, np.nan), cmap="Oranges", norm=LogNorm(0.5, 2 * most))
    texts = [[f"{count:,}" if count else "" for count in row] for row in counts]
    write_cells(axes, texts, np.where(np.eye(len(classes), dtype=bool), "#999999", "black"), room)
    name_ticks(axes.xaxis, classes, room)
    name_ticks(axes.yaxis, classes, room)
    axes.set(title="Confusion matrix, out of fold", xlabel=f"predicted {COMPETITION.noun}", ylabel="label")
    text = f"{wrong.sum():,} of {counts.sum():,} rows are wrong"
    if wrong.any():
        label, chosen = np.unravel_index(wrong.argmax(), wrong.shape)
        text += f"; most often {classes[label]} is taken for {classes[chosen]} ({most})"
    caption(figure, text)
    return figure
