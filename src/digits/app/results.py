"""What the explorer shows, read from a finished and clustered run. Imports no Streamlit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from digits import data, features, runs
from digits.config import Config
from digits.data import Dataset
from digits.errors import UserError
from digits.features import Features
from digits.figures.sheets import tile
from digits.runs import Run


@dataclass(frozen=True, eq=False)
class Results:
    """A run with its rows, features and maps.

    record: `clusters/metrics.json`. maps: float32 (m, 2) by name, of the rows `mapped`, int (m,), places in
    `features.rows`.
    """

    run: Run
    config: Config
    dataset: Dataset
    features: Features
    record: dict[str, Any]
    maps: dict[str, np.ndarray]
    mapped: np.ndarray

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
        return _table(self.run, "clusters.csv", ["row", "label", "cluster", "distance", "silhouette"])

    @cached_property
    def queue(self) -> pd.DataFrame:
        """`label_queue.csv`, the most suspicious first.

        Raises:
            UserError: it is missing or damaged.
        """
        return _table(self.run, "label_queue.csv", ["rank", "row", "label", "prediction", "label_probability"])

    def images(self, rows: np.ndarray) -> np.ndarray:
        """The images of training rows, uint8 (n, side, side)."""
        return self.dataset.train_images[rows]

    def sheet(self, rows: np.ndarray, columns: int, scale: int = 2) -> np.ndarray:
        """The images of training rows side by side, uint8 (height, width), ink dark."""
        return _enlarged(tile(self.images(rows), columns), scale)


def read(run_folder: Path, data_source: str | None, cache: Path) -> Results:
    """Read a run that was clustered.

    Raises:
        UserError: there is no such run, it is not finished or clustered, or was made from other data.
    """
    run = Run(run_folder)
    config = run.config()
    dataset = data.read(data.find(data_source), cache)
    kept = features.restore(run, config, dataset)
    record = runs.read_json(run.clustered() / "metrics.json", method=str, space=str, k=int, rows=int, perplexity=float)
    try:
        maps = runs.read_arrays(run.clusters / "embedding.npz")
        rows, fingerprint = maps.pop("rows"), str(maps.pop("fingerprint"))
    except (ValueError, KeyError):
        fingerprint = None
    if fingerprint != dataset.fingerprint:
        raise UserError(f"run {run_folder} has no maps yet; make them: make cluster RUN={run_folder.name}")
    return Results(run, config, dataset, kept, record, maps, np.searchsorted(kept.rows, rows))


def _table(run: Run, name: str, columns: list[str]) -> pd.DataFrame:
    path = run.clusters / name
    try:
        table = pd.read_csv(path)
        table[columns]
    except (OSError, ValueError, KeyError):
        raise UserError(f"{path}: missing or damaged; make it anew: make cluster RUN={run.folder.name}") from None
    return table


def _enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    return np.kron((255 * image).astype(np.uint8), np.ones((scale, scale), np.uint8))
