"""What the explorer shows, read from a finished and clustered run. Imports no Streamlit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from digits import data
from digits.config import Cluster
from digits.data import Dataset
from digits.ensemble.logits import are_rows_of
from digits.errors import UserError
from digits.figures.sheets import tile
from digits.files import arrays, records
from digits.files.lock import check_contents
from digits.runs import Run, RunFolder
from digits.stages.cluster import features
from digits.stages.cluster.features import Features

MAPS = ("tsne", "umap", "pca")
INTEGERS, NUMBERS = "iu", "iuf"  # kinds of a column
CLUSTERS = {"row": INTEGERS, "label": INTEGERS, "cluster": INTEGERS, "distance": NUMBERS, "silhouette": NUMBERS}
QUEUE = {"rank": INTEGERS, "row": INTEGERS, "label": INTEGERS, "prediction": INTEGERS, "label_probability": NUMBERS}


class Record(BaseModel):
    """What the pages show of `clusters/metrics.json`; runs come from other people too."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    method: str
    space: str
    k: int
    rows: int
    perplexity: float
    purity: float | None
    oof_accuracy: float
    silhouette: float | None
    hungarian_accuracy: float | None
    nmi: float | None
    ari: float | None
    fold_probe_before: float | None
    fold_probe_after: float | None
    fold_probe_chance: float | None


@dataclass(frozen=True, eq=False)
class Results:
    """A run with its rows, features and maps.

    record: see `Record`. maps: float32 (m, 2) by name, of the rows `mapped`, int (m,), places in
    `features.rows`.
    """

    run: Run
    features: Features
    record: dict[str, Any]
    maps: dict[str, np.ndarray]
    mapped: np.ndarray

    @property
    def dataset(self) -> Dataset:
        return self.run.dataset

    @cached_property
    def table(self) -> pd.DataFrame:
        """A line for every out-of-fold row: row, label, prediction, confidence, right."""
        classes, probabilities = self.dataset.classes, self.features.probabilities
        labels = classes[self.features.targets]
        predictions = classes[probabilities.argmax(axis=1)]
        return pd.DataFrame(
            {
                "row": self.features.rows,
                "label": labels,
                "prediction": predictions,
                "confidence": probabilities.max(axis=1),
                "right": labels == predictions,
            }
        )

    @cached_property
    def clusters(self) -> pd.DataFrame:
        """`clusters.csv`: row, label, prediction, confidence, cluster, distance, silhouette.

        Raises:
            UserError: it is missing or damaged.
        """
        table = _table(self.run, "clusters.csv", CLUSTERS, self.features.rows)
        if len(table) != self.record["rows"]:
            raise _damaged(self.run, "clusters.csv")
        return table

    @cached_property
    def queue(self) -> pd.DataFrame:
        """`label_queue.csv`, the most suspicious first.

        Raises:
            UserError: it is missing or damaged.
        """
        return _table(self.run, "label_queue.csv", QUEUE, self.features.rows)

    def images(self, rows: np.ndarray) -> np.ndarray:
        """The images of training rows, uint8 (n, height, width, channels)."""
        return self.dataset.train_images[rows]

    def sheet(self, rows: np.ndarray, columns: int, scale: int = 2) -> np.ndarray:
        """The images of training rows side by side, uint8 (height, width), ink dark."""
        return _enlarged(tile(self.images(rows), columns), scale)


def read(run_folder: Path, data_source: str | None, cache: Path) -> Results:
    """Read a run that was clustered.

    Raises:
        UserError: there is no such run, it is not finished or clustered, or was made from other data.
    """
    check_contents(run_folder)
    folder = RunFolder(run_folder)
    config = folder.covered_config(folder.recorded_config())
    dataset = data.read(data.find(data_source), cache)
    run = Run(run_folder, config, dataset)
    kept = features.restore(run)
    record = _record(run)
    try:
        maps = arrays.read(run.clusters / "embedding.npz", rows="i1", fingerprint="U0")
        rows, fingerprint = maps["rows"], str(maps["fingerprint"])
        maps = {name: of for name, of in maps.items() if name in MAPS}
        fits = maps and are_rows_of(rows, len(dataset.train_labels)) and np.isin(rows, kept.rows).all()
        fits = fits and all(of.dtype.kind == "f" and of.shape == (len(rows), 2) for of in maps.values())
    except ValueError:
        fits = False
    if not fits or fingerprint != dataset.fingerprint:
        raise UserError(f"run {run_folder} has no maps yet; make them: make cluster RUN={run_folder.name}")
    return Results(run, kept, record, maps, np.searchsorted(kept.rows, rows))


def _record(run: Run) -> dict[str, Any]:
    try:
        record = Record.model_validate(records.read_json(run.clustered() / "metrics.json"))
        Cluster(method=record.method, space=record.space, k=record.k, perplexity=record.perplexity)
    except ValidationError:
        raise _damaged(run, "metrics.json") from None
    return record.model_dump()


def _table(run: Run, name: str, columns: dict[str, str], rows: np.ndarray) -> pd.DataFrame:
    """Columns of these kinds, of a CSV that names some of these rows."""
    try:
        table = pd.read_csv(run.clusters / name, usecols=list(columns))[list(columns)]
    except (OSError, ValueError, KeyError, OverflowError):
        raise _damaged(run, name) from None
    if table.empty:  # whose columns have no kind
        return table
    kinds = {of: str(table[of].dtype.kind) for of in columns}
    if not all(kinds[of] in columns[of] for of in columns) or not table["row"].isin(rows).all():
        raise _damaged(run, name)
    return table


def _damaged(run: Run, name: str) -> UserError:
    return UserError(f"{run.clusters / name}: missing or damaged; make it anew: make cluster RUN={run.folder.name}")


def _enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    return (255 * image).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
