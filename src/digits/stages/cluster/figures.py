"""What a clustering looks like. The cluster of a row that was left out as noise is negative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from digits.competition import COMPETITION
from digits.figures.sheets import draw_tile
from digits.figures.style import (
    PALETTE,
    SERIES,
    SMALL,
    WIDTH,
    canvas,
    matrix_side,
    name_ticks,
    name_width,
    shortened,
    styled,
    write_cells,
)

if TYPE_CHECKING:  # importing scikit-learn takes longer than drawing a figure
    from digits.stages.cluster.clustering import Sweep

SIDE_BY_SIDE = 5  # clusters in a row of a figure that shows each
MEMBERS = 10  # of one cluster, side by side
NEAREST = 6  # members of a cluster on either side of the sheet of centroids
NAMED = {
    "ha": "center",
    "va": "center",
    "weight": "bold",
    "path_effects": [withStroke(linewidth=3, foreground="white")],
}


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)]


@styled
def cluster_map(points: np.ndarray, clusters: np.ndarray, misfits: np.ndarray) -> Figure:
    """A map coloured by cluster, with the number of each where its middle lies, and the misfits on top.

    points: float (n, 2). clusters: int (n,). misfits: bool (n,), another class than most of the cluster.
    """
    figure, (axes,) = canvas(height=WIDTH)
    kept = clusters >= 0
    axes.scatter(*points[~kept].T, s=3, lw=0, color="#bbbbbb")
    numbers = np.unique(clusters[kept])
    for index, number in enumerate(numbers):
        axes.scatter(*points[clusters == number].T, s=3, lw=0, alpha=0.6, color=_colour(index))
    axes.scatter(*points[misfits & kept].T, s=12, marker="x", lw=0.8, color="black", label="misfit")
    size = 12 if len(numbers) <= len(SERIES) else SMALL
    for number in numbers:
        axes.text(*np.median(points[clusters == number], axis=0), f"{number}", fontsize=size, **NAMED)
    axes.set(xticks=[], yticks=[])
    return figure


@styled
def cluster_matrix(table: np.ndarray, numbers: Sequence[int], classes: np.ndarray) -> Figure:
    """Rows by cluster and class as a matrix.

    table: rows, int (clusters, classes). numbers: of the clusters. classes: labels (classes,).
    """
    wide, high = matrix_side(len(classes)), min(0.42 * len(numbers), matrix_side(len(numbers)))
    rooms = wide / len(classes), high / len(numbers)
    figure, (axes,) = canvas(width=wide + 1.0, height=max(3.0, high + 1.2 + name_width(classes)))
    axes.imshow(np.maximum(table, 0.5), cmap="Blues", norm=LogNorm(0.5, table.max()), aspect="auto")
    texts = [[f"{count:,}" if count else "" for count in row] for row in table]
    write_cells(axes, texts, np.where(table > table.max() / 12, "white", "black"), min(rooms))
    name_ticks(axes.xaxis, classes, rooms[0])
    name_ticks(axes.yaxis, [f"cluster {number}" for number in numbers], rooms[1])
    axes.set_xlabel(f"{COMPETITION.noun} (label)")
    return figure


@styled
def score_table(scores: np.ndarray, methods: Sequence[str], spaces: Sequence[str]) -> Figure:
    """A score of every method in every space as a heat map: float (methods, spaces), NaN where there is none."""
    figure, (axes,) = canvas(width=1.0 * len(spaces) + 2.2, height=0.5 * len(methods) + 1.9)
    axes.imshow(np.ma.masked_invalid(scores), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    texts = [[f"{score:.3f}" if np.isfinite(score) else "-" for score in row] for row in scores]
    write_cells(axes, texts, np.where(scores > 0.6, "white", "black"), 0.5)
    axes.set_xticks(range(len(spaces)), spaces, rotation=30, ha="right")
    axes.set_yticks(range(len(methods)), methods)
    return figure


@styled
def silhouette_plot(values: np.ndarray, clusters: np.ndarray) -> Figure:
    """Sorted silhouettes of every cluster's rows, one band a cluster: float (n,), NaN for noise; clusters int (n,)."""
    numbers = np.unique(clusters[clusters >= 0])
    figure, (axes,) = canvas(height=max(4.8, 0.22 * len(numbers)))
    bottom, gap, ticks = 0, len(values) // 100, {}
    for index, number in enumerate(numbers):
        band = np.sort(values[(clusters == number) & np.isfinite(values)])
        axes.fill_betweenx(np.arange(bottom, bottom + len(band)), 0, band, color=_colour(index), lw=0)
        ticks[bottom + len(band) / 2] = f"{number}: {band.mean():.2f}"
        bottom += len(band) + gap
    mean = np.nanmean(values)
    axes.axvline(mean, color="black", ls="--", lw=1)
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set(xlabel=f"silhouette of a row (dashed: mean {mean:.3f})", ylabel="cluster: its mean")
    axes.grid(axis="y", visible=False)
    return figure


@styled
def cluster_sheet(images: np.ndarray, misfits: np.ndarray) -> Figure:
    """Members of one cluster, uint8 (n, height, width, channels), the `misfits`, bool (n,), framed."""
    rows = -(-len(images) // MEMBERS)
    figure = Figure(figsize=(WIDTH, 0.46 * rows + 0.6), layout="constrained")
    draw_tile(figure.subplots(), images, MEMBERS, misfits)
    return figure


@styled
def centroid_sheet(images: np.ndarray, misfits: np.ndarray, clusters: np.ndarray, distances: np.ndarray) -> Figure:
    """Of each cluster the rows nearest to its centroid and those farthest from it.

    images: uint8 (n, height, width, channels). misfits: bool (n,). clusters: int (n,). distances: of each row to the
    centroid of its cluster, float (n,).
    """
    numbers = np.unique(clusters[clusters >= 0])
    figure = Figure(figsize=(WIDTH, 0.4 * len(numbers) + 0.9), layout="constrained")
    panels = figure.subplots(len(numbers), 2, squeeze=False)
    for (near, far), number in zip(panels, numbers, strict=True):
        rows = np.flatnonzero(clusters == number)
        rows = rows[np.argsort(distances[rows], kind="stable")]
        for axes, shown in ((near, rows[:NEAREST]), (far, rows[::-1][:NEAREST])):
            draw_tile(axes, images[shown], NEAREST, misfits[shown])
        near.annotate(f"{number} ", (0, 0.5), xycoords="axes fraction", ha="right", va="center")
    panels[0, 0].set_title("nearest to the centroid")
    panels[0, 1].set_title("farthest from it")
    return figure


@styled
def mean_images(images: np.ndarray, clusters: np.ndarray, majorities: np.ndarray) -> Figure:
    """The mean image of every cluster.

    images: uint8 (n, height, width, channels). clusters: int (n,). majorities: the most frequent label of each row's
    cluster, (n,).
    """
    numbers = np.unique(clusters[clusters >= 0])
    lines = -(-len(numbers) // SIDE_BY_SIDE)
    figure = Figure(figsize=(WIDTH, 1.35 * lines + 0.5), layout="constrained")
    for axes in figure.subplots(lines, SIDE_BY_SIDE, squeeze=False).flat:
        axes.set_axis_off()
    for axes, number in zip(figure.axes, numbers, strict=False):
        rows = np.flatnonzero(clusters == number)
        draw_tile(axes, images[rows].mean(axis=0, keepdims=True), 1)
        name = f"{number}:\nmostly {shortened(majorities[rows[0]], 6)}\n{len(rows):,} rows"
        axes.set_title(name, fontsize=SMALL, weight="normal")
    return figure


@styled
def cluster_sweep(sweep: Sweep, classes: int) -> Figure:
    """Inertia and silhouette of k-means against k; the number of classes is dashed."""
    figure, (inertia, silhouette) = canvas(2, height=2.6)
    inertia.plot(sweep.k, sweep.inertia / sweep.inertia[0], "o-", ms=3, color=PALETTE[0])
    inertia.set_ylabel(f"inertia, share of k = {sweep.k[0]}")
    inertia.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    silhouette.plot(sweep.k, sweep.silhouette, "o-", ms=3, color=PALETTE[0])
    silhouette.set(xlabel="clusters k", ylabel="mean silhouette")
    for axes in (inertia, silhouette):
        axes.axvline(classes, color="#444444", ls="--", lw=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def neighbour_curve(distances: np.ndarray, epsilon: float) -> Figure:
    """The k-distance curve of DBSCAN with the epsilon that was taken, dashed: distances ascending, float (n,)."""
    figure, (axes,) = canvas()
    axes.plot(np.arange(1, len(distances) + 1), distances, color=PALETTE[0])
    axes.axhline(epsilon, color=PALETTE[1], ls="--", lw=1)
    axes.set(xlabel="rows, by that distance", ylabel="distance")
    return figure


@styled
def controls(scores: Mapping[str, Mapping[str, float]], ceiling: float) -> Figure:
    """Purity and mean silhouette of k-means by space; the ceiling is the out-of-fold accuracy."""
    figure, panels = canvas(2, height=2.4)
    for axes, name in zip(panels, ("purity", "silhouette"), strict=True):
        values = [of_space[name] for of_space in scores.values()]
        bars = axes.barh(list(scores), values, color=PALETTE[0], height=0.6)
        axes.bar_label(bars, fmt=" {:.3f}", fontsize=SMALL)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(xlabel=name, xlim=(min(0, *values), 1.25 * max(values)))
    panels[0].axvline(ceiling, color="#444444", ls="--", lw=0.8)
    return figure
