"""Read the competition's two CSVs into uint8 arrays, with every cell checked, and cache them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from digits.competition import COMPETITION
from digits.data import cache, csv
from digits.data.dataset import Dataset
from digits.data.header import Header, check_pair
from digits.data.source import Source, Table, locate
from digits.errors import UserError


def read(source: Source, cache_folder: Path) -> Dataset:
    """Read, check and cache both tables; a later read of the same files comes from the cache.

    cache_folder: made if it is missing. The newest few entries stay in it.

    Raises:
        UserError: a table is not what the competition ships; the line says where and what to do.
        OSError: the cache folder cannot be written.
    """
    if source.path is None:
        from digits.data.demo import demo  # imports scikit-learn, which takes longer than reading the CSVs

        return demo()
    tables = locate(source.path)
    entry = cache.entry(cache_folder, tables)
    dataset = cache.load(entry, str(source.path))
    if dataset is None:
        dataset = _parse(tables, str(source.path))
        cache.store(dataset, entry)
    return dataset


def read_images(path: Path, side: int) -> np.ndarray:
    """Read the images of one CSV, with or without labels: uint8 (n, side, side, 1).

    Raises:
        UserError: it is not in the competition's form, or its images have another side.
    """
    header = Header.read(Table(path))
    if header.side != side:
        found = f"{header.side}x{header.side}"
        raise UserError(f"{path}: has {found} pixels an image, the networks were trained on {side}x{side}")
    return csv.read(header)[0]


def _parse(tables: Mapping[str, Table], origin: str) -> Dataset:
    train, test = (Header.read(tables[name]) for name in (COMPETITION.train, COMPETITION.test))
    check_pair(train, test)
    train_images, labels = csv.read(train)
    if (labels == labels[0]).all():
        raise UserError(f"{train.table}: every label is {labels[0]}; training needs two classes or more")
    test_images, _ = csv.read(test)
    return Dataset(COMPETITION.name, origin, train_images, labels, test_images)
