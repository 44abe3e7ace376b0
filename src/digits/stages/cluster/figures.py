"""What a clustering looks like. The cluster of a row that was left out as noise is negative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from digits.competition import COMPETITION
from digits.figures.sheets import draw_tile
from digits.figures.style import (
    PALETTE,
    SERIES,
    bars_width,
    canvas,
    caption,
    matrix_side,
    name_ticks,
    shortened,
    styled,
    write_cells,
    write_over_bars,
)

if TYPE_CHECKING:  # importing scikit-learn takes longer than drawing a figure
    from digits.stages.cluster.clustering import Sweep

SIDE_BY_SIDE = 5  # clusters in a row of a figure that shows each
MEMBERS = 10  # of one cluster, side by side
NEAREST = 12  # members of a cluster on either side of the sheet of centroids
MISFITS = f"framed: another {COMPETITION.noun} than most of the cluster"
NAMED = {
    "ha": "center",
    "va": "center",
    "weight": "bold",
    "bbox": {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
}


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)]


@styled
def cluster_map(points: np.ndarray, clusters: np.ndarray, labels: np.ndarray, title: str) -> Figure:
    """A map twice: coloured by cluster and by label, each group named where its middle lies.

    points: float (n, 2). clusters: int (n,). labels: (n,).
    """
    figure, (left, right) = canvas(2, width=5.6, height=5.4)
    figure.suptitle(title)
    kept = clusters >= 0
    left.scatter(*points[~kept].T, s=4, lw=0, color="#cccccc")
    _groups(left, points[kept], clusters[kept])
    _groups(right, points, labels)
    left.set(title="by cluster", xticks=[], yticks=[])
    right.set(title=f"by {COMPETITION.noun}", xticks=[], yticks=[])
    caption(
        figure, f"{len(points):,} rows; distances between far groups and the axes mean nothing on a t-SNE or UMAP map"
    )
    return figure


def _groups(axes: Axes, points: np.ndarray, groups: np.ndarray) -> None:
    names = np.unique(groups)
    for index, name in enumerate(names):
        axes.scatter(*points[groups == name].T, s=4, lw=0, alpha=0.6, color=_colour(index))
    size = 12 if len(names) <= len(SERIES) else 8
    for name in names:
        axes.text(*np.median(points[groups == name], axis=0), shortened(name), fontsize=size, **NAMED)


@styled
def cluster_sizes(table: np.ndarray, numbers: Sequence[int], classes: np.ndarray) -> Figure:
    """Rows of each cluster, stacked by class.

    table: rows, int (clusters, classes). numbers: of the clusters. classes: labels (classes,).
    """
    width = bars_width(len(numbers))
    room = (width - 2) / len(numbers)
    figure, (axes,) = canvas(1, width=width, height=4.2)
    parts = {str(label): table[:, column] for column, label in enumerate(classes)}
    colours = [*SERIES]
    if len(classes) > len(SERIES):  # no palette tells so many apart
        most = table.max(axis=1)
        parts, colours = {"most frequent": most, "all others": table.sum(axis=1) - most}, [PALETTE[0], PALETTE[1]]
    bottom = np.zeros(len(numbers))
    for (name, rows), colour in zip(parts.items(), colours, strict=False):
        bars = axes.bar(range(len(numbers)), rows, bottom=bottom, color=colour, label=name)
        bottom += rows
    shares = table.max(axis=1) / np.maximum(table.sum(axis=1), 1)
    frequent = classes[table.argmax(axis=1)]
    tops = [(shortened(label), f"{share:.1%}") for label, share in zip(frequent, shares, strict=True)]
    write_over_bars(axes, bars, tops, room)
    name_ticks(axes.xaxis, numbers, room)
    axes.set(title="Rows of each cluster", xlabel="cluster", ylabel="rows")
    axes.grid(axis="x", visible=False)
    axes.legend(title=COMPETITION.noun, loc="upper left", bbox_to_anchor=(1, 1))
    caption(figure, f"over each bar: its most frequent {COMPETITION.noun} and the share of it")
    return figure


@styled
def cluster_matrix(table: np.ndarray, numbers: Sequence[int], classes: np.ndarray) -> Figure:
    """Rows by cluster and class as a matrix; the arguments are those of `cluster_sizes`."""
    wide, high = matrix_side(len(classes)), min(0.42 * len(numbers), matrix_side(len(numbers)))
    rooms = wide / len(classes), high / len(numbers)
    figure, (axes,) = canvas(1, width=wide + 1.4, height=max(3.0, high + 1.8))
    axes.imshow(np.maximum(table, 0.5), cmap="Blues", norm=LogNorm(0.5, table.max()), aspect="auto")
    texts = [[f"{count:,}" if count else "" for count in row] for row in table]
    write_cells(axes, texts, np.where(table > table.max() / 12, "white", "black"), min(rooms))
    name_ticks(axes.xaxis, classes, rooms[0])
    name_ticks(axes.yaxis, [f"cluster {number}" for number in numbers], rooms[1])
    noun = COMPETITION.noun
    axes.set(title=f"Rows by cluster and {noun}", xlabel=f"{noun} (label)")
    caption(figure, "logarithmic colours; every count beside the largest of its row is a misfit")
    return figure


@styled
def score_table(scores: np.ndarray, methods: Sequence[str], spaces: Sequence[str], name: str) -> Figure:
    """A score of every method in every space as a heat map: float (methods, spaces), NaN where there is none."""
    figure, (axes,) = canvas(1, width=1.0 * len(spaces) + 2.2, height=0.5 * len(methods) + 1.9)
    axes.imshow(np.ma.masked_invalid(scores), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    texts = [[f"{score:.3f}" if np.isfinite(score) else "-" for score in row] for row in scores]
    write_cells(axes, texts, np.where(scores > 0.6, "white", "black"), 0.5)
    axes.set_xticks(range(len(spaces)), spaces, rotation=30, ha="right")
    axes.set_yticks(range(len(methods)), methods)
    axes.set(title=name)
    return figure


@styled
def silhouette_plot(values: np.ndarray, clusters: np.ndarray) -> Figure:
    """Sorted silhouettes of every cluster's rows, one band a cluster: float (n,), NaN for noise; clusters int (n,)."""
    numbers = np.unique(clusters[clusters >= 0])
    figure, (axes,) = canvas(1, width=6.4, height=max(5.4, 0.22 * len(numbers)))
    bottom, gap, ticks = 0, len(values) // 100, {}
    for index, number in enumerate(numbers):
        band = np.sort(values[(clusters == number) & np.isfinite(values)])
        axes.fill_betweenx(np.arange(bottom, bottom + len(band)), 0, band, color=_colour(index), lw=0)
        ticks[bottom + len(band) / 2] = f"{number}: {band.mean():.2f}"
        bottom += len(band) + gap
    mean = np.nanmean(values)
    axes.axvline(mean, color="black", ls="--", lw=1)
    axes.annotate(f" mean {mean:.3f}", (mean, 1), xycoords=("data", "axes fraction"), va="top")
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set(title="Silhouettes", xlabel="silhouette of a row", ylabel="cluster: its mean")
    axes.grid(axis="y", visible=False)
    caption(figure, "1: deep inside its cluster; 0: on a border; below: nearer to another")
    return figure


@styled
def cluster_sheet(images: np.ndarray, misfits: np.ndarray, title: str) -> Figure:
    """Members of one cluster, uint8 (n, height, width, channels), the `misfits`, bool (n,), framed."""
    rows = -(-len(images) // MEMBERS)
    figure = Figure(figsize=(6.5, 0.65 * rows + 0.8), layout="constrained")
    axes = figure.subplots()
    draw_tile(axes, images, MEMBERS, misfits)
    axes.set_title(title)
    caption(figure, MISFITS)
    return figure


@styled
def centroid_sheet(images: np.ndarray, misfits: np.ndarray, clusters: np.ndarray, distances: np.ndarray) -> Figure:
    """Of each cluster the rows nearest to its centroid and those farthest from it.

    images: uint8 (n, height, width, channels). misfits: bool (n,). clusters: int (n,). distances: of each row to the
    centroid of its cluster, float (n,).
    """
    numbers = np.unique(clusters[clusters >= 0])
    figure = Figure(figsize=(11, 0.5 * len(numbers) + 1.2), layout="constrained")
    panels = figure.subplots(len(numbers), 2, squeeze=False)
    for (near, far), number in zip(panels, numbers, strict=True):
        rows = np.flatnonzero(clusters == number)
        rows = rows[np.argsort(distances[rows], kind="stable")]
        for axes, shown in ((near, rows[:NEAREST]), (far, rows[::-1][:NEAREST])):
            draw_tile(axes, images[shown], NEAREST, misfits[shown])
        near.annotate(f"{number} ", (0, 0.5), xycoords="axes fraction", ha="right", va="center")
    panels[0, 0].set_title("nearest to the centroid")
    panels[0, 1].set_title("farthest from it")
    caption(figure, f"one line a cluster; {MISFITS}")
    return figure


@styled
def mean_images(images: np.ndarray, clusters: np.ndarray, majorities: np.ndarray) -> Figure:
    """The mean image of every cluster.

    images: uint8 (n, height, width, channels). clusters: int (n,). majorities: the most frequent label of each row's
    cluster, (n,).
    """
    numbers = np.unique(clusters[clusters >= 0])
    lines = -(-len(numbers) // SIDE_BY_SIDE)
    figure = Figure(figsize=(8, 2.0 * lines + 0.6), layout="constrained")
    for axes in figure.subplots(lines, SIDE_BY_SIDE, squeeze=False).flat:
        axes.set_axis_off()
    for axes, number in zip(figure.axes, numbers, strict=False):
        rows = np.flatnonzero(clusters == number)
        draw_tile(axes, images[rows].mean(axis=0, keepdims=True), 1)
        axes.set_title(f"{number}: mostly {shortened(majorities[rows[0]])}\n{len(rows):,} rows", fontsize=8)
    caption(figure, "mean of all images of a cluster: the sharper, the more alike they are")
    return figure


@styled
def cluster_sweep(sweep: Sweep, classes: int, rows: int) -> Figure:
    """Inertia and silhouette of k-means on `rows` rows against k; the number of classes stands out."""
    figure, (left, right) = canvas(2, width=4.6, height=3.6)
    left.plot(sweep.k, sweep.inertia / sweep.inertia[0], "o-", ms=3, color=PALETTE[0])
    left.set(title="Inertia", xlabel="clusters k", ylabel=f"share of that of k = {sweep.k[0]}")
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.plot(sweep.k, sweep.silhouette, "o-", ms=3, color=PALETTE[0])
    best = int(sweep.k[sweep.silhouette.argmax()])
    right.set(title=f"Silhouette, highest at k = {best}", xlabel="clusters k", ylabel="mean silhouette")
    for axes in (left, right):
        axes.axvline(classes, color="#444444", ls="--", lw=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    caption(figure, f"k-means on {rows:,} rows; dashed: the number of {COMPETITION.nouns}")
    return figure


@styled
def neighbour_curve(distances: np.ndarray, epsilon: float, neighbours: int) -> Figure:
    """The k-distance curve of DBSCAN with the epsilon that was taken: distances ascending, float (n,)."""
    figure, (axes,) = canvas(1, width=6, height=3.8)
    axes.plot(np.arange(1, len(distances) + 1), distances, color=PALETTE[0])
    axes.axhline(epsilon, color=PALETTE[1], ls="--", lw=1)
    axes.annotate(f"epsilon {epsilon:.3g}", (0, epsilon), xytext=(4, 3), textcoords="offset points")
    axes.set(title=f"Distance to the {neighbours}th neighbour", xlabel="rows, by that distance", ylabel="distance")
    caption(figure, "epsilon: where the curve bends upward, farthest below the line between its ends")
    return figure


@styled
def controls(scores: Mapping[str, Mapping[str, float]], ceiling: float) -> Figure:
    """Purity and mean silhouette of k-means by space; the ceiling is the out-of-fold accuracy."""
    figure, panels = canvas(2, width=4.8, height=3.4)
    for axes, name in zip(panels, ("purity", "silhouette"), strict=True):
        values = [of_space[name] for of_space in scores.values()]
        bars = axes.barh(list(scores), values, color=PALETTE[0], height=0.6)
        axes.bar_label(bars, fmt=" {:.3f}", fontsize=8)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(title=name.capitalize(), xlim=(min(0, *values), 1.15 * max(values)))
    panels[0].axvline(ceiling, color="#444444", ls="--", lw=0.8)
    caption(figure, f"k-means with the same k in every space; dashed: out-of-fold accuracy {ceiling:.4f}")
    return figure
