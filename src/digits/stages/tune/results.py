"""The files of a search: the leaderboard, the best config, figures, and the sentences for the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from digits.config import Config
from digits.errors import UserError
from digits.figures import folder as figure_folder
from digits.figures.folder import Captioned
from digits.files.atomic import replacing
from digits.files.records import seal
from digits.stages.tune import figures, findings
from digits.stages.tune.measures import OBJECTIVES, importances
from digits.stages.tune.search import Search
from digits.stages.tune.space import Space

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial

    from digits.stages.tune.oracle import ResumableOracle, TrialRecord

FEWEST = 10  # finished trials that say which hyperparameters matter
SEALED = "results.json"
BESIDE = ("search.json", "nested.json", "*.log")  # files of the folder that change at other times
SCORES = ("log_loss", "log_loss_se", "accuracy", "accuracy_se", "rows", "seconds")
ORDER = {"done": 0, "stopped": 1, "failed": 2, "running": 3}


@dataclass(frozen=True)
class Results:
    """A search with its trials. table: see `tabulate`. spent: seconds."""

    search: Search
    table: pd.DataFrame
    spent: float

    @classmethod
    def of(cls, search: Search, oracle: ResumableOracle) -> Results:
        return cls(search, tabulate(oracle.history(), search), oracle.spent)

    @cached_property
    def done(self) -> pd.DataFrame:
        """The trials that ran through all their folds, the best first."""
        return self.table[self.table["status"] == "done"]

    @property
    def best(self) -> dict[str, Any]:
        """The row of the best trial.

        Raises:
            UserError: no trial ran through.
        """
        if self.done.empty:
            raise UserError(f"no trial ran through; {self.search.folder / 'leaderboard.csv'} says why each did not")
        return self.done.iloc[0].to_dict()

    def best_config(self) -> Config:
        """The config of the best trial, which knows what rows it was chosen on."""
        values = {key: value for key, value in self.best.items() if not (isinstance(value, float) and np.isnan(value))}
        plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}
        chosen = self.search.space.config(plain)
        return chosen.model_copy(update={"tuned_on": self.search.dataset.fingerprint})

    def findings(self) -> list[str]:
        """The sentences for the console and the report."""
        search, trials = self.search, self.table.to_dict("records")
        epochs = search.base.epochs_per_fold * search.tune.folds
        return [
            findings.outcome(trials, search.tune.objective),
            *findings.saving(trials, search.tune, epochs),
            findings.caveat(search.described_rows, search.tune),
        ]

    def next_command(self) -> str:
        """The command that trains the best config; its run must not be called `best`, as that of configs/best.yaml."""
        return f"make submit CONFIG={self.search.folder / 'best.yaml'} RUN=tuned-{self.search.folder.name}"

    def write(self) -> None:
        """Write `leaderboard.csv`, `best.yaml` and what the report takes."""
        folder = self.search.folder
        with replacing(folder / "leaderboard.csv") as temporary:
            self.table.to_csv(temporary, index=False)
        if not self.done.empty:
            with replacing(folder / "best.yaml") as temporary:
                temporary.write_text(self._best_yaml(), encoding="utf-8")
        self._seal()

    def write_figures(self) -> None:
        """Draw the figures; those that compare trials need some."""
        self._seal(figure_folder.draw(self.search.folder, self._figures()))

    def _seal(self, captions: dict[str, dict[str, str]] | None = None) -> None:
        """Seal the folder; captions: of the figures, by file, where they are of these trials."""
        record = {"seconds": {"search": self.spent}, "findings": self.findings(), "captions": captions or {}}
        seal(self.search.folder, record, SEALED, beside=BESIDE)

    def _best_yaml(self) -> str:
        """The best trial's config: what differs from the defaults, below what it is."""
        search = self.search
        head = [
            f"Found by `make tune SPACE={search.file}`.",
            *findings.chosen(self.best, len(self.table), search.tune),
            findings.caveat(search.described_rows, search.tune),
            f"  {self.next_command()}",
        ]
        differing = self.best_config().model_dump(
            mode="json", exclude={"tune", "cluster", "ensemble"}, exclude_defaults=True
        )
        return "".join(f"# {line}\n" for line in head) + "\n" + yaml.safe_dump(differing, sort_keys=False)

    def _figures(self) -> Iterator[Captioned]:
        space, done, objective = self.search.space, self.done, self.search.tune.objective
        if len(done) < 2:
            return
        label, lower, values = findings.words(objective), is_lower_better(objective), done[objective].to_numpy()
        scored = self.table[self.table[objective].notna()].sort_values("ended")
        columns = {key: done[key].to_numpy() for key in space.ranges}
        logs = [key for key, range_ in space.ranges.items() if range_.log]
        through = (scored["status"] == "done").to_numpy()
        captions = findings.captions(scored.to_dict("records"), objective)
        times, objectives = scored["ended"].to_numpy(), scored[objective].to_numpy()
        progress = figures.search_progress(times, objectives, through, label, lower)
        yield "progress", progress, captions["progress"]
        yield "parallel", figures.parallel_coordinates(columns, values, logs, lower), captions["parallel"]
        if len(done) >= FEWEST:
            codes = {
                key: pd.factorize(column, sort=True)[0] if column.dtype == object else column
                for key, column in columns.items()
            }
            found, explained = importances(codes, values, space.base.seed)
            captions = findings.captions(scored.to_dict("records"), objective, explained)
            yield "importance", figures.hyperparameter_importance(found), captions["importance"]
            chosen = {key: columns[key] for key in list(found)[:4]}
            yield "slices", figures.slices(chosen, values, logs, label, lower), captions["slices"]


def tabulate(history: list[tuple[Trial, TrialRecord]], search: Search) -> pd.DataFrame:
    """A row a trial, the best first, then those that were stopped, failed or still run.

    Columns: trial, status (done, stopped, failed, running), log_loss, log_loss_se, accuracy, accuracy_se, rows,
    seconds (of training), wall (seconds), epochs, total (epochs that it was given), began and ended (in seconds that
    the search had taken), a column for each searched key and for keras-tuner's own values, and reason (why it failed).
    """
    objective = search.tune.objective
    table = pd.DataFrame([_row(trial, record, search.space) for trial, record in history])
    if table.empty:
        return pd.DataFrame(columns=["trial", "status", "ended", objective])
    keys = pd.DataFrame(
        {"status": table["status"].map(ORDER), "score": table[objective] * (1 if is_lower_better(objective) else -1)}
    )
    return table.iloc[keys.sort_values(["status", "score"], kind="stable").index].reset_index(drop=True)


def is_lower_better(objective: str) -> bool:
    return OBJECTIVES[objective] == "min"


def _row(trial: Trial, record: TrialRecord, space: Space) -> dict[str, Any]:
    scores = {name: trial.metrics.get_last_value(name) if trial.metrics.exists(name) else np.nan for name in SCORES}
    status = {"COMPLETED": "stopped" if record.is_stopped else "done", "FAILED": "failed"}.get(trial.status, "running")
    training = {"wall": record.seconds, "epochs": record.epochs, "total": record.total}
    times = {"began": record.began, "ended": record.ended}
    values = {
        key: value
        for key, value in trial.hyperparameters.values.items()
        if key in space.ranges or key.startswith("tuner/")
    }
    return {"trial": trial.trial_id, "status": status} | scores | training | times | values | {"reason": record.reason}
