"""Cache of parsed rows: one file an entry, written under a temporary name, so that one rename makes it whole."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from digits.data.dataset import Dataset
from digits.data.source import Table
from digits.files.atomic import TEMPORARY, replacing

FORMAT = 3  # a new one whenever a table is read otherwise than before
ENTRIES = 4  # that are kept
STALE_SECONDS = 3600


def entry(folder: Path, tables: Mapping[str, Table]) -> Path:
    """Path of the entry for these files in their present state."""
    state = []
    for table in tables.values():
        status = table.file.stat()
        state.append([str(table.file.resolve()), table.member, status.st_size, status.st_mtime_ns])
    return folder / f"{hashlib.sha256(json.dumps([FORMAT, state]).encode()).hexdigest()[:32]}.npy"


def load(path: Path, name: str, origin: str) -> Dataset | None:
    """Rows of an entry; None if there is none, or its content does not match its fingerprints."""
    try:
        with path.open("rb") as file:
            fingerprints, note, *arrays = (np.load(file, allow_pickle=False) for _ in range(7))
        labels, ids = (array if len(array) else None for array in arrays[:2])
        dataset = Dataset(name, origin, *arrays[2:], test_labels=labels, test_ids=ids, note=str(note))
        whole = fingerprints.tolist() == _fingerprints(dataset)
    except MemoryError:
        raise
    except Exception:  # a damaged file can raise anything, and its source is read again
        return None
    return dataset if whole else None


def store(dataset: Dataset, path: Path) -> None:
    """Write an entry, and remove all but the newest ones of its folder.

    Raises:
        OSError: it cannot be written.
    """
    rows = (dataset.train_images, dataset.train_labels, dataset.test_images)
    arrays = (np.array(_fingerprints(dataset)), np.array(dataset.note), *_known(dataset), *rows)
    with replacing(path) as temporary, temporary.open("wb") as file:
        for array in arrays:
            np.save(file, array, allow_pickle=False)
    entries = sorted(path.parent.glob("[!.]*.npy"), key=_age)
    leftovers = [leftover for leftover in path.parent.glob(f"{TEMPORARY}*") if _age(leftover) > STALE_SECONDS]
    for old in (*entries[ENTRIES:], *leftovers):
        old.unlink(missing_ok=True)


def _known(dataset: Dataset) -> list[np.ndarray]:
    """Labels and ids of the test rows, empty where they are not known."""
    return [np.empty(0) if array is None else array for array in (dataset.test_labels, dataset.test_ids)]


def _fingerprints(dataset: Dataset) -> list[str]:
    rest = hashlib.sha256(dataset.note.encode("utf-8", "surrogatepass"))
    for array in _known(dataset):
        rest.update(array.tobytes())
    return [dataset.fingerprint, dataset.test_fingerprint, rest.hexdigest()]


def _age(path: Path) -> float:
    """Seconds since a file was written; infinite if another process has removed it."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
