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
    PALETTE,
    bars_width,
    canvas,
    caption,
    name_ticks,
    name_width,
    shortened,
    styled,
    write_over_bars,
)

if TYPE_CHECKING:  # importing scikit-learn takes longer than drawing a figure
    import pandas as pd

    from digits.config import Augmentation
    from digits.stages.eda.drift import TwoSampleTest

NOUN, NOUNS = COMPETITION.noun, COMPETITION.nouns
SIDE_BY_SIDE = 5  # classes, or pairs, in a row of a figure that has a panel for each
MEANS = 12  # mean images in a row
MOST_BESIDE = 20  # classes of a panel that has another beside it
BINS = 32  # of the intensities that have ink
BRIGHT = 0.9  # of white: the inside of a stroke
FRAME = PALETTE[1]
ON_WHITE = {"fc": "white", "ec": "none", "pad": 0.5}  # so that a line behind a text does not strike it out
THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}")
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.4g} %")


@styled
def label_distribution(counts: np.ndarray, classes: np.ndarray, note: str) -> Figure:
    """Rows of each class: counts int (classes,), labels (classes,)."""
    width = bars_width(len(classes))
    room = (width - 1) / len(classes)
    figure, (axes,) = canvas(1, width=width, height=4 + name_width(classes))
    rows = int(counts.sum())
    bars = axes.bar(range(len(classes)), counts, color=PALETTE[0], width=0.7)
    write_over_bars(axes, bars, [(f"{count:,}", f"{count / rows:.1%}") for count in counts], room, bbox=ON_WHITE)
    axes.axhline(rows / len(classes), color="#444444", ls="--", lw=0.8)
    name_ticks(axes.xaxis, classes, room)
    axes.set(title=f"Rows of each {NOUN}", xlabel=f"{NOUN} (label)", ylabel="training rows")
    axes.yaxis.set_major_formatter(THOUSANDS)
    axes.grid(axis="x", visible=False)
    caption(figure, f"{rows:,} labelled rows. {note} Dashed: an even share, {1 / len(classes):.1%}.")
    return figure


@styled
def class_samples(images: np.ndarray, classes: np.ndarray, rows: int) -> Figure:
    """Images of every class, uint8 (classes, k, height, width, channels), drawn from so many rows, a line a class."""
    note = f"{images.shape[1]} training images of each {NOUN}, drawn at random from {rows:,} rows and not selected"
    return _lines(images, classes, f"Images of each {NOUN}", note)


@styled
def augmentation_sheet(originals: np.ndarray, draws: np.ndarray, classes: np.ndarray, settings: Augmentation) -> Figure:
    """An image of every class, and what augmentation makes of it each time.

    originals: uint8 (classes, *shape). draws: of each, uint8 (classes, k, *shape). settings: that they were drawn with.
    """
    images = np.concatenate([originals[:, None], draws], axis=1)
    ink = draws.mean() / max(originals.mean(), 1e-9)
    moved = np.abs(draws - originals[:, None].astype(float)).mean() / max(originals.mean(), 1e-9)
    text = f"in the mean a draw has {ink:.0%} of the original's ink, and differs from it by {moved:.0%} of that ink"
    note = f"framed: the original; beside it {draws.shape[1]} independent draws: {_ranges(settings)}; {text}"
    return _lines(images, classes, "Augmentation", note, framed=True)


def _ranges(settings: Augmentation) -> str:
    """Say what the settings turn on."""
    strengths = {
        f"rotation up to {settings.rotation:g}°": settings.rotation,
        f"shift up to {settings.shift:.0%}": settings.shift,
        f"zoom up to {settings.zoom:.0%}": settings.zoom,
        f"shear up to {settings.shear:g}°": settings.shear,
        f"elastic distortion of {settings.elastic.probability:.0%} of the images": settings.elastic.probability,
        f"grid distortion of {settings.grid.probability:.0%} of the images": settings.grid.probability,
        f"erasing in {settings.erasing.probability:.0%} of the images": settings.erasing.probability,
    }
    return ", ".join(name for name, strength in strengths.items() if strength) or "nothing is on"


def _lines(images: np.ndarray, classes: np.ndarray, title: str, note: str, framed: bool = False) -> Figure:
    """Images, uint8 (lines, k, *shape), with a name before every line; the first of each framed if so asked."""
    lines, count, height = images.shape[:3]
    figure = Figure(figsize=(0.52 * count + 0.6, 0.52 * lines + 1.0), layout="constrained")
    axes = figure.subplots()
    draw_tile(axes, images.reshape(-1, *images.shape[2:]), count, (np.arange(lines * count) % count == 0) & framed)
    for index, label in enumerate(classes):
        middle = index * (height + GAP) + GAP + height / 2
        axes.text(-3, middle, shortened(label), ha="right", va="center", fontsize=11)
    axes.set_title(title)
    caption(figure, note)
    return figure


@styled
def intensity_histograms(counts: np.ndarray, classes: np.ndarray) -> Figure:
    """Brightness of the pixels of every class, a panel a class, all classes behind it.

    counts: pixels by class and intensity, int (classes, levels); level 0 is blank.
    """
    rows = -(-len(classes) // SIDE_BY_SIDE)
    figure = Figure(figsize=(11, 1.9 * rows + 1.1), layout="constrained")
    panels = figure.subplots(rows, SIDE_BY_SIDE, squeeze=False, sharex=True, sharey=True)
    edges = np.linspace(1, counts.shape[1], BINS + 1).round().astype(int)
    shares = np.add.reduceat(counts / counts.sum(axis=1, keepdims=True), edges[:-1], axis=1)
    overall = np.add.reduceat(counts.sum(axis=0) / counts.sum(), edges[:-1])
    blank = counts[:, 0] / counts.sum(axis=1)
    for axes in panels.flat[len(classes) :]:
        axes.set_axis_off()
    for axes, label, share, empty in zip(panels.flat, classes, shares, blank, strict=False):
        axes.stairs(share, edges, fill=True, color=PALETTE[0], alpha=0.75)
        axes.stairs(overall, edges, color="black", lw=0.8)
        axes.set_title(f"{shortened(label)}: {empty:.1%} blank", fontsize=9)
        axes.set(yscale="log", xlim=(0, counts.shape[1]))
    for axes in panels[-1]:
        axes.set_xlabel("intensity of the pixel")
    for axes in panels[:, 0]:
        axes.set_ylabel("share of pixels")
        axes.yaxis.set_major_formatter(PERCENT)
    ink = counts.sum(axis=0)[1:]
    bright = ink[int(BRIGHT * len(ink)) :].sum() / max(ink.sum(), 1)
    caption(
        figure,
        f"blank pixels are left out: {counts[:, 0].sum() / counts.sum():.1%} of all, {_range(blank, classes, '.1%')}; "
        f"of the pixels with ink {bright:.0%} are brighter than {BRIGHT:.0%} of white; black line: all {NOUNS}",
    )
    return figure


def _range(values: np.ndarray, classes: np.ndarray, form: str) -> str:
    """Say between which classes a value, float (classes,), lies."""
    ends = (f"{values[index]:{form}} ({classes[index]})" for index in (np.argmin(values), np.argmax(values)))
    return "from " + " to ".join(ends)


@styled
def class_images(means: np.ndarray, deviations: np.ndarray, classes: np.ndarray) -> Figure:
    """The mean image of every class above the standard deviation of its pixels: float (classes, height, width) each."""
    columns, lines = min(MEANS, len(classes)), -(-len(classes) // MEANS)
    figure = Figure(figsize=(1.05 * columns + 1.2, 2.8 * lines + 0.6), layout="constrained")
    panels = figure.subplots(2 * lines, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for first, shown, name in ((0, means, "mean"), (1, deviations, "standard\ndeviation")):
        for axes, image in zip(panels[first::2].flat, shown, strict=False):
            drawn = axes.imshow(image, cmap="gray_r", vmin=0, vmax=shown.max() or 1)
        for line in panels[first::2]:
            figure.colorbar(drawn, ax=list(line), aspect=8, pad=0.01, format=PercentFormatter(1, decimals=0))
            line[0].text(-0.1, 0.5, name, rotation=90, ha="right", va="center", fontsize=9, transform=line[0].transAxes)
    for axes, label in zip(panels[::2].flat, classes, strict=False):
        axes.set_title(shortened(label), fontsize=12 if name_width(classes) < 0.6 else 9)
    spread = np.sqrt((deviations**2).mean(axis=(1, 2)))
    text = f"root mean square difference of a pixel from the mean of its {NOUN}, in shares of white"
    caption(figure, f"{text}: {_range(spread, classes, '.1%')}")
    return figure


@styled
def blank_map(train: np.ndarray, test: np.ndarray) -> Figure:
    """Map of ink, and of the pixels that never have any: shares of the images, float (height, width) each."""
    figure, panels = canvas(2, width=4.6, height=4.5)
    least = min(share[share > 0].min(initial=1) for share in (train, test))
    for axes, share, name in zip(panels, (train, test), ("training", "test"), strict=True):
        never = share == 0
        shown = axes.imshow(np.where(never, np.nan, share), cmap="Blues", norm=LogNorm(min(least, 0.5), 1))
        axes.add_collection(LineCollection(_outline(never), colors=FRAME, lw=1.6))
        axes.set(title=f"{name}: {never.sum()} of {never.size} pixels always blank", xticks=[], yticks=[])
        axes.set(xlim=(-0.8, never.shape[1] - 0.2), ylim=(never.shape[0] - 0.2, -0.8))
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
    bar = figure.colorbar(shown, ax=list(panels), aspect=25, format=PERCENT)
    bar.set_label("images with ink there")
    both, only = ((train == 0) & (test == 0)).sum(), ((train == 0) & (test > 0)).sum()
    text = f"outlined: pixels without ink in any image, {both} of them in both tables"
    caption(figure, f"{text}; {only} have ink in test images only")
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
    many = len(classes) > MOST_BESIDE
    width = bars_width(len(classes)) if many else 5.4
    figure = Figure(figsize=(width, 8.2) if many else (2 * width, 4.1), layout="constrained")
    left, right = figure.subplots(2 if many else 1, 1 if many else 2)
    inks, slants = ([values[targets == target] for target in range(len(classes))] for values in (ink, slant))
    for axes, groups in ((left, inks), (right, slants)):
        _violins(axes, groups)
        name_ticks(axes.xaxis, classes, (width - 1) / len(classes))
        axes.set_xlabel(f"{NOUN} (label)")
        axes.grid(axis="x", visible=False)
    left.set(title="Ink", ylabel="mean intensity, share of white")
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.set(title="Slant", ylabel="degrees from upright, to the right")
    right.axhline(0, color="#444444", ls="--", lw=0.8)
    medians = [[np.median(group) for group in groups] for groups in (inks, slants)]
    text = f"median ink: {_range(medians[0], classes, '.1%')}; median slant in degrees: "
    text += _range(medians[1], classes, ".1f")
    caption(figure, f"{text}; box: the middle half of the rows; widths: how many rows have that value")
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
def closest_pairs(
    images: np.ndarray, names: Sequence[Sequence[str]], pairs: pd.DataFrame, limit: float, note: str
) -> Figure:
    """Pairs of images side by side, the duplicates framed.

    images: uint8 (p, 2, *shape). names: of the two images of each pair. pairs: p of them, see `duplicates`. limit: up
    to which ratio they are duplicates.
    """
    rows = max(1, -(-len(images) // SIDE_BY_SIDE))
    figure = Figure(figsize=(2.1 * SIDE_BY_SIDE, 1.62 * rows + 1.0), layout="constrained")
    figure.suptitle("The closest pairs of images")
    for axes in figure.subplots(rows, SIDE_BY_SIDE, squeeze=False).flat:
        axes.set_axis_off()
    for axes, both, captions, pair in zip(figure.axes, images, names, pairs.itertuples(), strict=False):
        height, width = both.shape[1:3]
        draw_tile(axes, both, 2)
        for index, name in enumerate(captions):
            axes.text(index * (width + GAP) + GAP + width / 2, 0, name, ha="center", va="bottom", fontsize=7.5)
        text = f"distance {pair.distance:.2f}, ratio {pair.ratio:.2f}" if pair.distance else "the same image"
        axes.text(width + 1.5 * GAP, height + 2 * GAP, text, ha="center", va="top", fontsize=7.5)
        if pair.ratio <= limit:
            size = (2 * width + 3 * GAP - 1, height + 2 * GAP - 1)
            axes.add_patch(Rectangle((0, 0), *size, fill=False, ec=FRAME, lw=1.8))
    caption(
        figure,
        f"{note} Ratio: the distance over that to the tenth neighbour of the same image, up to {limit:g} in near "
        "duplicates. Framed: duplicates, all of them or the closest.",
    )
    return figure


@styled
def two_sample_test(test: TwoSampleTest, note: str) -> Figure:
    """How well a classifier tells test rows from training rows: its ROC curve, and its scores for either table."""
    figure, (left, right) = canvas(2, width=4.8, height=4.1)
    order = np.argsort(-test.scores, kind="stable")
    found, wrong = (np.append(0, np.cumsum(mask[order]) / mask.sum()) for mask in (test.is_test, ~test.is_test))
    left.plot([0, 1], [0, 1], color="#444444", ls="--", lw=0.8, label="chance")
    left.plot(wrong, found, color=PALETTE[0], label=f"classifier, AUC {test.auc.value:.4f}")
    left.set(title="ROC", xlabel="training rows taken for test rows", ylabel="test rows found", aspect="equal")
    left.legend(loc="lower right")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    bins = int(np.clip(np.sqrt(len(test.scores) / 2), 5, 40))
    edges = np.histogram_bin_edges(test.scores, bins)
    for mask, name, colour in ((~test.is_test, "training rows", PALETTE[0]), (test.is_test, "test rows", PALETTE[1])):
        right.hist(test.scores[mask], edges, histtype="step", color=colour, lw=1.6, label=name)
    right.axvline(0.5, color="#444444", ls="--", lw=0.8)
    right.xaxis.set_major_locator(MaxNLocator(5))
    right.set(title="Scores", xlabel="probability of being a test row", ylabel="rows")
    right.yaxis.set_major_formatter(THOUSANDS)
    right.legend(loc="upper left", fontsize=8)
    size = len(test.is_test) // 2
    text = f"Boosted trees were fitted to {size:,} rows of each table and judged on {size:,} others of each"
    caption(figure, f"{note} {text}; chance is 50 %.")
    return figure
