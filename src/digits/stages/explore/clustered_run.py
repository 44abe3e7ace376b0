"""What the explorer shows, read from a finished and clustered run. Imports no Streamlit."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from digits import data
from digits.config import Cluster
from digits.data import Dataset
from digits.ensemble.logits import are_rows_of
from digits.errors import UserError
from digits.figures import browser_map
from digits.figures.browser_map import Sprite
from digits.figures.sheets import tile
from digits.files import arrays, records
from digits.files.lock import check_contents
from digits.runs import Run, RunFolder
from digits.stages.cluster import features
from digits.stages.cluster.features import Features
from digits.stages.explore.background import Jobs

MAPS = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PCA"}
INTEGERS, NUMBERS, LABELS = "iu", "iuf", ""  # kinds of a column; labels are those of the data
CLUSTERS = {"row": INTEGERS, "label": LABELS, "cluster": INTEGERS, "distance": NUMBERS, "silhouette": NUMBERS}
MOST_DRAWN = 50_000  # rows on a map: of more, the images would not fit into a browser
QUEUE = {"rank": INTEGERS, "row": INTEGERS, "label": LABELS, "prediction": LABELS, "label_probability": NUMBERS}


class ClusterRecord(BaseModel):
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
    seconds: dict[str, float] = {}


@dataclass(frozen=True, eq=False)
class ClusteredRun:
    """A run with its rows, features and maps.

    record: what `make cluster` measured. maps: float32 (m, 2) by name, of the rows with the indices `mapped` in
    `features.rows`, int (m,). jobs: what is computed of the run while people look at it.
    """

    run: Run
    features: Features
    record: ClusterRecord
    maps: dict[str, np.ndarray]
    mapped: np.ndarray
    jobs: Jobs = field(default_factory=Jobs)

    @property
    def dataset(self) -> Dataset:
        return self.run.dataset

    @property
    def first_map(self) -> str:
        """Name of the stored map that is shown first."""
        return next(name for name in MAPS if name in self.maps)

    def sample(self, rows: int) -> np.ndarray:
        """Indices of so many features: those of the stored maps, fewer of them, or more; int (rows,), ascending."""
        if rows <= len(self.mapped):
            return self.mapped[:: max(1, len(self.mapped) // rows)][:rows]
        others = np.setdiff1d(np.arange(len(self.features.rows)), self.mapped)
        drawn = np.random.default_rng(0).permutation(others)[: rows - len(self.mapped)]
        return np.sort(np.concatenate([self.mapped, drawn]))

    @cached_property
    def drawable(self) -> np.ndarray:
        """The rows that can be on a map, ascending."""
        most = max(len(self.mapped), min(MOST_DRAWN, len(self.features.rows)))
        return self.features.rows[self.sample(most)]

    @cached_property
    def sprite(self) -> Sprite:
        """The images of the drawable rows, as a PNG."""
        return browser_map.sprite(self.dataset.train_images[self.drawable], "PNG", compress_level=1)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A line for every out-of-fold row: row, label, prediction, confidence, right."""
        classes, probabilities = self.dataset.classes, self.features.probabilities
        table = pd.DataFrame(
            {
                "row": self.features.rows,
                "label": classes[self.features.targets],
                "prediction": classes[probabilities.argmax(axis=1)],
                "confidence": probabilities.max(axis=1),
            }
        )
        return table.assign(right=table["label"] == table["prediction"])

    @cached_property
    def clusters(self) -> pd.DataFrame:
        """`clusters.csv`: row, label, cluster, distance, silhouette.

        Raises:
            UserError: it is missing or damaged.
        """
        table = self._read("clusters.csv", CLUSTERS)
        if len(table) != self.record.rows:
            raise _damaged(self.run, "clusters.csv")
        return table

    @cached_property
    def queue(self) -> pd.DataFrame:
        """`label_queue.csv`, the most suspicious first.

        Raises:
            UserError: it is missing or damaged.
        """
        return self._read("label_queue.csv", QUEUE)

    def _read(self, name: str, columns: dict[str, str]) -> pd.DataFrame:
        """Columns of these kinds, of a CSV that names some of the out-of-fold rows."""
        classes = self.dataset.classes
        labels = {column: classes.dtype.type for column, kinds in columns.items() if kinds == LABELS}
        try:
            table = pd.read_csv(self.run.clusters / name, usecols=list(columns), dtype=labels)[list(columns)]
        except (OSError, ValueError, KeyError, OverflowError):
            raise _damaged(self.run, name) from None
        if table.empty:  # whose columns have no kind
            return table
        fits = [
            table[column].isin(classes).all() if kinds == LABELS else table[column].dtype.kind in kinds
            for column, kinds in columns.items()
        ]
        if not all(fits) or not table["row"].isin(self.features.rows).all():
            raise _damaged(self.run, name)
        return table

    def nearest(self, feature: np.ndarray, count: int, among: np.ndarray | None = None) -> np.ndarray:
        """Indices of the features of the rows nearest in the aligned space, nearest first.

        Args:
            feature: float (d,).
            count: of the rows to find.
            among: indices of the features to look at; all by default.
        """
        among = np.arange(len(self.features.rows)) if among is None else among
        distances = np.linalg.norm(self.features.sources["aligned"][among] - feature, axis=1)
        return among[np.argsort(distances, kind="stable")[:count]]

    def neighbours(self, index: int, count: int) -> np.ndarray:
        """Indices of the rows nearest to a row, both of the features; without itself."""
        near = self.nearest(self.features.sources["aligned"][index], count + 1)
        return near[near != index][:count]

    def sheet(self, rows: np.ndarray, columns: int, scale: int = 2) -> np.ndarray:
        """The images of training rows side by side; see `sheet`."""
        return sheet(self.dataset.train_images[rows], columns, scale)


def sheet(images: np.ndarray, columns: int, scale: int) -> np.ndarray:
    """Images uint8 (n, height, width, channels) side by side, enlarged: uint8 (height, width) or (height, width, 3)."""
    return (255 * tile(images, columns)).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)


def read(run_folder: Path, data_source: str | None, cache: Path) -> ClusteredRun:
    """Read a run that was clustered.

    Raises:
        UserError: there is no such run, it is not finished or clustered, or was made from other data.
    """
    check_contents(run_folder)
    folder = RunFolder(run_folder)
    config = folder.covered_config(folder.recorded_config())
    run = Run(run_folder, config, data.read(data.find(data_source), cache))
    kept = features.restore(run)
    rows, maps = _maps(run, kept.rows)
    return ClusteredRun(run, kept, _record(run), maps, np.searchsorted(kept.rows, rows))


def _maps(run: Run, known: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The rows on the maps, int (m,), some of those `known`; and the maps by name, float (m, 2)."""
    try:
        stored = arrays.read(run.clusters / "embedding.npz", rows="i1", fingerprint="U0")
    except ValueError:
        stored = {"rows": np.empty(0, int), "fingerprint": ""}
    rows, maps = stored["rows"], {name: points for name, points in stored.items() if name in MAPS}
    if (
        not maps
        or str(stored["fingerprint"]) != run.dataset.fingerprint
        or not are_rows_of(rows, len(run.dataset.train_labels))
        or not np.isin(rows, known).all()
        or not all(points.dtype.kind == "f" and points.shape == (len(rows), 2) for points in maps.values())
    ):
        raise UserError(f"run {run.folder} has no maps yet; make them: make cluster RUN={run.folder.name}")
    return rows, maps


def _record(run: Run) -> ClusterRecord:
    try:
        record = ClusterRecord.model_validate(records.read_json(run.clustered() / "metrics.json"))
        Cluster(method=record.method, space=record.space, k=record.k, perplexity=record.perplexity)
    except ValidationError:
        raise _damaged(run, "metrics.json") from None
    return record


def _damaged(run: Run, name: str) -> UserError:
    return UserError(f"{run.clusters / name}: missing or damaged; make it anew: make cluster RUN={run.folder.name}")
