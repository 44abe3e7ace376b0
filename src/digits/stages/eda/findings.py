"""Findings of an exploration, in sentences that the console, the captions and the report share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from digits.competition import COMPETITION

TABLES = ("train", "test", "across")  # where the two rows of a pair are


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Say what `metrics.json` says of labels, duplicates and drift."""
    return [labels(record), duplicates(record), drift(record)]


def labels(record: Mapping[str, Any]) -> str:
    """Say how evenly the classes are spread."""
    most, fewest = (choose(record["classes"], key=lambda row: row["rows"]) for choose in (max, min))
    return (
        f"The most frequent {COMPETITION.noun}, {most['class']} ({most['share']:.2%}), has "
        f"{most['rows'] / fewest['rows']:.2f} times the rows of the rarest, {fewest['class']} ({fewest['share']:.2%})."
    )


def duplicates(record: Mapping[str, Any]) -> str:
    """Say how many pairs of images are the same or nearly, and whether their labels agree."""
    kinds = [record["duplicates"][kind] for kind in ("exact", "near")]
    exact, near = (sum(counts[table] for table in TABLES) for counts in kinds)
    if not exact + near:
        return f"No two of {sum(record['rows'].values()):,} images are the same or near duplicates."
    conflicting = sum(counts["conflicting"] for counts in kinds)
    return (
        f"Pairs of images that are the same: {exact:,}; near duplicates: {near:,}; pairs whose labels contradict each "
        f"other: {conflicting:,}."
    )


def drift(record: Mapping[str, Any]) -> str:
    """Say whether test rows differ from training rows."""
    found = record["drift"]
    if found is None:
        return "There are too few rows to compare training and test rows."
    low, high = found["auc_interval"]
    verdict = "can" if found["differ"] else "cannot"
    return (
        f"A classifier {verdict} tell test rows from training rows: AUC {found['auc']:.4f} (95 % interval {low:.4f} to "
        f"{high:.4f}), {found['accuracy']:.2%} right, p = {found['p_value']:.2g}."
    )
