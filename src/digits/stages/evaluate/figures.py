"""Figures of an evaluation: scores by class, mistakes, calibration and coverage, and what the members add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from digits.competition import COMPETITION
from digits.figures.sheets import fitted, sheet
from digits.figures.style import (
    PALETTE,
    SMALL,
    WIDTH,
    canvas,
    log_percent,
    name_ticks,
    name_width,
    plain_log,
    shortened,
    styled,
    write_cells,
)
from digits.stages.evaluate.calibration import binned, coverage_curve, populated_edges
from digits.stages.evaluate.measures import Agreement, Evaluation, Rescue
from digits.stages.evaluate.predictions import Predictions

LEAST = 1e-8  # doubt that differs from none: the logits were float32
SHEET, COLUMNS = 600, 12  # mistakes on their sheet, at most; images side by side, at least
LETTERS_OF_NAME = 11  # so that a probability stands beside it
ROOM = 0.3  # inches for the score of a class
MOST_SIDE = 15.0  # inches of a matrix


@styled
def class_scores(evaluation: Evaluation) -> Figure:
    """F1 of every class with its 95% interval; a class without rows has no dot."""
    labels, accuracy = evaluation.labels, evaluation.accuracy
    figure, (axes,) = canvas(height=ROOM * len(labels) + 1.2)
    for y, scores in enumerate(evaluation.classes):
        if np.isfinite(scores.f1.value):
            axes.plot([scores.f1.low, scores.f1.high], [y, y], color=PALETTE[0], lw=2)
            axes.plot(scores.f1.value, y, "o", color=PALETTE[0], ms=5)
    axes.axvline(accuracy.value, color="#444444", ls="--", lw=0.8)
    axes.set(xlabel="F1", ylabel=COMPETITION.noun, ylim=(len(labels) - 0.5, -0.5))
    name_ticks(axes.yaxis, labels, ROOM)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure


@styled
def mistake_sheet(predictions: Predictions, images: np.ndarray, labels: Sequence[int | str]) -> Figure:
    """The most confident mistakes, each with its label and the two most probable classes.

    Args:
        predictions: for n rows.
        images: all training images, uint8 (rows, height, width, channels).
        labels: of the classes.
    """
    shown, names = predictions.mistakes[:SHEET], [shortened(label, LETTERS_OF_NAME) for label in labels]
    captions = []
    for index in shown:
        target, *choices = predictions.targets[index], predictions.chosen[index], predictions.second[index]
        likely = [f"{names[choice]}: {predictions.probabilities[index, choice]:.3f}" for choice in choices]
        row = fitted(names[target], f"row {predictions.rows[index]}", between=", ")
        captions.append(f"{row}\n{fitted(*likely)}")
    return sheet(images[predictions.rows[shown]], captions, max(COLUMNS, isqrt(len(shown) // 2)))


@styled
def reliability_diagram(predictions: Predictions) -> Figure:
    """Share of wrong choices by the nines of their confidence, with 95% intervals."""
    figure, (axes,) = canvas(height=3.8)
    doubt = _doubt(predictions.confidence)
    bins = binned(predictions.confidence, predictions.right, populated_edges(predictions.confidence, _nines(doubt)))
    doubts, accuracy = _doubt(bins["confidence"].to_numpy()), bins["accuracy"].to_numpy()
    some = accuracy < 1
    span = [(bins["high"] - accuracy)[some], (accuracy - bins["low"])[some]]
    axes.errorbar(doubts[some], 1 - accuracy[some], span, color=PALETTE[0], marker="o", ms=5, ls="none")
    upper = 1 - bins["low"].to_numpy()
    axes.plot(doubts[~some], upper[~some], color=PALETTE[0], marker="v", ms=6, ls="none", mfc="white")
    lowest = np.concatenate([1 - bins["high"].to_numpy()[some], upper[~some], doubts])
    least = min(0.05, float(lowest[lowest > 0].min()) / 2)
    axes.plot([1, LEAST], [1, LEAST], color="#444444", ls="--", lw=0.8)
    axes.set(yscale="log", ylim=(least, 1.3), ylabel="share that was wrong")
    log_percent(axes.yaxis)
    _confidence_axis(axes, float(doubts.min()) / 2)
    return figure


def _doubt(confidence: np.ndarray) -> np.ndarray:
    """One minus the confidence, as far from 0 as a logarithmic axis needs it."""
    return np.maximum(1 - confidence, LEAST)


def _nines(doubt: np.ndarray) -> np.ndarray:
    """Inner edges of bins between 50%, 90%, 99%, ..., three to a decade, as far as there are rows."""
    steps = np.arange(1, np.ceil(-3 * np.log10(doubt.min())) + 1)
    return 1 - 10 ** (-steps / 3)


def _confidence_axis(axes: Axes, least: float) -> None:
    """Make the horizontal axis one of doubt, 1 minus confidence: logarithmic, from 1 down to `least`.

    Its labels are confidences. Nearly all rows of a good classifier lie beyond 99%, where a plain axis shows nothing.
    """
    doubts = [0.5] * int(least > 1e-4) + [10.0**-decade for decade in (1, 2, 3, 4, 6, 8, 10, 12)]
    axes.set(xscale="log", xlim=(1, least), xlabel="confidence")
    axes.xaxis.set_major_locator(FixedLocator([doubt for doubt in doubts if doubt >= least]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda doubt, _: _confidence(doubt)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params("x", labelsize=SMALL)


def _confidence(doubt: float) -> str:
    """Such as `99.9%`, or `6 nines` where so many digits would run into each other."""
    nines = round(-np.log10(doubt))
    return f"{100 * (1 - doubt):.6g}%" if nines < 5 else f"{nines} nines"


@styled
def confidence_histogram(predictions: Predictions) -> Figure:
    """How sure the ensemble was of its right and of its wrong choices."""
    figure, (axes,) = canvas()
    right, doubt = predictions.right, _doubt(predictions.confidence)
    least = 10 ** np.floor(np.log10(doubt.min()))
    edges = 10 ** np.arange(np.log10(least), 0.05, 0.1)
    axes.hist(doubt[right], edges, color=PALETTE[0], alpha=0.55, label=f"right: {right.sum():,}")
    axes.hist(doubt[~right], edges, color=PALETTE[1], alpha=0.85, label=f"wrong: {(~right).sum():,}")
    axes.set(yscale="log", ylim=(0.7, None), ylabel="rows")
    plain_log(axes.yaxis)
    _confidence_axis(axes, least)
    axes.legend(loc="upper left")
    return figure


@styled
def coverage(predictions: Predictions, evaluation: Evaluation) -> Figure:
    """Error rate of the most confident rows, by how many of them are decided: the last ones, where it rises."""
    curve, promised = coverage_curve(predictions.confidence, predictions.right), evaluation.coverage.promised_accuracy
    figure, (axes,) = canvas()
    widest = curve.widest(promised)
    first = 0.9 if widest is None else max(0.0, min(0.95, curve.shares[widest] - 0.01))
    points = {curve.at(0.99)} | ({widest} if widest is not None else set())
    marked = [point for point in sorted(points) if curve.accuracy[point] < 1]
    shown = curve.accuracy < 1  # a logarithmic axis has no place for 0
    axes.plot(curve.shares[shown], 1 - curve.accuracy[shown], color=PALETTE[0], lw=1.6)
    axes.axhline(1 - promised, color="#444444", ls="--", lw=0.8)
    axes.plot(curve.shares[marked], 1 - curve.accuracy[marked], "o", color=PALETTE[1])
    heights = np.append(1 - curve.accuracy[curve.shares >= first], 1 - promised)
    axes.set(
        xlabel="rows decided, the most confident first",
        ylabel="share of them that is wrong",
        yscale="log",
        xlim=(first, 1 + (1 - first) / 50),
        ylim=(heights[heights > 0].min() / 1.6, heights.max() * 1.6),
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    log_percent(axes.yaxis)
    return figure


@styled
def agreement_matrix(group: Agreement) -> Figure:
    """Share of rows on which two members choose differently; needs two members."""
    count, names = len(group.members), name_width(group.members)
    side = float(np.clip(0.42 * count, WIDTH - names - 0.5, MOST_SIDE))
    figure, (axes,) = canvas(width=side + names + 0.5, height=side + names + 0.8)
    matrix = np.where(np.eye(count, dtype=bool), np.nan, 1 - group.shares)
    most, least = np.nanmax(matrix), np.nanmin(matrix)
    norm = Normalize(0.8 * least, most) if most else Normalize(0, 1)
    axes.imshow(matrix, cmap="Blues", norm=norm)
    texts = [["" if np.isnan(share) else f"{share:.2%}" for share in row] for row in matrix]
    write_cells(axes, texts, np.where(norm(np.nan_to_num(matrix)) > 0.6, "white", "black"), side / count)
    name_ticks(axes.xaxis, group.members, side / count)
    name_ticks(axes.yaxis, group.members, side / count)
    return figure


@styled
def rescued_bars(rescues: Mapping[str, Rescue]) -> Figure:
    """What the ensemble rescued and spoilt out of fold, against each network of an architecture and seed.

    rescues: by architecture and seed, all folds together.
    """
    figure, (axes,) = canvas(height=0.5 * len(rescues) + 1.8)
    ys = np.arange(len(rescues))
    rescued = np.array([rescue.rescued for rescue in rescues.values()])
    spoilt = np.array([rescue.spoilt for rescue in rescues.values()])
    axes.barh(ys, rescued, color=PALETTE[2], height=0.55, label="rescued: it was wrong, the ensemble is right")
    axes.barh(ys, -spoilt, color=PALETTE[1], height=0.55, label="spoilt: it was right, the ensemble is wrong")
    for y, rescue in enumerate(rescues.values()):
        axes.annotate(f" {rescue.rescued}", (rescue.rescued, y), va="center", ha="left")
        axes.annotate(f"{rescue.spoilt} ", (-rescue.spoilt, y), va="center", ha="right")
    reach = max(1, *rescued, *spoilt)
    axes.set_yticks(ys, [f"{name}\n{rescue.mistakes:,} wrong alone" for name, rescue in rescues.items()])
    axes.set(xlabel="out-of-fold rows", xlim=(-spoilt.max() - reach / 5, reach * 6 / 5))
    axes.set_ylim(len(rescues) - 0.5, -0.5)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0))
    return figure
