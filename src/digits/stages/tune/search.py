"""A search: a space of configs, the rows that it may see, and the folder of its results."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from digits import data
from digits.config import Config, Tune, differences, parse_recorded
from digits.data import Dataset, Rows
from digits.errors import UserError, shown
from digits.files import records
from digits.seeds import as_int, derive
from digits.stages.tune.space import Space
from digits.training import backend

logger = logging.getLogger(__name__)

LIMITS = ("trials", "hours", "trial_minutes")  # of the tune settings: may change on resuming


@dataclass(frozen=True)
class Search:
    """A search: its space, its rows and the folder of its results.

    file: where the space comes from; named in what is written. outer: fold of `config.folds` whose rows the search must
    not see; None searches on all.
    """

    space: Space
    file: Path
    dataset: Dataset
    folder: Path
    outer: int | None = None

    @property
    def base(self) -> Config:
        return self.space.base

    @property
    def tune(self) -> Tune:
        return self.space.base.tune

    @property
    def described_rows(self) -> str:
        """The rows that are searched on, in words."""
        total = len(self.dataset.train_labels)
        some = f"{self.tune.rows:,} of " if self.tune.rows and self.tune.rows < total else ""
        left_out = f" outside fold {self.outer} of {self.base.folds.count}" if self.outer is not None else ""
        return f"{some}the {total:,} training rows of {self.dataset.name}{left_out}"

    def outside(self, fold: int) -> Search:
        """Search of the same space on the rows outside an outer fold."""
        return replace(self, folder=self.folder / f"outer-{fold}", outer=fold)

    def outer_folds(self) -> np.ndarray:
        """Outer fold of each training row: int64 (n,)."""
        return data.assign(self.dataset.train_images, self.dataset.train_labels, self.base.folds.count, self.base.seed)

    def rows(self) -> tuple[Rows, np.ndarray]:
        """The rows that the search may see, and the inner fold of each: int64 (n,)."""
        labels, wanted = self.dataset.train_labels, self.tune.rows
        chosen = np.arange(len(labels)) if self.outer is None else np.flatnonzero(self.outer_folds() != self.outer)
        if wanted is not None and wanted < len(chosen):
            from sklearn.model_selection import train_test_split

            state = as_int(derive(self.base.seed, "tune", "rows"))
            try:
                drawn, _ = train_test_split(chosen, train_size=wanted, stratify=labels[chosen], random_state=state)
            except ValueError as error:  # a class of one row, or more classes than rows are wanted
                raise UserError(f"tune.rows={wanted}: {shown(str(error))} Set tune.rows=null to take all") from None
            chosen = np.sort(drawn)
        seed = as_int(derive(self.base.seed, "tune", "folds"))  # not the folds that the tuned config is scored with
        rows = self.dataset.rows.take(chosen)
        return rows, data.assign(rows.images, labels[chosen], self.tune.folds, seed, "tune.folds")

    def claim(self) -> None:
        """Take the folder for this search, or check that it was begun with the same space, data and settings.

        Raises:
            UserError: it was begun otherwise; says which keys differ.
        """
        record = {"config": _shaping(self.base), "space": self.space.record(), "data": self.dataset.fingerprint}
        record["corrections"] = self.dataset.fingerprints.get("corrections")
        path = self.folder / "search.json"
        before = record | {"versions": backend.versions(), "machine": backend.machine()}
        if records.stands_twice(path):
            before = records.read_twice(path, config=dict, space=dict, data=str, versions=dict)
            recorded = _shaping(parse_recorded(before["config"], str(path)))
            changed = differences(record, {key: before.get(key) for key in record} | {"config": recorded})
            if changed:
                raise UserError(
                    f"search {self.folder} was begun otherwise: {', '.join(changed)}; choose another RUN=, or delete "
                    f"{self.folder}"
                )
            if before["versions"] != backend.versions():
                logger.warning("search %s was begun with other versions of its packages", self.folder)
        records.write_twice(path, before)


def _shaping(config: Config) -> dict[str, Any]:
    """Settings that may not change on resuming."""
    settings = config.model_dump(mode="json")
    return settings | {"tune": {key: value for key, value in settings["tune"].items() if key not in LIMITS}}
