"""What a clustering looks like. The cluster of a row that was left out as noise is negative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from digits.figures.sheets import draw_tile
from digits.figures.style import PALETTE, SERIES, canvas, caption, styled

if TYPE_CHECKING:  # importing scikit-learn takes longer than drawing a figure
    from digits.stages.cluster.clustering import Sweep

SIDE_BY_SIDE = 5  # clusters in a row of a figure that shows each


def _colour(place: int) -> str:
    return SERIES[place % len(SERIES)]


@styled
def cluster_map(points: np.ndarray, clusters: np.ndarray, labels: np.ndarray, title: str) -> Figure:
    """A map twice: coloured by cluster and by digit, each group named where its middle lies.

    Args:
        points: float (n, 2).
        clusters: int (n,).
        labels: int (n,).
        title: of the map.
    """
    figure, panels = canvas(2, width=5.6, height=5.4)
    figure.suptitle(title)
    for axes, groups, heading in zip(panels, (clusters, labels), ("by cluster", "by digit"), strict=True):
        axes.scatter(*points[groups < 0].T, s=4, lw=0, color="#cccccc")
        named = np.unique(groups[groups >= 0])
        for place, group in enumerate(named):
            axes.scatter(*points[groups == group].T, s=4, lw=0, alpha=0.6, color=_colour(place))
        for group in named:
            axes.text(*np.median(points[groups == group], axis=0), str(group), **NAMED)
        axes.set(title=heading, xticks=[], yticks=[])
    caption(
        figure, f"{len(points):,} rows; distances between far groups and the axes mean nothing on a t-SNE or UMAP map"
    )
    return figure


NAMED = {
    "ha": "center",
    "va": "center",
    "fontsize": 12,
    "weight": "bold",
    "bbox": {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75},
}


@styled
def cluster_sizes(table: np.ndarray, numbers: Sequence[int], classes: np.ndarray) -> Figure:
    """How many rows each cluster has, and of which digits.

    Args:
        table: rows by cluster and class, int (clusters, classes).
        numbers: of the clusters.
        classes: int (classes,).
    """
    figure, (axes,) = canvas(1, width=7.5, height=4.2)
    places = np.arange(len(numbers))
    bottom = np.zeros(len(numbers))
    for column, label in enumerate(classes):
        axes.bar(places, table[:, column], bottom=bottom, color=_colour(column), label=str(label))
        bottom += table[:, column]
    for place, row in enumerate(table):
        axes.annotate(
            f"{classes[row.argmax()]}: {row.max() / max(row.sum(), 1):.1%}",
            (place, row.sum()),
            ha="center",
            va="bottom",
            fontsize=8,
        )
    axes.set_xticks(places, list(numbers))
    axes.set(title="Rows of each cluster", xlabel="cluster", ylabel="rows")
    axes.grid(axis="x", visible=False)
    axes.legend(title="digit", loc="upper left", bbox_to_anchor=(1, 1))
    caption(figure, "over each bar: its most frequent digit and that digit's share")
    return figure


@styled
def cluster_matrix(table: np.ndarray, numbers: Sequence[int], classes: np.ndarray) -> Figure:
    """Rows by cluster and digit as a matrix; the arguments are those of `cluster_sizes`."""
    figure, (axes,) = canvas(1, width=6.4, height=max(3.0, 0.42 * len(numbers) + 1.8))
    axes.imshow(np.maximum(table, 0.5), cmap="Blues", norm=LogNorm(0.5, table.max()), aspect="auto")
    for (row, column), count in np.ndenumerate(table):
        if count:
            colour = "white" if count > table.max() / 12 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(numbers)), [f"cluster {number}" for number in numbers])
    axes.set(title="Rows by cluster and digit", xlabel="digit (label)")
    axes.grid(visible=False)
    caption(figure, "logarithmic colours; every count beside the largest of its row is a misfit")
    return figure


@styled
def silhouette_plot(values: np.ndarray, clusters: np.ndarray) -> Figure:
    """The silhouettes of every cluster's rows, sorted, one band a cluster.

    Args:
        values: float (n,), NaN for noise.
        clusters: int (n,).
    """
    figure, (axes,) = canvas(1, width=6.4, height=5.4)
    bottom, gap, ticks = 0, len(values) // 100, {}
    for place, number in enumerate(np.unique(clusters[clusters >= 0])):
        band = np.sort(values[(clusters == number) & np.isfinite(values)])
        axes.fill_betweenx(np.arange(bottom, bottom + len(band)), 0, band, color=_colour(place), lw=0)
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
def cluster_sheet(images: np.ndarray, misfits: np.ndarray, title: str, columns: int = 10) -> Figure:
    """Members of one cluster, those that do not have its most frequent digit framed.

    Args:
        images: uint8 (n, height, width, channels).
        misfits: bool (n,).
        title: of the sheet.
        columns: images side by side.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(6.5, 0.65 * rows + 0.8), layout="constrained")
    axes = figure.subplots()
    draw_tile(axes, images, columns, misfits)
    axes.set_title(title)
    caption(figure, "framed: another digit than most of the cluster")
    return figure


@styled
def centroid_sheet(
    images: np.ndarray, labels: np.ndarray, clusters: np.ndarray, distances: np.ndarray, count: int = 12
) -> Figure:
    """Of each cluster the rows nearest to its centroid and those farthest from it.

    Args:
        images: uint8 (n, height, width, channels).
        labels: int (n,).
        clusters: int (n,).
        distances: of each row to the centroid of its cluster, float (n,).
        count: rows shown on either side.
    """
    numbers = np.unique(clusters[clusters >= 0])
    figure = Figure(figsize=(11, 0.5 * len(numbers) + 1.2), layout="constrained")
    panels = figure.subplots(len(numbers), 2, squeeze=False)
    for line, number in zip(panels, numbers, strict=True):
        rows = np.flatnonzero(clusters == number)
        rows = rows[np.argsort(distances[rows], kind="stable")]
        most = np.bincount(labels[rows]).argmax()
        for axes, shown in zip(line, (rows[:count], rows[::-1][:count]), strict=True):
            draw_tile(axes, images[shown], count, labels[shown] != most)
        line[0].annotate(f"{number} ", (0, 0.5), xycoords="axes fraction", ha="right", va="center")
    panels[0, 0].set_title("nearest to the centroid")
    panels[0, 1].set_title("farthest from it")
    caption(figure, "one line a cluster; framed: another digit than most of the cluster")
    return figure


@styled
def mean_images(images: np.ndarray, clusters: np.ndarray, labels: np.ndarray) -> Figure:
    """The mean image of every cluster: images uint8 (n, height, width, channels), clusters and labels int (n,)."""
    numbers = np.unique(clusters[clusters >= 0])
    rows = -(-len(numbers) // SIDE_BY_SIDE)
    figure = Figure(figsize=(8, 1.9 * rows + 0.6), layout="constrained")
    for axes in figure.subplots(rows, SIDE_BY_SIDE, squeeze=False).flat:
        axes.set_axis_off()
    for axes, number in zip(figure.axes, numbers, strict=False):
        of = clusters == number
        draw_tile(axes, images[of].mean(axis=0, keepdims=True), 1)
        axes.set_title(f"{number}: mostly {np.bincount(labels[of]).argmax()}, {of.sum():,} rows", fontsize=8)
    caption(figure, "mean of all images of a cluster: the sharper, the more alike they are")
    return figure


@styled
def cluster_sweep(swept: Sweep, classes: int, rows: int) -> Figure:
    """Inertia and silhouette of k-means against k.

    Args:
        swept: the sweep.
        classes: the number that stands out if clusters are digits.
        rows: that the sweep saw.
    """
    figure, (left, right) = canvas(2, width=4.6, height=3.6)
    left.plot(swept.k, swept.inertia / swept.inertia[0], "o-", ms=3, color=PALETTE[0])
    left.set(title="Inertia", xlabel="clusters k", ylabel=f"share of that of k = {swept.k[0]}")
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.plot(swept.k, swept.silhouette, "o-", ms=3, color=PALETTE[0])
    best = int(swept.k[swept.silhouette.argmax()])
    right.set(title=f"Silhouette, highest at k = {best}", xlabel="clusters k", ylabel="mean silhouette")
    for axes in (left, right):
        axes.axvline(classes, color="#444444", ls="--", lw=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    caption(figure, f"k-means on {rows:,} rows; dashed: the number of digits")
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
def controls(scores: Mapping[str, tuple[float, float]], ceiling: float) -> Figure:
    """Purity and silhouette of k-means in several spaces, side by side.

    Args:
        scores: purity and mean silhouette by space.
        ceiling: out-of-fold accuracy.
    """
    figure, (left, right) = canvas(2, width=4.8, height=3.4)
    places = np.arange(len(scores))
    for axes, column, name in ((left, 0, "purity"), (right, 1, "silhouette")):
        values = [of[column] for of in scores.values()]
        axes.barh(places, values, color=PALETTE[0], height=0.6)
        _values(axes, places, values)
        axes.set_yticks(places, list(scores))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(title=name.capitalize(), xlim=(min(0, *values), 1.15 * max(values)))
    left.axvline(ceiling, color="#444444", ls="--", lw=0.8)
    caption(figure, f"k-means with the same k in every space; dashed: out-of-fold accuracy {ceiling:.4f}")
    return figure


def _values(axes: Axes, places: np.ndarray, values: Sequence[float]) -> None:
    for place, value in zip(places, values, strict=True):
        axes.annotate(f" {value:.3f}", (max(value, 0), place), va="center", fontsize=8)


@styled
def score_table(scores: np.ndarray, methods: Sequence[str], spaces: Sequence[str], name: str) -> Figure:
    """A score of every method in every space as a heat map: float (methods, spaces), NaN where there is none."""
    figure, (axes,) = canvas(1, width=1.0 * len(spaces) + 2.2, height=0.5 * len(methods) + 1.9)
    shown = np.ma.masked_invalid(scores)
    axes.imshow(shown, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), score in np.ndenumerate(scores):
        text = f"{score:.3f}" if np.isfinite(score) else "-"
        axes.text(column, row, text, ha="center", va="center", color="white" if score > 0.6 else "black")
    axes.set_xticks(range(len(spaces)), spaces, rotation=30, ha="right")
    axes.set_yticks(range(len(methods)), methods)
    axes.set(title=name)
    axes.grid(visible=False)
    return figure
