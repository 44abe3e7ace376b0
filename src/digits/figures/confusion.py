"""The confusion matrix."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from digits.competition import COMPETITION
from digits.figures.caption import Caption
from digits.figures.style import canvas, matrix_side, name_ticks, name_width, styled, write_cells


@styled
def confusion_matrix(counts: np.ndarray, classes: np.ndarray) -> Figure:
    """Rows by label and prediction.

    counts: int (classes, classes): a row a label, a column a prediction.
    """
    side, names = matrix_side(len(classes)), name_width(classes)
    room = side / len(classes)
    figure, (axes,) = canvas(width=side + names + 0.9, height=side + 1.0)
    wrong = _wrong(counts)
    axes.imshow(np.where(wrong > 0, wrong, np.nan), cmap="Oranges", norm=LogNorm(0.5, 2 * max(int(wrong.max()), 1)))
    texts = [[f"{count:,}" if count else "" for count in row] for row in counts]
    write_cells(axes, texts, np.where(np.eye(len(classes), dtype=bool), "#666666", "black"), room)
    name_ticks(axes.xaxis, classes, room)
    name_ticks(axes.yaxis, classes, room)
    axes.set(xlabel=f"predicted {COMPETITION.noun}", ylabel="label")
    return figure


def caption(counts: np.ndarray, classes: np.ndarray) -> Caption:
    """Words of the confusion matrix."""
    wrong = _wrong(counts)
    text = f"{wrong.sum():,} of {counts.sum():,} rows are wrong, those beside the diagonal"
    if wrong.any():
        label, chosen = np.unravel_index(wrong.argmax(), wrong.shape)
        text += f"; most often {classes[label]} is taken for {classes[chosen]} ({wrong.max()} times)"
    return Caption("Confusion matrix of the out-of-fold rows", f"{text}.")


def _wrong(counts: np.ndarray) -> np.ndarray:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    return wrong
