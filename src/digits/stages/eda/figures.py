"""Figures of the rows before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from digits.competition import COMPETITION
from digits.figures.sheets import GAP, draw_tile
from digits.figures.style import (
    LARGEST,
    PALETTE,
    PERCENT,
    SMALL,
    WIDTH,
    bars_width,
    canvas,
    log_percent,
    name_ticks,
    name_width,
    shortened,
    styled,
    write_over_bars,
)

if TYPE_CHECKING:  # importing scikit-learn takes longer than drawing a figure
    import pandas as pd

    from digits.stages.eda.drift import TwoSampleTest

NOUN = COMPETITION.noun
PAIRS = 2  # of images, in a row of their sheet
LINE = 0.36  # inches of an image in a line of them
BINS = 32  # of the intensities that have ink
FRAME = PALETTE[1]
ON_WHITE = {"fc": "white", "ec": "none", "pad": 0.5}  # so that a line behind a text does not strike it out
THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}")


@styled
def label_distribution(counts: np.ndarray, classes: np.ndarray) -> Figure:
    """Rows of each class, and their share; dashed an even one: counts int (classes,), labels (classes,)."""
    width = bars_width(len(classes))
    room = (width - 0.8) / len(classes)
    figure, (axes,) = canvas(height=3.3 + name_width(classes), width=width)
    rows = int(counts.sum())
    bars = axes.bar(range(len(classes)), counts, color=PALETTE[0], width=0.7)
    write_over_bars(axes, bars, [(f"{count:,}", f"{count / rows:.1%}") for count in counts], room, bbox=ON_WHITE)
    axes.axhline(rows / len(classes), color="#444444", ls="--", lw=0.8)
    name_ticks(axes.xaxis, classes, room)
    axes.set(xlabel=f"{NOUN} (label)", ylabel="training rows")
    axes.yaxis.set_major_formatter(THOUSANDS)
    axes.grid(axis="x", visible=False)
    return figure


@styled
def class_lines(images: np.ndarray, classes: np.ndarray, framed: bool = False) -> Figure:
    """Images of every class, uint8 (classes, k, *shape), a line a class; `framed`: a frame around its first image."""
    lines, count, height = images.shape[:3]
    names = name_width(classes)
    figure = Figure(figsize=(max(WIDTH, LINE * count + names + 0.2), LINE * lines + 0.6), layout="constrained")
    axes = figure.subplots()
    draw_tile(axes, images.reshape(-1, *images.shape[2:]), count, (np.arange(lines * count) % count == 0) & framed)
    for index, label in enumerate(classes):
        middle = index * (height + GAP) + GAP + height / 2
        axes.text(-3, middle, shortened(label), ha="right", va="center", fontsize=LARGEST)
    return figure


@styled
def intensity_histogram(counts: np.ndarray) -> Figure:
    """Brightness of the pixels that have ink.

    counts: pixels by class and intensity, int (classes, levels); level 0 is blank and left out.
    """
    figure, (axes,) = canvas(height=2.8)
    edges = np.linspace(1, counts.shape[1], BINS + 1).round().astype(int)
    shares = np.add.reduceat(counts.sum(axis=0) / counts.sum(), edges[:-1])
    axes.stairs(shares, edges, fill=True, color=PALETTE[0])
    axes.set(yscale="log", xlim=(0, counts.shape[1]), xlabel="intensity of the pixel", ylabel="share of all pixels")
    log_percent(axes.yaxis)
    return figure


@styled
def class_images(means: np.ndarray, deviations: np.ndarray, classes: np.ndarray) -> Figure:
    """The mean image of every class above the standard deviation of its pixels: float (classes, height, width) each."""
    columns = min(len(classes), max(1, int((WIDTH - 0.7) / max(0.41, name_width(classes)))))
    lines = -(-len(classes) // columns)
    figure = Figure(figsize=(WIDTH, (0.3 + 2 * (WIDTH - 0.7) / columns) * lines + 0.6), layout="constrained")
    panels = figure.subplots(2 * lines, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for first, shown, name in ((0, means, "mean"), (1, deviations, "deviation")):
        for axes, image in zip(panels[first::2].flat, shown, strict=False):
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=shown.max() or 1)
        for line in panels[first::2]:
            line[0].text(-0.1, 0.5, name, rotation=90, ha="right", va="center", fontsize=8, transform=line[0].transAxes)
    for axes, label in zip(panels[::2].flat, classes, strict=False):
        axes.set_title(shortened(label), fontsize=SMALL)
    return figure


@styled
def blank_map(inked: np.ndarray) -> Figure:
    """Map of ink, and outlines of the pixels that never have any: shares of the images, float (height, width)."""
    figure, (axes,) = canvas(height=4.3)
    never = inked == 0
    norm = LogNorm(min(inked[~never].min(initial=1), 0.5), 1)
    shown = axes.imshow(np.where(never, np.nan, inked), cmap="Blues", norm=norm)
    axes.add_collection(LineCollection(_outline(never), colors=FRAME, lw=1.6))
    axes.set(xticks=[], yticks=[])
    axes.set(xlim=(-0.8, never.shape[1] - 0.2), ylim=(never.shape[0] - 0.2, -0.8))
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    figure.colorbar(shown, ax=axes, aspect=25, format=PERCENT).set_label("images with ink there")
    return figure


def _outline(mask: np.ndarray) -> list[list[tuple[float, float]]]:
    """The borders between pixels inside a mask, bool (height, width), and those outside, the edge of the image too."""
    padded = np.pad(mask, 1)
    across = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])  # between a pixel and the one above
    down = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])  # and the one to the left
    horizontal = [[(x - 0.5, y - 0.5), (x + 0.5, y - 0.5)] for y, x in across]
    return horizontal + [[(x - 0.5, y - 0.5), (x - 0.5, y + 0.5)] for y, x in down]


@styled
def ink_and_slant(ink: np.ndarray, slant: np.ndarray, targets: np.ndarray, classes: np.ndarray) -> Figure:
    """Spread of ink, in shares of white, and slant, in degrees, within every class: float (n,), targets int (n,)."""
    width = bars_width(len(classes))
    figure, (upper, lower) = canvas(2, height=2.8, width=width)
    for axes, values in ((upper, ink), (lower, slant)):
        _violins(axes, [values[targets == target] for target in range(len(classes))])
        name_ticks(axes.xaxis, classes, (width - 1) / len(classes))
        axes.grid(axis="x", visible=False)
    upper.set_ylabel("ink: mean intensity, share of white")
    upper.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    lower.set(xlabel=f"{NOUN} (label)", ylabel="slant: degrees to the right")
    lower.axhline(0, color="#444444", ls="--", lw=0.8)
    return figure


def _violins(axes: Axes, groups: Sequence[np.ndarray]) -> None:
    """A violin with quartiles for each group, cut at one row in a thousand, so that strays do not set the scale."""
    kept = [group[(group >= np.quantile(group, 0.001)) & (group <= np.quantile(group, 0.999))] for group in groups]
    violins = axes.violinplot(kept, range(len(groups)), widths=0.9, showextrema=False)
    for body in violins["bodies"]:
        body.set(facecolor=PALETTE[5], edgecolor="none", alpha=0.7)
    for index, group in enumerate(groups):
        low, middle, high = np.quantile(group, [0.25, 0.5, 0.75])
        axes.plot([index, index], [low, high], color=PALETTE[0], lw=4, solid_capstyle="butt")
        axes.plot(index, middle, "o", ms=3.5, color="white", mec=PALETTE[0])


@styled
def closest_pairs(images: np.ndarray, names: Sequence[Sequence[str]], pairs: pd.DataFrame, limit: float) -> Figure:
    """Pairs of images side by side, the duplicates framed.

    images: uint8 (p, 2, *shape). names: of the two images of each pair. pairs: p of them, see `duplicates`. limit: up
    to which ratio they are duplicates.
    """
    rows = max(1, -(-len(images) // PAIRS))
    figure = Figure(figsize=(WIDTH, 1.85 * rows + 0.6), layout="constrained")
    for axes in figure.subplots(rows, PAIRS, squeeze=False).flat:
        axes.set_axis_off()
    for axes, both, captions, pair in zip(figure.axes, images, names, pairs.itertuples(), strict=False):
        height, width = both.shape[1:3]
        draw_tile(axes, both, 2)
        for index, name in enumerate(captions):
            axes.text(index * (width + GAP) + GAP + width / 2, 0, name, ha="center", va="bottom", fontsize=SMALL)
        text = f"distance {pair.distance:.2f}, ratio {pair.ratio:.2f}" if pair.distance else "the same image"
        axes.text(width + 1.5 * GAP, height + 2 * GAP, text, ha="center", va="top", fontsize=SMALL)
        if pair.ratio <= limit:
            size = (2 * width + 3 * GAP - 1, height + 2 * GAP - 1)
            axes.add_patch(Rectangle((0, 0), *size, fill=False, ec=FRAME, lw=1.8))
    return figure


@styled
def two_sample_test(test: TwoSampleTest) -> Figure:
    """Scores that a classifier gives to rows of either table: the probability of being a test row."""
    figure, (axes,) = canvas()
    bins = int(np.clip(np.sqrt(len(test.scores) / 2), 5, 40))
    edges = np.histogram_bin_edges(test.scores, bins)
    for mask, name, colour in ((~test.is_test, "training rows", PALETTE[0]), (test.is_test, "test rows", PALETTE[1])):
        axes.hist(test.scores[mask], edges, histtype="step", color=colour, lw=1.6, label=name)
    axes.axvline(0.5, color="#444444", ls="--", lw=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set(xlabel="probability of being a test row", ylabel="rows")
    axes.yaxis.set_major_formatter(THOUSANDS)
    axes.legend(loc="upper left")
    return figure
