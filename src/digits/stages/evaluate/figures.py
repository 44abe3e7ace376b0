"""Figures of an evaluation: scores by class, mistakes, calibration and coverage, and what the members add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from digits.competition import COMPETITION
from digits.figures.sheets import fitted, sheet
from digits.figures.style import PALETTE, canvas, caption, log_percent, name_ticks, shortened, styled
from digits.stages.evaluate import findings
from digits.stages.evaluate.measures import (
    Agreement,
    CoverageCurve,
    Evaluation,
    Predictions,
    Rescue,
    binned,
    coverage_curve,
)

WIDTHS = np.arange(0.1, 0.95, 0.1)  # edges of the bins on a plain axis of confidence
LEAST = 1e-8  # doubt that differs from none: the logits were float32
COLOURS = (PALETTE[1], PALETTE[0], PALETTE[2])  # of the steps of calibration
MARKERS = ("s", "o", "D")
SIZES = (5, 9, 4)  # so that one shows through where two are the same
MOST_LEGIBLE = 12  # members whose shares are written in a size that can be read
SHEET, COLUMNS = 600, 12  # mistakes on their sheet, at most; images side by side, at least
LETTERS_OF_NAME = 11  # so that a probability stands beside it
ROOM = 0.34  # inches for the scores of a class


@styled
def class_scores(evaluation: Evaluation) -> Figure:
    """Precision, recall and F1 of every class with their 95 % intervals; a class without rows has no dot."""
    labels, accuracy = evaluation.labels, evaluation.accuracy
    figure, panels = canvas(3, width=3.9, height=ROOM * len(labels) + 1.9)
    for axes, name in zip(panels, ("precision", "recall", "f1"), strict=True):
        for y, scores in enumerate(evaluation.classes):
            score = getattr(scores, name)
            if np.isfinite(score.value):
                axes.plot([score.low, score.high], [y, y], color=PALETTE[0], lw=2, alpha=0.45)
                axes.plot(score.value, y, "o", color=PALETTE[0], ms=5)
        axes.axvline(accuracy.value, color="#444444", ls="--", lw=0.8)
        axes.set(title="F1" if name == "f1" else name.capitalize(), ylim=(len(labels) - 0.5, -0.5))
        name_ticks(axes.yaxis, labels, ROOM)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[0].set_ylabel(COMPETITION.noun)
    key = f"Lines: 95 % intervals. Dashed: accuracy of all rows, {accuracy.value:.3%}."
    caption(figure, " ".join([*findings.classes(evaluation)[:1], key]))
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
    count = len(predictions.mistakes)
    title = f"{count:,} of {len(predictions.rows):,} out-of-fold rows are wrong"
    note = (
        f"Over each image: its label and row, then the two most probable {COMPETITION.nouns}; the surest mistake first."
    )
    if not count:
        title, note = "No out-of-fold row is wrong", "The ensemble chose the label of every row that it had not seen."
    if len(shown) < count:
        note += f" The first {len(shown):,} are shown."
    return sheet(images[predictions.rows[shown]], captions, title, note, max(COLUMNS, isqrt(len(shown) // 2)))


@styled
def reliability_diagram(steps: Mapping[str, Predictions], evaluation: Evaluation) -> Figure:
    """How often the choices are right against how sure they are; left all rows, right by the nines.

    steps: predictions after at most three steps of calibration, such as before and after scaling.
    """
    figure = Figure(figsize=(11.5, 6.6), layout="constrained")
    (plain, nines), (below, rows) = figure.subplots(2, 2, height_ratios=(3, 1), sharex="col")
    for axes, ends in ((plain, [0, 1]), (nines, [1, LEAST])):
        axes.plot(ends, ends, color="#444444", ls="--", lw=0.8)
    least, lowest = 1.0, 1.0
    for number, (name, predictions) in enumerate(steps.items()):
        style = {"color": COLOURS[number], "marker": MARKERS[number], "ms": SIZES[number], "lw": 1}
        bins = binned(predictions.confidence, predictions.right, WIDTHS)
        span = [bins["accuracy"] - bins["low"], bins["high"] - bins["accuracy"]]
        label = f"{name}: ECE {evaluation.calibration.stages[name].ece:.4f}"
        plain.errorbar(bins["confidence"], bins["accuracy"], span, label=label, **style)
        below.plot(bins["confidence"], bins["rows"], **style)
        bins = binned(predictions.confidence, predictions.right, _nines(predictions.confidence))
        doubt = _doubt(bins["confidence"])
        lowest = min(lowest, _draw_doubt(nines, bins, style))
        rows.plot(doubt, bins["rows"], **style)
        least = min(least, doubt.min())
    plain.set(title="All confidences", xlim=(0, 1), ylim=(0, 1.02), ylabel="share that was right")
    plain.legend(fontsize=8, loc="lower right")
    below.set(xlabel="confidence", ylabel="rows", yscale="log")
    for axis in (plain.yaxis, below.xaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    nines.set(title="By the nines of confidence", yscale="log", ylim=(lowest / 2, 1), ylabel="share that was wrong")
    log_percent(nines.yaxis)
    rows.set(ylabel="rows", yscale="log")
    _confidence_axis(rows, least / 2)
    key = (
        "On the dashed line confidence is accuracy. Bars: 95 % intervals. Open triangles: no mistake in the bin; the "
        "upper end of its interval."
    )
    caption(figure, " ".join([findings.calibration(evaluation)[0], key]))
    return figure


def _doubt(confidence: np.ndarray) -> np.ndarray:
    """One minus the confidence, as far from 0 as a logarithmic axis needs it."""
    return np.maximum(1 - confidence, LEAST)


def _nines(confidence: np.ndarray) -> np.ndarray:
    """Inner edges of bins between 50 %, 90 %, 99 %, ..., three to a decade, as far as there are rows."""
    steps = np.arange(1, np.ceil(-3 * np.log10(_doubt(confidence).min())) + 1)
    return 1 - 10 ** (-steps / 3)


def _draw_doubt(axes: Axes, bins: pd.DataFrame, style: Mapping[str, object]) -> float:
    """Draw the share of wrong rows by doubt, and return the lowest that is shown.

    A bin without any shows how many there might be by a triangle.
    """
    doubt, accuracy = _doubt(bins["confidence"]), bins["accuracy"]
    some = accuracy < 1
    span = [(bins["high"] - accuracy)[some], (accuracy - bins["low"])[some]]
    axes.errorbar(doubt[some], 1 - accuracy[some], span, **style)
    axes.plot(doubt[~some], 1 - bins["low"][~some], color=style["color"], marker="v", ms=5, ls="none", mfc="white")
    shown = 1 - bins["high"].where(some, bins["low"])
    return float(shown[shown > 0].min())


def _confidence_axis(axes: Axes, least: float) -> None:
    """Make the horizontal axis one of doubt, 1 minus confidence: logarithmic, from 1 down to `least`.

    Its labels are confidences. Nearly all rows of a good classifier lie beyond 99 %, where a plain axis shows nothing.
    """
    doubts = [0.5, *(10.0**-decade for decade in range(1, 13))]
    axes.set(xscale="log", xlim=(1, least), xlabel="confidence (%)")
    axes.xaxis.set_major_locator(FixedLocator([doubt for doubt in doubts if doubt >= least]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda doubt, _: _confidence(doubt)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _confidence(doubt: float) -> str:
    """Such as `99.9`, or `6 nines` where so many digits would run into each other."""
    nines = round(-np.log10(doubt))
    return f"{100 * (1 - doubt):.6g}" if nines < 5 else f"{nines} nines"


@styled
def confidence_histogram(predictions: Predictions) -> Figure:
    """How sure the ensemble was of its right and of its wrong choices."""
    figure, (axes,) = canvas(1, width=7.5, height=4.2)
    right, doubt = predictions.right, _doubt(predictions.confidence)
    least = 10 ** np.floor(np.log10(doubt.min()))
    edges = 10 ** np.arange(np.log10(least), 0.05, 0.1)
    axes.hist(doubt[right], edges, color=PALETTE[0], alpha=0.55, label=f"right: {right.sum():,}")
    axes.hist(doubt[~right], edges, color=PALETTE[1], alpha=0.85, label=f"wrong: {(~right).sum():,}")
    axes.set(yscale="log", ylim=(0.7, None), ylabel="rows")
    _confidence_axis(axes, least)
    axes.legend(loc="upper left")
    above, wrong = predictions.confidence > 0.99, predictions.confidence[~right]
    mistakes = f"{(wrong > 0.9).sum()} of the {len(wrong):,} mistakes above 90 %, {(wrong > 0.99).sum()} above 99 %"
    end = "no row is wrong" if right.all() else f"so have {mistakes}"
    caption(figure, f"{above.mean():.1%} of the rows have a confidence above 99 %; {end}.")
    return figure


@styled
def coverage(predictions: Predictions, evaluation: Evaluation) -> Figure:
    """Error rate where only the most confident rows are decided, over all rows and over the last few."""
    curve, promised = coverage_curve(predictions.confidence, predictions.right), evaluation.coverage.promised_accuracy
    figure, (left, right) = canvas(2, width=5.6, height=4.2)
    widest = curve.widest(promised)
    first = 0.9 if widest is None else max(0.0, min(0.95, curve.shares[widest] - 0.01))
    points = {curve.at(0.99)} | ({widest} if widest is not None else set())
    marked = [point for point in sorted(points) if curve.accuracy[point] < 1]
    for axes in (left, right):
        _draw_coverage(axes, curve, promised, marked)
    left.set(title="All rows", ylabel="share of them that is wrong", xlim=(0, 1.01))
    right.set(title="The last rows", xlim=(first, 1 + (1 - first) / 50))
    for point in marked:
        text = f"  {curve.accuracy[point]:.3%} right of {curve.shares[point]:.2%}  "
        side = "right" if curve.shares[point] > (1 + first) / 2 else "left"
        right.annotate(text, (curve.shares[point], 1 - curve.accuracy[point]), ha=side, va="bottom")
    heights = np.append(1 - curve.accuracy[curve.shares >= first], 1 - promised)
    right.set_ylim(heights[heights > 0].min() / 1.6, heights.max() * 1.6)
    for axes in (left, right):
        log_percent(axes.yaxis)
    caption(figure, f"{findings.coverage(evaluation.coverage)[0]} Dashed: {1 - promised:.1%} wrong.")
    return figure


def _draw_coverage(axes: Axes, curve: CoverageCurve, promised: float, marked: list[int]) -> None:
    shown = curve.accuracy < 1  # a logarithmic axis has no place for 0
    axes.plot(curve.shares[shown], 1 - curve.accuracy[shown], color=PALETTE[0], lw=1.6)
    axes.axhline(1 - promised, color="#444444", ls="--", lw=0.8)
    axes.plot(curve.shares[marked], 1 - curve.accuracy[marked], "o", color=PALETTE[1])
    axes.set(xlabel="rows decided, the most confident first", yscale="log")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))


@styled
def agreement_matrix(groups: Mapping[str, Agreement]) -> Figure:
    """How often two members choose differently: a panel for each kind of rows, which is its title."""
    sides = [max(4.6, 0.36 * len(group.members) + 2.2) for group in groups.values()]
    figure = Figure(figsize=(sum(sides), max(sides) * 0.92 + 0.5), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False, width_ratios=sides)[0]
    matrices = [np.where(np.eye(len(group.members)), np.nan, 1 - group.shares) for group in groups.values()]
    most = max(np.nan_to_num(matrix).max() for matrix in matrices)
    least = min(np.nan_to_num(matrix, nan=1).min() for matrix in matrices)
    norm = Normalize(0.8 * least, most) if most else Normalize(0, 1)
    for axes, (title, group), matrix in zip(panels, groups.items(), matrices, strict=True):
        axes.imshow(matrix, cmap="Blues", norm=norm)
        size = 9 if len(group.members) <= MOST_LEGIBLE else 6
        for (row, column), share in np.ndenumerate(matrix):
            if row != column:
                colour = "white" if norm(share) > 0.6 else "black"
                axes.text(column, row, f"{100 * share:.2f}", ha="center", va="center", fontsize=size, color=colour)
        axes.set_xticks(range(len(group.members)), group.members, rotation=90, fontsize=8)
        axes.set_yticks(range(len(group.members)), group.members, fontsize=8)
        axes.set_title(title, fontsize=10)
        axes.grid(visible=False)
    notes = [_most_apart(title, group) for title, group in groups.items()]
    caption(figure, f"In every cell: rows (%) for which two choose differently; {'; '.join(notes)}.")
    return figure


def _most_apart(title: str, group: Agreement) -> str:
    if group.mean is None:
        return f"{title}: there is no pair"
    row, column = np.unravel_index(group.shares.argmin(), group.shares.shape)
    most = f"{group.members[row]} and {group.members[column]} ({1 - group.shares[row, column]:.2%})"
    return f"{title}: {1 - group.mean:.2%} on average, most {most}"


@styled
def rescued_bars(rescues: Mapping[str, Rescue], mistakes: int) -> Figure:
    """What the ensemble rescued and spoilt out of fold, against each network of an architecture and seed.

    Args:
        rescues: by architecture and seed, all folds together.
        mistakes: of the ensemble.
    """
    figure, (axes,) = canvas(1, width=8, height=0.6 * len(rescues) + 2)
    ys = np.arange(len(rescues))
    rescued = np.array([rescue.rescued for rescue in rescues.values()])
    spoilt = np.array([rescue.spoilt for rescue in rescues.values()])
    axes.barh(ys, rescued, color=PALETTE[2], height=0.55, label="rescued: it was wrong, the ensemble is right")
    axes.barh(ys, -spoilt, color=PALETTE[1], height=0.55, label="spoilt: it was right, the ensemble is wrong")
    for y, rescue in enumerate(rescues.values()):
        axes.annotate(f" {rescue.rescued}", (rescue.rescued, y), va="center", ha="left")
        axes.annotate(f"{rescue.spoilt} ", (-rescue.spoilt, y), va="center", ha="right")
    reach = max(1, *rescued, *spoilt)
    axes.set_yticks(ys, [f"{name}\n{rescue.mistakes:,} mistakes alone" for name, rescue in rescues.items()])
    axes.set(xlabel="out-of-fold rows", xlim=(-spoilt.max() - reach / 7, reach * 8 / 7))
    axes.set_ylim(len(rescues) - 0.5, -0.5)
    axes.axvline(0, color="#444444", lw=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    caption(figure, f"The ensemble has {mistakes:,} mistakes; {_compared(rescues)}.")
    return figure


def _compared(rescues: Mapping[str, Rescue]) -> str:
    if len(rescues) == 1:
        return "each row has one network that never saw it, so out of fold there is nothing to rescue"
    ranked = sorted(rescues, key=lambda name: rescues[name].mistakes)
    few, many = rescues[ranked[0]].mistakes, rescues[ranked[-1]].mistakes
    return f"alone, {ranked[0]} has the fewest ({few:,}) and {ranked[-1]} the most ({many:,})"
