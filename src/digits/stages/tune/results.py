"""What people see of a search: lines and a live table while it runs, files and figures when it has ended."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from digits import progress
from digits.config import Config, Tune
from digits.data import Dataset
from digits.errors import UserError
from digits.files.atomic import replacing
from digits.files.records import seal, write_json
from digits.progress import console, duration
from digits.stages.tune import figures
from digits.stages.tune import measures as tuning
from digits.stages.tune.space import Space
from digits.stages.tune.trial import Score, combine

if TYPE_CHECKING:
    from keras_tuner.engine.trial import Trial

    from digits.stages.tune.oracle import Record

Books = Sequence[tuple["Trial", "Record"]]
FEWEST = 10  # finished trials that say which hyperparameters matter
MOST_FAILURES = 5  # trials at the beginning of a search
SHOWN = 5  # trials of the closing table
SEALED = "results.json"
BESIDE = ("search.json", "nested.json", "*.log")  # files of the folder that change at other times


@dataclass(frozen=True)
class What:
    """What is searched, on what, and where its results go. outer: the fold left out, if any."""

    space: Space
    file: Path
    dataset: Dataset
    folder: Path
    outer: int | None

    @property
    def tune(self) -> Tune:
        return self.space.base.tune

    @property
    def rows(self) -> str:
        """The rows that are searched on, in words."""
        total = len(self.dataset.train_labels)
        some = f"{self.tune.rows:,} of " if self.tune.rows and self.tune.rows < total else ""
        left_out = f" outside fold {self.outer} of {self.space.base.folds.count}" if self.outer is not None else ""
        return f"{some}the {total:,} training rows of {self.dataset.name}{left_out}"


@dataclass(frozen=True)
class Ended:
    """A search with its results. table: see `tabulate`."""

    what: What
    table: pd.DataFrame
    spent: float

    @property
    def through(self) -> pd.DataFrame:
        """The trials that ran through all their folds, the best first."""
        return self.table[self.table["status"] == "done"]

    def best_config(self) -> Config:
        """The config of the best trial.

        Raises:
            UserError: no trial ran through.
        """
        if self.through.empty:
            raise UserError(f"no trial ran through; {self.what.folder / 'leaderboard.csv'} says why each did not")
        return self.what.space.config(_values(self.through.iloc[0]))


def tabulate(books: Books, space: Space) -> pd.DataFrame:
    """A row a trial, the best first, then those that were stopped, failed or still run.

    Columns: trial, status (done, stopped, failed, running), log_loss, log_loss_se, accuracy, accuracy_se, rows,
    seconds (of training), wall (seconds), epochs, total (epochs that it was given), began and ended (in seconds that
    the search had taken), a column for each searched key and for keras-tuner's own values, and reason (why it failed).
    """
    return _ranked(pd.DataFrame([_row(trial, record) for trial, record in books]), space.base.tune.objective)


def _row(trial: Trial, record: Record) -> dict[str, Any]:
    figures_ = {}
    for name in ("log_loss", "log_loss_se", "accuracy", "accuracy_se", "rows", "seconds"):
        figures_[name] = trial.metrics.get_last_value(name) if trial.metrics.exists(name) else np.nan
    values = {key: value for key, value in trial.hyperparameters.values.items() if key != "search"}
    status = {"COMPLETED": "stopped" if record.is_stopped else "done", "FAILED": "failed"}.get(trial.status, "running")
    own = {"wall": record.seconds, "epochs": record.epochs, "total": record.total}
    times = {"began": record.began, "ended": record.ended}
    return {"trial": trial.trial_id, "status": status} | figures_ | own | times | values | {"reason": record.reason}


def _ranked(table: pd.DataFrame, objective: str) -> pd.DataFrame:
    if table.empty:
        return pd.DataFrame(columns=["trial", "status", "ended", objective])
    order = {"done": 0, "stopped": 1, "failed": 2, "running": 3}
    keys = pd.DataFrame({"status": table["status"].map(order), "score": table[objective] * _sign(objective)})
    return table.iloc[keys.sort_values(["status", "score"], kind="stable").index].reset_index(drop=True)


def _sign(objective: str) -> int:
    """1 where lower is better, else -1."""
    return 1 if objective == "log_loss" else -1


def _values(row: pd.Series) -> dict[str, Any]:
    """keras-tuner's values of a row of the table, as the plain Python values that they were."""
    values = {key: value for key, value in row.items() if not (isinstance(value, float) and np.isnan(value))}
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}


class Board:
    """A live table on a terminal, a line a trial elsewhere."""

    def __init__(self, what: What, workers: int) -> None:
        self.what, self.tune, self.workers = what, what.tune, workers
        self.out = console()
        self.live = Live(console=self.out, transient=True, refresh_per_second=2) if progress.is_terminal() else None
        self.told: set[str] = set()

    def __enter__(self) -> Board:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def skip(self, books: Books) -> None:
        """Take trials that ended in an earlier sitting as told."""
        self.told = {trial.trial_id for trial, record in books if record.ended}
        if self.told:
            self.say(f"{len(self.told)} trials have ended already")

    def say(self, line: str) -> None:
        self.out.print(line, soft_wrap=True)

    def update(self, books: Books, spent: float) -> None:
        """Tell of trials that ended since the last call, and write the leaderboard and the best config anew."""
        new = [trial.trial_id for trial, record in books if record.ended and trial.trial_id not in self.told]
        if new or self.live:
            table = tabulate(books, self.what.space)
            for trial_id in new:
                self.told.add(trial_id)
                self.say(self._line(table, trial_id, spent))
            if new:
                _write_tables(Ended(self.what, table, spent))
            if self.live:
                self.live.update(self._running(table, spent))

    def _line(self, table: pd.DataFrame, trial_id: str, spent: float) -> str:
        row = table[table["trial"] == trial_id].iloc[0]
        best = table[table["status"] == "done"].head(1)["trial"].eq(trial_id).any()
        parts = [f"trial {trial_id}", f"{_score(row, self.tune.objective)}{' (the best so far)' if best else ''}"]
        parts += [_short(self.what.space, row), duration(row["wall"]), self._left(table, spent)]
        return "  ".join(part for part in parts if part)

    def _left(self, table: pd.DataFrame, spent: float) -> str:
        """How long the search will go on, by the trials so far."""
        ended = table[table["ended"].notna()]
        estimates = []
        if self.tune.trials:
            left = self.tune.trials - len(ended)
            estimates.append(left * statistics.median(ended["wall"]) / self.workers)
        if self.tune.hours:
            estimates.append(3600 * self.tune.hours - spent)
        return f"{duration(max(min(estimates), 0))} left" if estimates else ""

    def _running(self, table: pd.DataFrame, spent: float) -> Table:
        shown = Table(title=f"{self.what.file.stem}: {duration(spent)}", title_justify="left")
        for heading in ("trial", self.tune.objective.replace("_", " "), "changed", "epochs", "time"):
            shown.add_column(heading)
        rows = pd.concat([table[table["status"] == "done"].head(1), table[table["status"] == "running"]])
        for _, row in rows.iterrows():
            running = row["status"] == "running"
            score = "running" if running else f"{_score(row, self.tune.objective)}, the best"
            taken = spent - row["began"] if running else row["wall"]
            epochs = f"{row['epochs']} of {row['total'] or '?'}"
            shown.add_row(row["trial"], score, _short(self.what.space, row), epochs, duration(taken))
        return shown


def _score(row: pd.Series, objective: str) -> str:
    if row["status"] == "failed":
        return f"failed: {row['reason']}"
    if row["status"] == "stopped":
        return f"{objective.replace('_', ' ')} {row[objective]:.5f}, stopped: worse than the median"
    return f"{objective.replace('_', ' ')} {row[objective]:.5f} ± {row[f'{objective}_se']:.5f}"


def _short(space: Space, row: pd.Series) -> str:
    """The searched values of a trial, by the last parts of their keys."""
    return ", ".join(f"{key.rpartition('.')[2]} {_plain(row[key])}" for key in space.ranges)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(what: What, books: Books, spent: float) -> Ended:
    """Write `leaderboard.csv`, `best.yaml` and the figures of what the books hold."""
    ended = Ended(what, tabulate(books, what.space), spent)
    _write_tables(ended)
    _draw(ended)
    _seal(ended)
    return ended


def _write_tables(ended: Ended) -> None:
    folder = ended.what.folder
    with replacing(folder / "leaderboard.csv") as temporary:
        ended.table.to_csv(temporary, index=False)
    if not ended.through.empty:
        with replacing(folder / "best.yaml") as temporary:
            temporary.write_text(_best_yaml(ended), encoding="utf-8")
    _seal(ended)


def _seal(ended: Ended) -> None:
    """Write the checksums of the tables and figures, for the report."""
    seal(ended.what.folder, {"seconds": {"search": ended.spent}}, SEALED, beside=BESIDE)


def _best_yaml(ended: Ended) -> str:
    """The best trial's config: what differs from the defaults, with the trial's figures above it."""
    what, best = ended.what, ended.through.iloc[0]
    config = ended.best_config().model_copy(update={"tuned_on": what.dataset.fingerprint})
    differing = config.model_dump(mode="json", exclude={"tune", "cluster", "ensemble"}, exclude_defaults=True)
    head = [
        f"Trial {best['trial']} of {len(ended.table)} of `make tune SPACE={what.file}` ({what.tune.tuner}, by "
        f"{what.tune.objective.replace('_', ' ')}).",
        f"Log loss {best['log_loss']:.5f} +- {best['log_loss_se']:.5f}, accuracy {best['accuracy']:.5f} +- "
        f"{best['accuracy_se']:.5f}, mean over {what.tune.folds} inner folds; trained in {duration(best['seconds'])}.",
        f"Searched on {what.rows}: this config's out-of-fold score on them is optimistic.",
        f"  {_next(what)}",
    ]
    return "".join(f"# {line}\n" for line in head) + "\n" + yaml.safe_dump(differing, sort_keys=False)


def _next(what: What) -> str:
    """The command that trains the best config; its run must not be called `best`, as that of configs/best.yaml."""
    return f"make submit CONFIG={what.folder / 'best.yaml'} RUN=tuned-{what.folder.name}"


def _draw(ended: Ended) -> None:
    """The figures; those that compare trials need some."""
    what, through = ended.what, ended.through
    if len(through) < 2:
        return
    objective, label = what.tune.objective, what.tune.objective.replace("_", " ")
    scored = ended.table[ended.table[objective].notna()].sort_values("ended")
    columns = {key: through[key].to_numpy() for key in what.space.ranges}
    logs = [key for key, range_ in what.space.ranges.items() if range_.log]
    lower = _sign(objective) > 0
    drawn = {
        "progress": figures.search_progress(
            scored["ended"].to_numpy(),
            scored[objective].to_numpy(),
            (scored["status"] == "done").to_numpy(),
            label,
            lower,
        ),
        "parallel": figures.parallel_coordinates(columns, through[objective].to_numpy(), logs, label, lower),
    }
    if len(through) >= FEWEST:
        codes = {key: pd.factorize(of, sort=True)[0] if of.dtype == object else of for key, of in columns.items()}
        found, explained = tuning.importances(codes, through[objective].to_numpy(), what.space.base.seed)
        drawn["importance"] = figures.hyperparameter_importance(found, explained)
        first = list(found)[:4]
        chosen = {key: columns[key] for key in first}
        drawn["slices"] = figures.pairwise_slices(chosen, through[objective].to_numpy(), logs, label, lower)
    for name, figure in drawn.items():
        with replacing(what.folder / f"{name}.png") as temporary:
            figure.savefig(temporary)


def check(books: Books) -> None:
    """Stop a search whose trials all fail.

    Raises:
        UserError: the first ones did; says why the last of them did.
    """
    ended = [(trial, record) for trial, record in books if record.ended]
    if len(ended) >= MOST_FAILURES and all(trial.status == "FAILED" for trial, _ in ended):
        raise UserError(f"the first {len(ended)} trials all failed, the last one so: {ended[-1][1].reason}")


def show(ended: Ended, out: Console) -> None:
    """Print the best trials, what the search took, and what to type next.

    Raises:
        UserError: no trial ran through.
    """
    what, table = ended.what, ended.table
    objective = what.tune.objective
    counts = table["status"].value_counts().to_dict()
    shown = Table(title=f"search {what.folder}", title_justify="left")
    for heading in ("trial", "log loss", "accuracy", "training"):
        shown.add_column(heading, no_wrap=True)
    shown.add_column("values")
    for _, row in ended.through.head(SHOWN).iterrows():
        scores = [f"{row[name]:.5f} ± {row[f'{name}_se']:.5f}" for name in ("log_loss", "accuracy")]
        shown.add_row(row["trial"], *scores, duration(row["seconds"]), _short(what.space, row))
    if not ended.through.empty:
        out.print(shown)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    out.print(
        f"{len(table)} trials in {duration(ended.spent)}: {told}; by {objective.replace('_', ' ')}", soft_wrap=True
    )
    if ended.through.empty:
        raise UserError(f"no trial ran through; {what.folder / 'leaderboard.csv'} says why each did not")
    _show_saving(ended, out)
    out.print(
        f"Searched on {what.rows}, mean over {what.tune.folds} inner folds; ± is the standard error of scoring these "
        "rows. The best of many is flattered by chance, and a submission's out-of-fold score by the search.",
        soft_wrap=True,
    )
    out.print(f"Next: {_next(what)}", soft_wrap=True)


def _show_saving(ended: Ended, out: Console) -> None:
    """What leaving off early has spared."""
    table, tune = ended.table, ended.what.tune
    if tune.tuner == "hyperband":
        full = ended.what.space.base.training.epochs * tune.folds * len(ended.what.space.base.architectures)
        begun = int((table["tuner/round"] == 0).sum())
        spared = 1 - table["epochs"].sum() / (begun * full)
        out.print(f"Hyperband trained {begun} configs with {spared:.0%} fewer epochs than all to the end.")
        return
    stopped = table[table["status"] == "stopped"]
    if not stopped.empty:
        spared = (stopped["seconds"] * (stopped["total"] / stopped["epochs"] - 1)).sum()
        out.print(f"The median rule spared about {duration(spared)} of training.")


def write_nested(path: Path, scores: list[Score], dataset: Dataset) -> None:
    """Write and print the score of the tuned configs on the outer folds that their searches did not see."""
    whole = combine(scores)
    write_json(path, asdict(whole) | {"folds": [asdict(score) for score in scores]})
    console().print(
        f"Nested: accuracy {whole.accuracy:.5f} ± {whole.accuracy_se:.5f}, log loss {whole.log_loss:.5f} ± "
        f"{whole.log_loss_se:.5f} on {whole.rows:,} rows of {dataset.name} that the searches did not see: an honest "
        "score of a tuned config's single networks",
        soft_wrap=True,
    )
