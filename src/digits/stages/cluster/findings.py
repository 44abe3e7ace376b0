"""Findings of a clustering, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Say what `clusters/metrics.json` says; None stands for a score that is not defined."""
    return [*_scores(record), *_alignment(record), *_caveat(record)]


def _scores(record: Mapping[str, Any]) -> Iterator[str]:
    low, high = record["purity_interval"]
    text = (
        f"{record['clusters']} clusters of {record['method']} in the space {record['space']} have a purity of "
        f"{record['purity']:.4f} (95 % interval {low:.4f} to {high:.4f})"
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
