"""Look at the data before anything is trained: what it holds, what is there twice, whether train and test differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.table import Table

from digits.competition import COMPETITION
from digits.config import Augmentation, Config
from digits.data import Dataset
from digits.data.layout import size
from digits.figures import folder as figure_folder
from digits.figures.folder import Captioned
from digits.figures.style import shortened
from digits.files import records
from digits.progress import StepTimer, console, duration
from digits.seeds import derive
from digits.stages.eda import drift, duplicates, figures, findings, measures
from digits.stages.eda.drift import TwoSampleTest
from digits.stages.eda.findings import TABLES
from digits.stages.eda.measures import Shapes
from digits.training.augment import augment

SAMPLES = 12  # images of a class on the sheet of samples
DRAWS = 11  # of augmentation, of one image of each class
SHOWN = 12  # pairs on their sheet
RECORDED = 100  # pairs in the metrics; duplicates.csv has all
HEADER = (
    "kind", "first_table", "first_row", "first_label", "second_table", "second_row", "second_label", "distance",
    "ratio",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class MeasuredData:
    """A data set, and what was measured on all of its rows, those of the training table first.

    seed: of everything random. shapes: ink and slant of each row. exact, closest: pairs of rows, see `duplicates`.
    test: of train against test, None where there are too few rows. inked: shares of the training and of the test images
    with ink at each pixel, float (2, height, width).
    """

    dataset: Dataset
    seed: np.random.SeedSequence
    shapes: Shapes
    exact: pd.DataFrame
    closest: pd.DataFrame
    test: TwoSampleTest | None
    inked: np.ndarray

    @property
    def near(self) -> pd.DataFrame:
        """The near duplicates."""
        return self.closest[self.closest["ratio"] <= duplicates.LIMIT]

    @property
    def shown(self) -> pd.DataFrame:
        """The pairs on the sheet, the closest first."""
        return pd.concat([self.exact, self.closest]).head(SHOWN)

    @property
    def train_rows(self) -> int:
        return len(self.dataset.train_images)

    def label(self, row: int) -> Any:
        """Label of a training row, None of a test row."""
        return self.dataset.train_labels[row].item() if row < self.train_rows else None

    def address(self, row: int) -> tuple[str, int]:
        """Table of a row, and its number there from 0 on."""
        return ("train", row) if row < self.train_rows else ("test", row - self.train_rows)

    def image(self, row: int) -> np.ndarray:
        """Image of a row, uint8 (height, width, channels)."""
        table, number = self.address(row)
        return (self.dataset.train_images if table == "train" else self.dataset.test_images)[number]


def run(config: Config, dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Write figures, metrics and the list of duplicates; return the metrics.

    config: with the seed, and the augmentation to show. dataset: to look at; test labels are left alone, even where
    they are known. folder: made where it is missing; what an earlier call wrote there goes.
    """
    steps = StepTimer()
    measured = _measure(steps, dataset, derive(config.seed, "eda"))
    record = {
        "data": {"name": dataset.name, "train": dataset.fingerprint, "test": dataset.test_fingerprint},
        "rows": {"train": len(dataset.train_images), "test": len(dataset.test_images)},
        "shape": list(dataset.shape),
        "classes": _classes(measured),
        "blank": _blank(measured),
        "duplicates": _duplicates(measured),
        "drift": _drift(measured),
    }
    record["findings"] = findings.sentences(record)
    with steps.step("figures and files"):
        figure_folder.clear(folder)
        record["captions"] = figure_folder.draw(folder, _figures(measured, config.augmentation, record))
        _write_pairs(measured, folder / "duplicates.csv")
    record["seconds"] = steps.seconds
    records.seal(folder, record, "metrics.json")
    _print(record, folder)
    return record


# --- measures ----------------------------------------------------------------------------------------------


def _measure(steps: StepTimer, dataset: Dataset, seed: np.random.SeedSequence) -> MeasuredData:
    images, train = np.concatenate([dataset.train_images, dataset.test_images]), len(dataset.train_images)
    with steps.step("ink, slant and blank pixels"):
        grey = measures.grey(images)
        shapes = measures.shapes(grey)
        inked = np.stack([np.count_nonzero(table, axis=0) / len(table) for table in (grey[:train], grey[train:])])
    with steps.step("principal components"):
        components = measures.components(images, derive(seed, "components"))
    with steps.step("duplicates"):
        exact = duplicates.exact_pairs(images, train)
        closest = duplicates.closest_pairs(images, components, derive(seed, "duplicates"))
    with steps.step("train against test"):
        features = np.column_stack([components, shapes.ink, shapes.slant])
        test = drift.two_sample_test(features[:train], features[train:], derive(seed, "drift"))
    return MeasuredData(dataset, seed, shapes, exact, closest, test, inked)


def _classes(measured: MeasuredData) -> list[dict[str, Any]]:
    """Rows of every class, their share, and the medians of ink and slant."""
    ink, slant = (values[: measured.train_rows] for values in measured.shapes)
    rows = pd.DataFrame({"class": measured.dataset.train_labels, "ink": ink, "slant": slant})
    table = rows.groupby("class").agg(rows=("ink", "size"), ink=("ink", "median"), slant=("slant", "median"))
    table.insert(1, "share", table["rows"] / len(rows))
    return table.reset_index().to_dict("records")


def _blank(measured: MeasuredData) -> dict[str, int]:
    """Pixels that are blank in every image of a table, of both, and of the training table alone."""
    train, test = measured.inked == 0
    blank = {"train": train, "test": test, "both": train & test, "train_only": train & ~test}
    return {name: int(pixels.sum()) for name, pixels in blank.items()}


def _duplicates(measured: MeasuredData) -> dict[str, Any]:
    """Count the pairs by table, and list the first of them."""
    kinds = {"exact": measured.exact, "near": measured.near}
    natural = measured.closest["ratio"][measured.closest["ratio"] > duplicates.LIMIT]
    return {kind: _count(measured, pairs) for kind, pairs in kinds.items()} | {
        "limit": duplicates.LIMIT,
        "neighbours": duplicates.NEIGHBOURS,
        "closest_other_ratio": None if natural.empty else float(natural.min()),
        "pairs": _listed(measured, {kind: pairs.head(RECORDED) for kind, pairs in kinds.items()})[:RECORDED],
    }


def _count(measured: MeasuredData, pairs: pd.DataFrame) -> dict[str, int]:
    tables = duplicates.tables(pairs, measured.train_rows)
    first, second = (measured.dataset.train_labels[pairs[side][tables == "train"]] for side in ("first", "second"))
    return {table: int((tables == table).sum()) for table in TABLES} | {"conflicting": int((first != second).sum())}


def _listed(measured: MeasuredData, kinds: dict[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Pairs by kind, each as a line of duplicates.csv."""
    lines = []
    for kind, pairs in kinds.items():
        for pair in pairs.itertuples():
            line = {"kind": kind}
            for side, row in (("first", pair.first), ("second", pair.second)):
                table, number = measured.address(row)
                line |= {f"{side}_table": table, f"{side}_row": number, f"{side}_label": measured.label(row)}
            lines.append(line | {"distance": round(pair.distance, 4), "ratio": round(pair.ratio, 4)})
    return lines


def _drift(measured: MeasuredData) -> dict[str, Any] | None:
    """Compare the tables: the classifier, and the mean ink and slant of their images."""
    test, train = measured.test, measured.train_rows
    if test is None:
        return None
    differences = {  # of the means, in standard deviations of all
        f"{name}_difference": float((values[train:].mean() - values[:train].mean()) / (values.std() or 1))
        for name, values in measured.shapes._asdict().items()
    }
    return {
        "fitted_rows": len(test.is_test),
        "judged_rows": len(test.is_test),
        "auc": test.auc.value,
        "auc_interval": [test.auc.low, test.auc.high],
        "accuracy": test.accuracy,
        "p_value": test.p_value,
        "differ": test.differ,
    } | differences


# --- figures and files -------------------------------------------------------------------------------------


def _figures(measured: MeasuredData, augmentation: Augmentation, record: dict[str, Any]) -> Iterator[Captioned]:
    """Every figure with the name of its file and its caption."""
    data, seed, captions = measured.dataset, measured.seed, findings.captions(record)
    targets, classes = data.targets, data.classes
    yield "labels", figures.label_distribution(np.bincount(targets), classes), captions["labels"]
    samples = _samples(data, SAMPLES, derive(seed, "samples"))
    yield "samples", figures.class_lines(samples, classes), findings.samples(SAMPLES, measured.train_rows)
    grey = measures.grey(data.train_images)
    counts = measures.intensity_counts(grey, targets, len(classes))
    yield "intensities", figures.intensity_histogram(counts), findings.intensities(counts, classes)
    means, deviations = measures.class_images(grey, targets, len(classes))
    yield "means", figures.class_images(means, deviations, classes), findings.means(deviations, classes)
    yield "blank", figures.blank_map(measured.inked[0]), captions["blank"]
    ink, slant = (values[: measured.train_rows] for values in measured.shapes)
    yield "ink_slant", figures.ink_and_slant(ink, slant, targets, classes), captions["ink_slant"]
    if len(measured.shown):
        yield "duplicates", _pair_sheet(measured), captions["duplicates"]
    if measured.test is not None:
        yield "drift", figures.two_sample_test(measured.test), captions["drift"]
    originals = _samples(data, 1, derive(seed, "originals"))[:, 0]
    settings = augmentation.model_copy(update={"pack": 1})  # else the images of a pack share a draw
    draws = augment(np.repeat(originals, DRAWS, axis=0), settings, derive(seed, "draws"))
    draws = draws.reshape(len(classes), DRAWS, *data.shape)
    sheet = figures.class_lines(np.concatenate([originals[:, None], draws], axis=1), classes, framed=True)
    yield "augmentation", sheet, findings.augmentation(originals, draws, settings)


def _samples(dataset: Dataset, count: int, seed: np.random.SeedSequence) -> np.ndarray:
    """Draw training images of every class at random: uint8 (classes, count, *shape), blank beyond the last."""
    draw = np.random.default_rng(seed)
    samples = np.zeros((len(dataset.classes), count, *dataset.shape), np.uint8)
    for target, line in enumerate(samples):
        rows = draw.permutation(np.flatnonzero(dataset.targets == target))[:count]
        line[: len(rows)] = dataset.train_images[rows]
    return samples


def _pair_sheet(measured: MeasuredData) -> Figure:
    pairs = measured.shown
    images = [[measured.image(row) for row in pair] for pair in zip(pairs["first"], pairs["second"], strict=True)]
    names = [[_name(measured, row) for row in pair] for pair in zip(pairs["first"], pairs["second"], strict=True)]
    return figures.closest_pairs(np.array(images), names, pairs, duplicates.LIMIT)


def _name(measured: MeasuredData, row: int) -> str:
    table, number = measured.address(row)
    label = measured.label(row)
    return f"{table} row {number}\n" + ("no label" if label is None else f"label {shortened(label)}")


def _write_pairs(measured: MeasuredData, path: Path) -> None:
    """Write all duplicates, and as `alike` the other pairs on the sheet."""
    alike = measured.shown[measured.shown["ratio"] > duplicates.LIMIT]
    lines = _listed(measured, {"exact": measured.exact, "near": measured.near, "alike": alike})
    records.write_csv(path, HEADER, [list(line.values()) for line in lines])


# --- console -----------------------------------------------------------------------------------------------


def _print(record: dict[str, Any], folder: Path) -> None:
    table = Table(show_header=False, title=f"data {record['data']['name']}", title_justify="left")
    for name, text in _summary(record):
        table.add_row(name, text)
    out = console()
    out.print(table)
    for sentence in record["findings"]:
        out.print(sentence)
    out.print(f"Written: {folder}", soft_wrap=True)


def _summary(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Lines of the closing table."""
    classes, shape, blank, rows = record["classes"], record["shape"], record["blank"], record["rows"]
    images = f"{size(shape)} pixels, {len(classes)} {COMPETITION.nouns}"
    yield "rows", f"{rows['train']:,} to train, {rows['test']:,} to predict; {images}"
    for name, unit, scale in (("ink", "% of white", 100), ("slant", "degrees", 1)):
        low, high = (choose(classes, key=lambda row: row[name]) for choose in (min, max))
        ends = (f"{scale * end[name]:.2f} {unit} ({end['class']})" for end in (low, high))
        yield f"median {name} of a {COMPETITION.noun}", " to ".join(ends)
    text = (
        f"{blank['train']} of {math.prod(shape[:2])} pixels in train, {blank['test']} in test, {blank['both']} in both"
    )
    yield "always blank", f"{text}; {blank['train_only']} have ink in test only"
    for kind in ("exact", "near"):
        counts = record["duplicates"][kind]
        text = f"{counts['train']:,} pairs within train, {counts['test']:,} within test, {counts['across']:,} across"
        yield f"{kind} duplicates", text
    yield "time", duration(sum(record["seconds"].values()))
