"""Corrected labels of training rows: what people decided about labels that looked wrong.

A CSV with the columns `row` (counted from 0), `label` (the right one, or `drop` for a row that is not to be learned)
and `fingerprint` (of the training table in which the rows are counted). Other columns are ignored.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from digits.data.dataset import LEFT_OUT, Dataset
from digits.errors import UserError, shown
from digits.files import limits, records

DROP = "drop"
COLUMNS = ("row", "label", "fingerprint")
FILE_BYTES, ROW_BYTES = 2**20, 200  # a row takes 80


def corrected(dataset: Dataset, file: str | None) -> Dataset:
    """Dataset whose networks learn the corrected labels of a file; all scores stay those of the labels as given.

    Raises:
        UserError: see `read`; or the file holds no rows, or leaves no row of a class to learn.
    """
    if file is None:
        return dataset
    targets = dataset.targets.copy()
    found = read(Path(file), dataset)
    if not found:
        raise UserError(f"corrections file {file}: holds no rows; leave data.corrections out of the config")
    for row, target in found.items():
        targets[row] = target
    unlearned = np.setdiff1d(dataset.targets, targets)
    if len(unlearned):
        raise UserError(f"corrections file {file}: leaves no row of class {dataset.classes[unlearned[0]]} to learn")
    return dataclasses.replace(dataset, corrected=targets)


def sentence(dataset: Dataset) -> str:
    """Say what the corrections of a dataset change."""
    dropped = dataset.corrected == LEFT_OUT
    changed = (dataset.corrected != dataset.targets) & ~dropped
    return (
        f"{changed.sum():,} corrected and {dropped.sum():,} dropped of {len(changed):,} labels that networks learn; "
        "all scores are against the labels as given"
    )


def read(path: Path, dataset: Dataset) -> dict[int, int]:
    """Read corrected labels: the class of each row in the file, as an index in `dataset.classes`, or `LEFT_OUT`.

    Raises:
        UserError: it cannot be read, is of another table, or a row or label in it does not exist or stands twice.
    """
    classes = {DROP: LEFT_OUT} | {str(label): index for index, label in enumerate(dataset.classes)}
    found: dict[int, int] = {}
    count = len(dataset.targets)
    for where, line in _lines(path, dataset):
        row, label = line["row"].strip(), line["label"].strip()
        if not (row.isascii() and row.isdigit() and len(row) < 20 and int(row) < count):
            raise UserError(f"{where}: '{shown(row)}' is no training row; they are counted from 0 to {count - 1}")
        if label not in classes:
            raise UserError(f"{where}: '{shown(label)}' is no label of the training rows, nor '{DROP}'")
        if int(row) in found:
            raise UserError(f"{where}: row {int(row)} stands twice; leave one of the lines out")
        found[int(row)] = classes[label]
    return found


def write(path: Path, targets: Mapping[int, int], dataset: Dataset) -> None:
    """Write corrected labels, for `read`: the class of each row, as an index in `dataset.classes`, or `LEFT_OUT`."""
    labels = [*map(str, dataset.classes), DROP]  # `LEFT_OUT` is its last index
    lines = [
        (row, labels[target], dataset.train_labels[row], dataset.fingerprint) for row, target in sorted(targets.items())
    ]
    records.write_csv(path, ["row", "label", "given", "fingerprint"], lines)


def _lines(path: Path, dataset: Dataset) -> Iterator[tuple[str, dict[str, str]]]:
    """Each line by column, and where it stands."""
    name, most = f"corrections file {path}", FILE_BYTES + ROW_BYTES * len(dataset.targets)
    try:
        text = limits.read_bytes(path, most, "corrections file").decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{name}: {getattr(error, 'strerror', None) or shown(str(error))}") from None
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        _check_columns(table.fieldnames or (), name, dataset)
        for line in table:
            where = f"{name}: line {table.line_num}"
            if None in line or None in line.values():
                raise UserError(f"{where}: has more or fewer cells than the first line")
            if line["fingerprint"].strip() != dataset.fingerprint:
                raise UserError(
                    f"{where}: of another table than {dataset.source}, whose fingerprint is {dataset.fingerprint}"
                )
            yield where, line
    except csv.Error as error:
        raise UserError(f"{name}: {error}, after line {table.line_num}") from None


def _check_columns(columns: Iterable[str], name: str, dataset: Dataset) -> None:
    missing = [column for column in COLUMNS if column not in columns]
    if missing == ["fingerprint"] and "verdict" not in columns:
        raise UserError(
            f"{name}: nothing says of which table its rows are; if they are of {dataset.source}, add a column "
            f"'fingerprint' with {dataset.fingerprint} in every line"
        )
    if missing:
        raise UserError(f"{name}: has no column '{missing[0]}'; expected a CSV of {', '.join(COLUMNS)}")
