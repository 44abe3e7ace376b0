"""Read a competition's two CSVs into uint8 arrays, with every cell checked, and cache them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from digits.competition import COMPETITION
from digits.data import cache, csv
from digits.data.dataset import Dataset
from digits.data.layout import Layout, check_pair, size
from digits.data.source import Source, Table, locate, name_of
from digits.errors import UserError


def read(source: Source, cache_folder: Path) -> Dataset:
    """Read, check and cache both tables; a later read of the same files comes from the cache.

    cache_folder: made if it is missing. The newest few entries stay in it.

    Raises:
        UserError: a table is not one of labelled or unlabelled images; the line says where and what to do.
        OSError: the cache folder cannot be written.
    """
    if source.path is None:
        from digits.data.demo import demo  # imports scikit-learn, which takes longer than reading the CSVs

        return demo()
    tables = locate(source.path)
    entry = cache.entry(cache_folder, tables)
    name, origin = name_of(source.path, tables), str(source.path)
    dataset = cache.load(entry, name, origin)
    if dataset is None:
        dataset = _parse(tables, name, origin)
        cache.store(dataset, entry)
    if name != COMPETITION.name and (len(dataset.train_images), len(dataset.test_images)) == COMPETITION.rows:
        return replace(dataset, name=COMPETITION.name)
    return dataset


def read_images(path: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the images of one CSV, with or without labels, uint8 (n, *shape), and what was assumed, as in `Layout`.

    Raises:
        UserError: it is no table of images, or they have another shape.
    """
    layout = Layout.read(Table(path))
    if layout.shape != shape:
        found, expected = size(layout.shape), size(shape)
        raise UserError(f"{path}: has {found} pixels an image, the networks were trained on {expected}")
    return csv.read(replace(layout, label=None, id=None)).images, layout.remarks


def _parse(tables: Mapping[str, Table], name: str, origin: str) -> Dataset:
    train, test = (Layout.read(tables[role]) for role in (COMPETITION.train, COMPETITION.test))
    check_pair(train, test)
    learned = csv.read(replace(train, id=None))
    if (learned.labels == learned.labels[0]).all():
        raise UserError(f"{train.table}: every label is {learned.labels[0]}; training needs two classes or more")
    asked = csv.read(test)
    dataset = Dataset(
        name=name,
        source=origin,
        train_images=learned.images,
        train_labels=learned.labels,
        test_images=asked.images,
        test_labels=None if test.label is None else asked.labels,
        test_ids=None if test.id is None else asked.ids,
        note=_note(train, test),
    )
    _check_test(dataset, test.table, train.table)
    return dataset


def _check_test(dataset: Dataset, table: Table, train: Table) -> None:
    """Raises: UserError if the test rows' own labels or ids cannot be right."""
    labels, ids = dataset.test_labels, dataset.test_ids
    if labels is not None:
        if np.array_equal(dataset.test_images, dataset.train_images):
            raise UserError(f"{table}: holds the rows of {train}; put the test rows there")
        unknown = np.setdiff1d(labels, dataset.classes)
        if len(unknown):
            raise UserError(f"{table}: label {unknown[0]} does not occur in {train}; take both from one data set")
    if ids is not None:
        values, times = np.unique(ids, return_counts=True)
        if (times > 1).any():
            raise UserError(f"{table}: id {values[times.argmax()]} appears twice; give each row one of its own")


def _note(train: Layout, test: Layout) -> str:
    """One line on what was assumed of the tables; empty where both are in Kaggle's own form."""
    both = [remark for remark in train.remarks if remark in test.remarks]
    own = [
        f"{layout.table.name}: {', '.join(remarks)}"
        for layout in (train, test)
        if (remarks := [remark for remark in layout.remarks if remark not in both])
    ]
    if test.label is not None:
        own.append(f"labels of {test.table.name}: for the true score alone")
    assumed = [", ".join(both)] * bool(both) + own
    return f"Tables read as: {'; '.join(assumed)}." if assumed else ""
