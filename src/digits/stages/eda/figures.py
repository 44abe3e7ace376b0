"""What the rows look like before anything is trained."""

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

from digits.figures.sheets import GAP, draw_tile
from digits.figures.style import PALETTE, canvas, caption, styled

if TYPE_CHECKING:  # importing scikit-learn takes longer than drawing a figure
    from digits.config import Augmentation
    from digits.stages.eda.drift import TwoSampleTest
    from digits.stages.eda.duplicates import Pairs

SIDE_BY_SIDE = 5  # digits in a row of a figure that has a panel for each
PAIRS_ABREAST = 5
BINS = 32  # of the intensities that have ink
BRIGHT = 0.9  # of white: the inside of a stroke
FRAME = PALETTE[1]
COUNT = {"fontsize": 8, "bbox": {"fc": "white", "ec": "none", "pad": 0.5}}  # a line behind it does not strike it out


@styled
def label_distribution(counts: np.ndarray, classes: np.ndarray) -> Figure:
    """How many rows each digit has: counts int (classes,), classes int (classes,)."""
    figure, (axes,) = canvas(1, width=7.5, height=4)
    places, rows = np.arange(len(classes)), int(counts.sum())
    axes.bar(places, counts, color=PALETTE[0], width=0.7)
    for place, count in enumerate(counts):
        text = f"{count:,}\n{count / rows:.1%}"
        axes.annotate(text, (place, count), (0, 2), textcoords="offset points", ha="center", va="bottom", **COUNT)
    axes.axhline(rows / len(classes), color="#444444", ls="--", lw=0.8)
    axes.set_xticks(places, classes)
    axes.set(title="Rows of each digit", xlabel="digit (label)", ylabel="training rows", ylim=(0, 1.16 * counts.max()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="x", visible=False)
    most, fewest = counts.argmax(), counts.argmin()
    told = (
        f"the most frequent, {classes[most]} ({counts[most] / rows:.2%}), has {counts[most] / counts[fewest]:.2f} "
        f"times the rows of the rarest, {classes[fewest]} ({counts[fewest] / rows:.2%})"
    )
    caption(figure, f"{rows:,} labelled rows; {told}; dashed: an even share, {1 / len(classes):.1%}")
    return figure


@styled
def digit_samples(images: np.ndarray, classes: np.ndarray, rows: int) -> Figure:
    """Images of every digit drawn at random, a line a digit.

    Args:
        images: uint8 (classes, k, *shape); blank where a digit has fewer.
        classes: int (classes,).
        rows: that they were drawn from.
    """
    title = "Images of each digit"
    note = f"{images.shape[1]} training images of each digit, drawn at random from {rows:,} rows and not selected"
    return _lines(images, [str(of) for of in classes], title, note, framed=False)


@styled
def augmentation_sheet(originals: np.ndarray, draws: np.ndarray, classes: np.ndarray, settings: Augmentation) -> Figure:
    """An image of every digit, and what augmentation makes of it each time.

    Args:
        originals: uint8 (classes, *shape).
        draws: of each, uint8 (classes, k, *shape).
        classes: int (classes,).
        settings: that they were drawn with.
    """
    images = np.concatenate([originals[:, None], draws], axis=1)
    ink = draws.mean() / max(originals.mean(), 1e-9)
    moved = np.abs(draws - originals[:, None].astype(float)).mean() / max(originals.mean(), 1e-9)
    told = f"in the mean a draw has {ink:.0%} of the original's ink, and differs from it by {moved:.0%} of that ink"
    note = f"framed: the original; beside it {draws.shape[1]} independent draws: {_ranges(settings)}; {told}"
    return _lines(images, [str(of) for of in classes], "Augmentation", note, framed=True)


def _ranges(settings: Augmentation) -> str:
    """What the settings turn on, in words."""
    off = "nothing is on"
    affine = {
        f"rotation up to {settings.rotation:g}°": settings.rotation,
        f"shift up to {settings.shift:.0%}": settings.shift,
        f"zoom up to {settings.zoom:.0%}": settings.zoom,
        f"shear up to {settings.shear:g}°": settings.shear,
    }
    others = {
        f"{name} distortion of {of.probability:.0%} of the images": of.probability
        for name, of in (("elastic", settings.elastic), ("grid", settings.grid))
    }
    erased = {f"erasing in {settings.erasing.probability:.0%} of the images": settings.erasing.probability}
    return ", ".join(name for name, on in (affine | others | erased).items() if on) or off


def _lines(images: np.ndarray, names: Sequence[str], title: str, note: str, framed: bool) -> Figure:
    """Images, uint8 (lines, k, *shape), with a name before every line; the first of each framed if so asked."""
    lines, count, height = images.shape[:3]
    figure = Figure(figsize=(0.52 * count + 0.6, 0.52 * lines + 1.0), layout="constrained")
    axes = figure.subplots()
    draw_tile(axes, images.reshape(-1, *images.shape[2:]), count, (np.arange(lines * count) % count == 0) & framed)
    for place, name in enumerate(names):
        axes.text(-3, place * (height + GAP) + GAP + height / 2, name, ha="right", va="center", fontsize=11)
    axes.set_title(title)
    caption(figure, note)
    return figure


@styled
def intensity_histograms(counts: np.ndarray, classes: np.ndarray) -> Figure:
    """How bright the pixels of every digit are, a panel a digit, all digits behind it.

    Args:
        counts: pixels by digit and intensity, int (classes, levels); level 0 is blank.
        classes: int (classes,).
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
    for axes, label, share, white in zip(panels.flat, classes, shares, blank, strict=False):
        axes.stairs(share, edges, fill=True, color=PALETTE[0], alpha=0.75)
        axes.stairs(overall, edges, color="black", lw=0.8)
        axes.set_title(f"{label}: {white:.1%} blank", fontsize=9)
        axes.set(yscale="log", xlim=(0, counts.shape[1]))
    for axes in panels[-1]:
        axes.set_xlabel("intensity of the pixel")
    for axes in panels[:, 0]:
        axes.set_ylabel("share of pixels")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    caption(figure, _brightness(counts, blank, classes))
    return figure


def _brightness(counts: np.ndarray, blank: np.ndarray, classes: np.ndarray) -> str:
    ink = counts.sum(axis=0)[1:]
    bright = ink[int(BRIGHT * len(ink)) :].sum() / max(ink.sum(), 1)
    most, least = blank.argmax(), blank.argmin()
    return (
        f"blank pixels are left out: {counts[:, 0].sum() / counts.sum():.1%} of all, from {blank[least]:.1%} of "
        f"{classes[least]} to {blank[most]:.1%} of {classes[most]}; of the pixels with ink {bright:.0%} are brighter "
        f"than {BRIGHT:.0%} of white; black line: all digits"
    )


@styled
def class_images(means: np.ndarray, deviations: np.ndarray, classes: np.ndarray) -> Figure:
    """The mean image of every digit above the standard deviation of its pixels.

    Args:
        means, deviations: in shares of white, float (classes, height, width).
        classes: int (classes,).
    """
    figure = Figure(figsize=(1.05 * len(classes) + 1.2, 3.4), layout="constrained")
    panels = figure.subplots(2, len(classes), squeeze=False)
    for line, shown, name in zip(panels, (means, deviations), ("mean", "standard\ndeviation"), strict=True):
        for axes, image in zip(line, shown, strict=True):
            drawn = axes.imshow(image, cmap="gray_r", vmin=0, vmax=shown.max() or 1)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        figure.colorbar(drawn, ax=list(line), aspect=8, pad=0.01, format=PercentFormatter(1, decimals=0))
        line[0].set_ylabel(name, fontsize=9)
    for axes, label in zip(panels[0], classes, strict=True):
        axes.set_title(str(label))
    spread = np.sqrt((deviations**2).mean(axis=(1, 2)))
    most, least = spread.argmax(), spread.argmin()
    told = f"images of {classes[most]} differ most from their mean, a pixel by {spread[most]:.1%} of white (root mean"
    caption(figure, f"{told} square), those of {classes[least]} least ({spread[least]:.1%})")
    return figure


@styled
def blank_map(train: np.ndarray, test: np.ndarray) -> Figure:
    """Where images have ink, and which pixels never do: shares of the images, float (height, width) each."""
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
    bar = figure.colorbar(shown, ax=list(panels), aspect=25, format=FuncFormatter(lambda of, _: f"{100 * of:.4g} %"))
    bar.set_label("images with ink there")
    both, only = ((train == 0) & (test == 0)).sum(), ((train == 0) & (test > 0)).sum()
    told = f"outlined: pixels without ink in any image, {both} of them in both tables"
    caption(figure, f"{told}; {only} have ink in test images only")
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
    """How ink and slant spread within every digit.

    Args:
        ink: mean intensity in shares of white, float (n,).
        slant: degrees, positive to the right, float (n,).
        targets: the place of each row's label in `classes`, int (n,).
        classes: int (classes,).
    """
    figure, (left, right) = canvas(2, width=5.4, height=4.1)
    for axes, values in ((left, ink), (right, slant)):
        _violins(axes, [values[targets == of] for of in range(len(classes))])
        axes.set_xticks(range(len(classes)), classes)
        axes.set_xlabel("digit (label)")
        axes.grid(axis="x", visible=False)
    left.set(title="Ink", ylabel="mean intensity, share of white")
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.set(title="Slant", ylabel="degrees from upright, to the right")
    right.axhline(0, color="#444444", ls="--", lw=0.8)
    inks, slants = ([np.median(of[targets == place]) for place in range(len(classes))] for of in (ink, slant))
    most, least, bent, straight = (np.argmax(inks), np.argmin(inks), np.argmax(slants), np.argmin(slants))
    told = (
        f"median ink: from {inks[least]:.1%} ({classes[least]}) to {inks[most]:.1%} ({classes[most]}); median slant: "
        f"from {slants[straight]:.1f}° ({classes[straight]}) to {slants[bent]:.1f}° ({classes[bent]})"
    )
    caption(figure, f"{told}; box: the middle half of the rows; widths: how many rows have that value")
    return figure


def _violins(axes: Axes, groups: Sequence[np.ndarray]) -> None:
    """A violin with quartiles for each group, cut at one row in a thousand, so that strays do not set the scale."""
    kept = [group[(group >= np.quantile(group, 0.001)) & (group <= np.quantile(group, 0.999))] for group in groups]
    places = np.arange(len(groups))
    violins = axes.violinplot(kept, places, widths=0.9, showextrema=False)
    for body in violins["bodies"]:
        body.set(facecolor=PALETTE[5], edgecolor="none", alpha=0.7)
    for place, group in zip(places, groups, strict=True):
        low, middle, high = np.quantile(group, [0.25, 0.5, 0.75])
        axes.plot([place, place], [low, high], color=PALETTE[0], lw=4, solid_capstyle="butt")
        axes.plot(place, middle, "o", ms=3.5, color="white", mec=PALETTE[0])


@styled
def closest_pairs(
    images: np.ndarray, names: Sequence[tuple[str, str]], pairs: Pairs, limit: float, note: str
) -> Figure:
    """Pairs of images side by side, the duplicates framed.

    Args:
        images: uint8 (p, 2, *shape).
        names: of the images of each pair.
        pairs: p of them, with their distances.
        limit: up to which ratio they are duplicates.
        note: what to see.
    """
    rows = max(1, -(-len(images) // PAIRS_ABREAST))
    figure = Figure(figsize=(2.1 * PAIRS_ABREAST, 1.62 * rows + 1.0), layout="constrained")
    figure.suptitle("The closest pairs of images")
    for axes in figure.subplots(rows, PAIRS_ABREAST, squeeze=False).flat:
        axes.set_axis_off()
    for axes, both, told, distance, ratio in zip(figure.axes, images, names, pairs.distance, pairs.ratio, strict=False):
        height, width = both.shape[1:3]
        draw_tile(axes, both, 2)
        for place, name in enumerate(told):
            axes.text(place * (width + GAP) + GAP + width / 2, 0, name, ha="center", va="bottom", fontsize=7.5)
        how = "the same image" if not distance else f"distance {distance:.2f}, ratio {ratio:.2f}"
        axes.text(width + 1.5 * GAP, height + 2 * GAP, how, ha="center", va="top", fontsize=7.5)
        if ratio <= limit:
            size = (2 * width + 3 * GAP - 1, height + 2 * GAP - 1)
            axes.add_patch(Rectangle((0, 0), *size, fill=False, ec=FRAME, lw=1.8))
    caption(figure, note)
    return figure


@styled
def two_sample_test(test: TwoSampleTest) -> Figure:
    """How well a classifier tells test rows from training rows: its ROC curve, and its scores for either table."""
    figure, (left, right) = canvas(2, width=4.8, height=4.1)
    order = np.argsort(-test.scores, kind="stable")
    found, wrong = (np.append(0, np.cumsum(of[order]) / of.sum()) for of in (test.is_test, ~test.is_test))
    left.plot([0, 1], [0, 1], color="#444444", ls="--", lw=0.8, label="chance")
    left.plot(wrong, found, color=PALETTE[0], label=f"classifier, AUC {test.auc.value:.4f}")
    left.set(title="ROC", xlabel="training rows taken for test rows", ylabel="test rows found", aspect="equal")
    left.legend(loc="lower right")
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    bins = int(np.clip(np.sqrt(len(test.scores) / 2), 5, 40))
    edges = np.histogram_bin_edges(test.scores, bins)
    for of, name, colour in ((~test.is_test, "training rows", PALETTE[0]), (test.is_test, "test rows", PALETTE[1])):
        right.hist(test.scores[of], edges, histtype="step", color=colour, lw=1.6, label=name)
    right.axvline(0.5, color="#444444", ls="--", lw=0.8)
    right.xaxis.set_major_locator(MaxNLocator(5))
    right.set(title="Scores", xlabel="probability of being a test row", ylabel="rows")
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    right.legend(loc="upper left", fontsize=8)
    caption(figure, _drift(test))
    return figure


def _drift(test: TwoSampleTest) -> str:
    size = len(test.is_test) // 2
    verdict = "it can tell the tables apart" if test.differ else "it cannot tell the tables apart"
    return (
        f"boosted trees guess whether a row is of the test table, fitted to {size:,} rows of each and judged on "
        f"{size:,} others of each: AUC {test.auc.value:.3f} (95 % interval {test.auc.low:.3f} to {test.auc.high:.3f}), "
        f"{test.accuracy:.2%} right, 50 % by chance, p = {test.p_value:.2g}: {verdict}"
    )
