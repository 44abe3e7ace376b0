"""Findings of a clustering, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from digits.competition import COMPETITION
from digits.figures.caption import Caption

MAPS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
SPACES = {"aligned": "aligned features", "raw": "unaligned features"}  # what others are called, they are
MISFIT = f"another {COMPETITION.noun} than most of the cluster"


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Say what `clusters/metrics.json` says; None stands for a score that is not defined."""
    return [*_scores(record), *_alignment(record), *_caveat(record)]


def _scores(record: Mapping[str, Any]) -> Iterator[str]:
    low, high = record["purity_interval"]
    text = (
        f"{record['clusters']} clusters of {record['method']} in the space {record['space']} have a purity of "
        f"{record['purity']:.4f} (95% interval {low:.4f} to {high:.4f})"
    )
    yield text + ("." if record["silhouette"] is None else f" and a silhouette of {record['silhouette']:.3f}.")
    gap = record["oof_accuracy"] - record["purity"]
    yield (
        f"The networks' own accuracy, {record['oof_accuracy']:.4f}, is the ceiling; the purity is {abs(gap):.4f} "
        f"{'below' if gap >= 0 else 'above'} it."
    )


def _alignment(record: Mapping[str, Any]) -> Iterator[str]:
    before, after, chance = (record[f"fold_probe_{name}"] for name in ("before", "after", "chance"))
    if before is None:  # one fold alone
        return
    raw, aligned = (record["controls"][name]["purity"] for name in ("raw", "aligned"))
    yield (
        f"Features of several networks pooled without alignment reach a purity of {raw:.3f}, aligned ones "
        f"{aligned:.3f}."
    )
    yield (
        f"A probe guesses the fold from the features: {before:.1%} right before alignment, {after:.1%} after it; "
        f"chance is {chance:.1%}."
    )


def _caveat(record: Mapping[str, Any]) -> Iterator[str]:
    if not record["space"].startswith("pixels"):
        yield "The networks were trained on labels, so this is no record of unsupervised clustering."


# --- captions ----------------------------------------------------------------------------------------------


def captions(record: Mapping[str, Any], classes: int, swept: np.ndarray, swept_rows: int) -> dict[str, Caption]:
    """Words of the figures that show all clusters, by name.

    Args:
        record: as in `metrics.json`.
        classes: their number.
        swept: mean silhouettes of the sweep over k = 2, 3, ..., float (s,).
        swept_rows: rows of the sweep.
    """
    noun = COMPETITION.noun
    return {
        "neighbour_distance": Caption(
            f"Distance of each row to its {record['neighbours']}th neighbour",
            "Dashed: epsilon, where the curve bends upward, farthest below the line between its ends.",
        ),
        "matrix": Caption(
            f"Rows by cluster and {noun}",
            "Every count beside the largest of its row is a misfit. Colours are logarithmic.",
        ),
        "silhouettes": Caption(
            "Silhouette of each row, by cluster",
            "1: deep inside its cluster; 0: on a border; below 0: nearer to another cluster. Dashed: the mean of all.",
        ),
        "centroids": Caption("Nearest to the centroid, and farthest from it", f"A line a cluster. Framed: {MISFIT}."),
        "means": Caption("Mean image of each cluster", "The sharper an image, the more alike its rows are."),
        "sweep": Caption(
            "k-means by the number of clusters",
            f"On {swept_rows:,} rows. The silhouette is highest at k = {2 + int(np.argmax(swept))}. Dashed: the number "
            f"of {COMPETITION.nouns}, {classes}.",
        ),
        "controls": Caption(
            "Purity and silhouette of k-means in other spaces",
            f"The same k in every space. Dashed: out-of-fold accuracy, {record['oof_accuracy']:.4f}.",
        ),
    }


def map_caption(kind: str, space: str, rows: int, misfits: int) -> Caption:
    """Words of a map: kind such as `tsne`."""
    method = MAPS.get(kind, kind)
    warning = "" if kind == "pca" else f" Distances between far groups, and the axes, mean nothing in {method}."
    text = f"{rows:,} rows, coloured by cluster. Crosses: {misfits:,} misfits, {MISFIT}.{warning}"
    return Caption(f"{method} of the {SPACES.get(space, space)}", text)


def sheet_caption(number: int, rows: int, shown: int, misfits: int, label: Any) -> Caption:
    """Words of the sheet of a cluster."""
    some = f"{shown:,} of {rows:,} rows" if shown < rows else f"{rows:,} rows"
    text = f"Framed and first: {misfits:,} misfits, {MISFIT}." if misfits else "There is no misfit."
    return Caption(f"Cluster {number}, mostly {label}: {some}", text)


def queue_caption(shown: int, queued: int) -> Caption:
    """Words of the sheet of doubtful labels."""
    some = f"{shown:,} of {queued:,} rows" if shown < queued else f"{queued:,} rows"
    return Caption(
        f"Labels that may be wrong: {some}",
        "Prediction, cluster and neighbours all contradict the label. The least believed label first.",
    )


def comparison_caption(score: str, rows: int, k: int) -> Caption:
    """Words of the table of a score of all clusterers in all spaces."""
    return Caption(f"{score.capitalize()} of clusterers by space", f"{rows:,} rows, k = {k}.")


def next_step(run: str, queued: int) -> str:
    """Say where to look now."""
    judge = f", and judge {queued:,} doubtful labels" * bool(queued)
    return f"Next: make explore RUN={run} to see the map{judge}"
