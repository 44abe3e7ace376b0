"""Findings of an exploration, in sentences that the console, the captions and the report share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from digits.competition import COMPETITION
from digits.figures.caption import Caption

if TYPE_CHECKING:
    from digits.config import Augmentation

NOUN = COMPETITION.noun
BRIGHT = 0.9  # of white: the inside of a stroke
TABLES = ("train", "test", "across")  # where the two rows of a pair are


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Say what `metrics.json` says of labels, duplicates and drift."""
    return [labels(record), duplicates(record), drift(record)]


def labels(record: Mapping[str, Any]) -> str:
    """Say how evenly the classes are spread."""
    most, fewest = (choose(record["classes"], key=lambda row: row["rows"]) for choose in (max, min))
    return (
        f"The most frequent {NOUN}, {most['class']} ({most['share']:.2%}), has "
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
        f"A classifier {verdict} tell test rows from training rows: AUC {found['auc']:.4f} (95% interval {low:.4f} to "
        f"{high:.4f}), {found['accuracy']:.2%} right, p = {found['p_value']:.2g}."
    )


# --- captions ----------------------------------------------------------------------------------------------


def captions(record: Mapping[str, Any]) -> dict[str, Caption]:
    """Words of the figures that show what `metrics.json` says, by name."""
    rows, classes, blank, found = record["rows"], record["classes"], record["blank"], record["duplicates"]
    names = np.array([each["class"] for each in classes])
    ink, slant = (
        _between(np.array([each[name] for each in classes]), names, form)
        for name, form in (("ink", ".1%"), ("slant", ".1f"))
    )
    captions = {
        "labels": Caption(
            f"Training rows of each {NOUN}",
            f"{rows['train']:,} labelled rows. {labels(record)} Dashed: an even share, {1 / len(classes):.1%}.",
        ),
        "blank": Caption(
            "Share of training images with ink, by pixel",
            f"Outlined: the {blank['train']:,} pixels that are blank in every training image; {blank['test']:,} are in "
            f"every test image, {blank['both']:,} in both; {blank['train_only']:,} have ink in test images only.",
        ),
        "ink_slant": Caption(
            f"Ink and slant of each {NOUN}",
            f"Median ink {ink}; median slant in degrees {slant}. Boxes: the middle half of the rows; widths: "
            "how many rows have that value.",
        ),
        "duplicates": Caption(
            "The closest pairs of images",
            f"{duplicates(record)} Ratio: the distance over that to the {found['neighbours']}th neighbour of the same "
            f"image, up to {found['limit']:g} in near duplicates. Framed: duplicates, all of them or the closest.",
        ),
    }
    if record["drift"] is not None:
        size = record["drift"]["judged_rows"] // 2
        captions["drift"] = Caption(
            "Can a classifier tell test from training rows?",
            f"{drift(record)} Boosted trees were fitted to {size:,} rows of each table and judged on {size:,} others "
            "of each; chance is 50%. The less the two lines differ, the more alike the tables are.",
        )
    return captions


def samples(count: int, rows: int) -> Caption:
    """Words of the images of each class: how many of each, of so many rows."""
    return Caption(
        f"Training images of each {NOUN}", f"{count} of each, drawn at random from {rows:,} rows and not selected."
    )


def intensities(counts: np.ndarray, classes: np.ndarray) -> Caption:
    """Words of the histogram of intensities: pixels, int (classes, levels), level 0 being blank."""
    blank, ink = counts[:, 0] / counts.sum(axis=1), counts.sum(axis=0)[1:]
    bright = ink[int(BRIGHT * len(ink)) :].sum() / max(ink.sum(), 1)
    return Caption(
        "Brightness of the pixels with ink",
        f"Blank pixels are left out: {counts[:, 0].sum() / counts.sum():.1%} of all, "
        f"{_between(blank, classes, '.1%')}. Of the pixels with ink {bright:.0%} are brighter than {BRIGHT:.0%} of "
        "white.",
    )


def means(deviations: np.ndarray, classes: np.ndarray) -> Caption:
    """Words of the mean images: standard deviations of their pixels, float (classes, height, width)."""
    spread = np.sqrt((deviations**2).mean(axis=(1, 2)))
    return Caption(
        f"Mean image of each {NOUN}, and its deviation",
        f"Root mean square difference of a pixel from the mean of its {NOUN}, in shares of white: "
        f"{_between(spread, classes, '.1%')}.",
    )


def augmentation(originals: np.ndarray, draws: np.ndarray, settings: Augmentation) -> Caption:
    """Words of the sheet of augmented images: uint8 (classes, *shape) and (classes, k, *shape)."""
    ink = draws.mean() / max(originals.mean(), 1e-9)
    moved = np.abs(draws - originals[:, None].astype(float)).mean() / max(originals.mean(), 1e-9)
    return Caption(
        "What augmentation makes of an image",
        f"Framed: the original; beside it {draws.shape[1]} independent draws: {_turned_on(settings)}. In the mean a "
        f"draw has {ink:.0%} of the original's ink, and differs from it by {moved:.0%} of that ink.",
    )


def _turned_on(settings: Augmentation) -> str:
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


def _between(values: np.ndarray, classes: np.ndarray, form: str) -> str:
    """Say between which classes a value, float (classes,), lies."""
    ends = (f"{values[index]:{form}} ({classes[index]})" for index in (np.argmin(values), np.argmax(values)))
    return "from " + " to ".join(ends)
