"""Look at the data before anything is trained: what it holds, what is there twice, whether train and test differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from digits.config import Config
from digits.data import Dataset
from digits.figures import folder as results
from digits.files import records
from digits.progress import Steps, console, duration
from digits.seeds import derive
from digits.stages.eda import drift, duplicates, exploration, figures
from digits.stages.eda.drift import TwoSampleTest
from digits.stages.eda.duplicates import Pairs
from digits.stages.eda.exploration import Shapes
from digits.training.augment import augment

SAMPLES = 14  # images of a digit on the sheet of samples
DRAWS = 12  # of augmentation, of one image of each digit
SHOWN = 20  # pairs on their sheet
RECORDED = 100  # pairs in the metrics; duplicates.csv has all
TABLES = ("train", "test", "across")
HEADER = (
    "kind", "first_table", "first_row", "first_label", "second_table", "second_row", "second_label", "distance",
    "ratio",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """What was measured on all rows, those of the training table first.

    shapes: ink and slant of each row. exact, closest: pairs of rows. test: of train against test, None where there are
    too few rows. inked: shares of the training and of the test images with ink at each pixel, float (2, height, width).
    """

    shapes: Shapes
    exact: Pairs
    closest: Pairs
    test: TwoSampleTest | None
    inked: np.ndarray

    @property
    def near(self) -> Pairs:
        """The near duplicates."""
        return self.closest.take(self.closest.ratio <= duplicates.LIMIT)

    @property
    def shown(self) -> Pairs:
        """The pairs on the sheet, the closest first."""
        return self.exact.followed_by(self.closest).take(slice(SHOWN))


def run(config: Config, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Write figures, metrics and the list of duplicates.

    Args:
        config: with the seed, and the augmentation to show.
        dataset: to look at; test labels are left alone, even where they are known.
        folder: made where it is missing; what an earlier call wrote there goes.

    Returns:
        The metrics.
    """
    steps, seed = Steps(), derive(config.seed, "eda")
    found = _measure(steps, dataset, seed)
    with steps.step("figures and files"):
        results.clear(folder)
        captions = results.draw(folder, _figures(config, dataset, found, seed))
        _write_pairs(folder / "duplicates.csv", found, dataset)
    record = {
        "data": {"name": dataset.name, "train": dataset.fingerprint, "test": dataset.test_fingerprint},
        "rows": {"train": len(dataset.train_images), "test": len(dataset.test_images)},
        "shape": list(dataset.shape),
        "digits": _digits(dataset, found.shapes),
        "blank": _blank(found),
        "duplicates": _duplicates(dataset, found),
        "drift": _drift(dataset, found),
        "captions": captions,
        "seconds": steps.seconds,
    }
    records.seal(folder, record, "metrics.json")
    _print(record, folder)
    return record


def _measure(steps: Steps, dataset: Dataset, seed: np.random.SeedSequence) -> Findings:
    images, train = np.concatenate([dataset.train_images, dataset.test_images]), len(dataset.train_images)
    with steps.step("ink, slant and blank pixels"):
        grey = exploration.grey(images)
        shapes = exploration.shapes(grey)
        inked = np.stack([exploration.inked(grey[:train]), exploration.inked(grey[train:])])
    with steps.step("principal components"):
        components = exploration.components(images, derive(seed, "components"))
    with steps.step("duplicates"):
        exact = duplicates.exact_pairs(images, train)
        closest = duplicates.closest_pairs(images, components, derive(seed, "duplicates"))
    with steps.step("train against test"):
        features = np.column_stack([components, shapes.ink, shapes.slant])
        test = drift.two_sample_test(features[:train], features[train:], derive(seed, "drift"))
    return Findings(shapes, exact, closest, test, inked)


# --- figures -----------------------------------------------------------------------------------------------


def _figures(
    config: Config, dataset: Dataset, found: Findings, seed: np.random.SeedSequence
) -> Iterator[tuple[str, Figure]]:
    """Every figure with the name of its file."""
    images, targets, classes = dataset.train_images, dataset.targets, dataset.classes
    counts = exploration.label_counts(targets, len(classes))
    yield "labels", figures.label_distribution(counts, classes)
    yield "samples", figures.digit_samples(_samples(dataset, SAMPLES, derive(seed, "samples")), classes, len(images))
    grey = exploration.grey(images)
    intensities = exploration.intensity_counts(grey, targets, len(classes))
    yield "intensities", figures.intensity_histograms(intensities, classes)
    yield "means", figures.class_images(*exploration.class_images(grey, targets, len(classes)), classes)
    yield "blank", figures.blank_map(*found.inked)
    ink, slant = (of[: len(images)] for of in found.shapes)
    yield "ink_slant", figures.ink_and_slant(ink, slant, targets, classes)
    yield "duplicates", _pair_sheet(dataset, found)
    if found.test is not None:
        yield "drift", figures.two_sample_test(found.test)
    originals = _samples(dataset, 1, derive(seed, "originals"))[:, 0]
    settings = config.augmentation.model_copy(update={"pack": 1})  # else the images of a pack share a draw
    draws = augment(np.repeat(originals, DRAWS, axis=0), settings, derive(seed, "draws"))
    draws = draws.reshape(len(classes), DRAWS, *originals.shape[1:])
    yield "augmentation", figures.augmentation_sheet(originals, draws, classes, settings)


def _samples(dataset: Dataset, count: int, seed: np.random.SeedSequence) -> np.ndarray:
    """Training images of every digit drawn at random: uint8 (classes, count, *shape), blank beyond the last."""
    draw = np.random.default_rng(seed)
    samples = np.zeros((len(dataset.classes), count, *dataset.shape), np.uint8)
    for target, line in enumerate(samples):
        rows = draw.permutation(np.flatnonzero(dataset.targets == target))[:count]
        line[: len(rows)] = dataset.train_images[rows]
    return samples


def _pair_sheet(dataset: Dataset, found: Findings) -> Figure:
    shown = found.shown
    images = np.stack([_images(dataset, rows) for rows in (shown.first, shown.second)], axis=1)
    names = [(_name(dataset, one), _name(dataset, other)) for one, other in zip(shown.first, shown.second, strict=True)]
    return figures.closest_pairs(images, names, shown, duplicates.LIMIT, _told(dataset, found))


def _images(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Images of rows that are numbered through both tables, uint8 (r, *shape)."""
    train = len(dataset.train_images)
    images = np.empty((len(rows), *dataset.shape), np.uint8)
    images[rows < train] = dataset.train_images[rows[rows < train]]
    images[rows >= train] = dataset.test_images[rows[rows >= train] - train]
    return images


def _name(dataset: Dataset, row: int) -> str:
    table, number, label = _place(dataset, row)
    return f"{table} row {number}\n" + ("no label" if label is None else f"a {label}")


def _place(dataset: Dataset, row: int) -> tuple[str, int, int | None]:
    """The table of a row that is numbered through both, its number there from 0 on, and its label, if it has one."""
    train = len(dataset.train_images)
    return ("train", int(row), int(dataset.train_labels[row])) if row < train else ("test", int(row - train), None)


def _told(dataset: Dataset, found: Findings) -> str:
    counts = _duplicates(dataset, found)
    exact, near = (sum(counts[kind][table] for table in TABLES) for kind in ("exact", "near"))
    if exact or near:
        conflicting = sum(counts[kind]["conflicting"] for kind in ("exact", "near"))
        told = f"{exact:,} pairs are the same and {near:,} near duplicates (framed, all of them or the closest); "
        told += f"the labels of {conflicting:,} contradict each other"
    else:
        told = "no two are the same or near duplicates; these pairs are the closest"
    rows = len(dataset.train_images) + len(dataset.test_images)
    return (
        f"{rows:,} images, {told}; ratio: the distance over that to the {duplicates.NEIGHBOURS}th neighbour of the "
        f"same image, up to {duplicates.LIMIT:g} in near duplicates"
    )


# --- files -------------------------------------------------------------------------------------------------


def _digits(dataset: Dataset, shapes: Shapes) -> list[dict[str, Any]]:
    """Of every digit the rows, their share, and the medians of ink and slant."""
    counts = exploration.label_counts(dataset.targets, len(dataset.classes))
    of = [np.flatnonzero(dataset.targets == target) for target in range(len(counts))]
    return [
        {
            "digit": int(label),
            "rows": int(count),
            "share": float(count / counts.sum()),
            "ink": float(np.median(shapes.ink[rows])),
            "slant": float(np.median(shapes.slant[rows])),
        }
        for label, count, rows in zip(dataset.classes, counts, of, strict=True)
    ]


def _blank(found: Findings) -> dict[str, int]:
    """How many pixels are blank in every image of a table, of both, and of the training table alone."""
    train, test = found.inked == 0
    return {
        "train": int(train.sum()),
        "test": int(test.sum()),
        "both": int((train & test).sum()),
        "train_only": int((train & ~test).sum()),
    }


def _duplicates(dataset: Dataset, found: Findings) -> dict[str, Any]:
    """How many pairs there are by table, and which."""
    found_pairs = {"exact": found.exact, "near": found.near}
    counts = {kind: _count(dataset, pairs) for kind, pairs in found_pairs.items()}
    pairs = [line for kind, of in found_pairs.items() for line in _lines(dataset, kind, of.take(slice(RECORDED)))]
    natural = found.closest.ratio[found.closest.ratio > duplicates.LIMIT]
    return counts | {
        "limit": duplicates.LIMIT,
        "neighbours": duplicates.NEIGHBOURS,
        "closest_other_ratio": float(natural.min()) if len(natural) else None,
        "pairs": [dict(zip(HEADER, line, strict=True)) for line in pairs[:RECORDED]],
    }


def _count(dataset: Dataset, pairs: Pairs) -> dict[str, int]:
    where = pairs.where(len(dataset.train_images))
    labels = dataset.train_labels[np.stack([pairs.first, pairs.second])[:, where == "train"]]
    return {of: int((where == of).sum()) for of in TABLES} | {"conflicting": int((labels[0] != labels[1]).sum())}


def _lines(dataset: Dataset, kind: str, pairs: Pairs) -> list[tuple[Any, ...]]:
    columns = (pairs.first, pairs.second, pairs.distance, pairs.ratio)
    return [
        (kind, *_place(dataset, first), *_place(dataset, second), round(float(distance), 4), round(float(ratio), 4))
        for first, second, distance, ratio in zip(*columns, strict=True)
    ]


def _write_pairs(path: Path, found: Findings, dataset: Dataset) -> None:
    """All duplicates, and as `alike` the other pairs on the sheet."""
    shown = found.shown
    kinds = {"exact": found.exact, "near": found.near, "alike": shown.take(shown.ratio > duplicates.LIMIT)}
    lines = [line for kind, pairs in kinds.items() for line in _lines(dataset, kind, pairs)]
    records.write_csv(path, HEADER, lines)


def _drift(dataset: Dataset, found: Findings) -> dict[str, Any] | None:
    """Whether the tables differ, and how far the test images' ink and slant are from those of the training images."""
    test = found.test
    if test is None:
        return None
    size = len(test.is_test) // 2
    differences = {name: _difference(of, len(dataset.train_images)) for name, of in found.shapes._asdict().items()}
    return {
        "fitted_rows": 2 * size,
        "judged_rows": 2 * size,
        "auc": test.auc.value,
        "auc_interval": [test.auc.low, test.auc.high],
        "accuracy": test.accuracy,
        "p_value": test.p_value,
        "differ": test.differ,
    } | {f"{name}_difference": value for name, value in differences.items()}


def _difference(values: np.ndarray, train: int) -> float:
    """Mean of the test rows minus that of the training rows, in standard deviations of all."""
    return float((values[train:].mean() - values[:train].mean()) / (values.std() or 1))


def _print(record: dict[str, Any], folder: Path) -> None:
    table = Table(show_header=False, title=f"data {record['data']['name']}", title_justify="left")
    for name, text in _summary(record):
        table.add_row(name, text)
    out = console()
    out.print(table)
    out.print(f"Written: {folder}", soft_wrap=True)


def _summary(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    digits, (height, width, _), blank = record["digits"], record["shape"], record["blank"]
    rows = record["rows"]
    yield (
        "rows",
        f"{rows['train']:,} to train, {rows['test']:,} to predict; {height}x{width} pixels, {len(digits)} digits",
    )
    for name, unit, scale in (("share", "%", 100), ("ink", "% of white", 100), ("slant", "degrees", 1)):
        low, high = (choose(digits, key=lambda digit: digit[name]) for choose in (min, max))
        title = "share of a digit" if name == "share" else f"median {name} of a digit"
        between = (
            f"{scale * low[name]:.2f} {unit} ({low['digit']}) to {scale * high[name]:.2f} {unit} ({high['digit']})"
        )
        yield title, between
    yield (
        "always blank",
        (
            f"{blank['train']} of {height * width} pixels in train, {blank['test']} in test, {blank['both']} in both; "
            f"{blank['train_only']} have ink in test only"
        ),
    )
    for kind in ("exact", "near"):
        counts = record["duplicates"][kind]
        within = f"{counts['train']:,} pairs within train, {counts['test']:,} within test, {counts['across']:,} across"
        yield f"{kind} duplicates", f"{within}; {counts['conflicting']:,} contradict each other's label"
    yield "train against test", _verdict(record["drift"])
    yield "time", duration(sum(record["seconds"].values()))


def _verdict(drifted: dict[str, Any] | None) -> str:
    if drifted is None:
        return "too few rows to say anything"
    low, high = drifted["auc_interval"]
    told = "can be told apart" if drifted["differ"] else "cannot be told apart"
    return f"{told}: AUC {drifted['auc']:.4f} ({low:.4f} to {high:.4f}), p = {drifted['p_value']:.2g}"
