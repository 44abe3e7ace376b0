"""Results of the other stages, read only if their files are whole and of this version."""

from __future__ import annotations

import csv
import itertools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from digits.data import Dataset
from digits.errors import UserError, shown
from digits.files import records
from digits.runs import Run

logger = logging.getLogger(__name__)


def is_explored(folder: Path, dataset: Dataset) -> bool:
    """`make eda` of this version wrote the folder for these rows, and every file's checksum matches."""
    path = folder / "metrics.json"
    if not _is_whole(path):
        return False
    record = records.read_json(path, data=dict)
    return _has_captions(record) and record["data"].get("train") == dataset.fingerprint


def is_evaluated(run: Run) -> bool:
    """`make evaluate` of this version evaluated the run's probabilities as they are, and every checksum matches."""
    path = run.evaluation / "metrics.json"
    if not run.oof.exists() or not _is_whole(path):
        return False
    record = records.read_json(path)
    return "findings" in record and _has_captions(record) and record.get("oof") == records.checksum(run.oof)


def clusters(run: Run) -> dict[str, Any] | None:
    """Record of `make cluster`; None where it was not run, or by an earlier version.

    Raises:
        UserError: something of it is damaged.
    """
    if not (run.clusters / "metrics.json").exists():
        return None
    record = records.read_json(run.clustered() / "metrics.json", purity=float)
    return record if _has_captions(record) else None


def first_lines(path: Path, most: int) -> list[dict[str, str]]:
    """The first lines of a CSV, at most so many.

    Raises:
        UserError: it is missing, or no CSV.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(itertools.islice(csv.DictReader(file), most))
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({shown(str(error))}); make it anew") from None


def _has_captions(record: Mapping[str, Any]) -> bool:
    """A stage of this version wrote the record: its figures have titles."""
    captions = record.get("captions")
    return isinstance(captions, dict) and all(isinstance(caption, dict) for caption in captions.values())


def _is_whole(record: Path) -> bool:
    whole = records.is_whole(record.parent, record.name)
    if record.exists() and not whole:
        logger.warning("%s: damaged, or of an earlier version; it is made anew", record.parent)
    return whole
