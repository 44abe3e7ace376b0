"""Console of a search: a line a trial, a live table, and the closing table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.live import Live
from rich.table import Table

from digits import progress
from digits.progress import console, duration
from digits.stages.tune import findings
from digits.stages.tune.results import Results
from digits.stages.tune.search import Search
from digits.stages.tune.space import Space
from digits.stages.tune.trials import Trials

if TYPE_CHECKING:
    from digits.stages.tune.oracle import ResumableOracle

SHOWN = 5  # trials of the closing table


class Board:
    """A line a trial, and on a terminal a live table of those that run.

    trials: those that run. oracle: knows those that ended. workers: folds at a time.
    """

    def __init__(self, search: Search, trials: Trials, oracle: ResumableOracle, workers: int) -> None:
        self.search, self.trials, self.oracle, self.workers = search, trials, oracle, workers
        self.out = console()
        self.live = Live(console=self.out, transient=True, refresh_per_second=2) if progress.is_terminal() else None
        self.best: tuple[str, ...] | None = None  # line of the live table
        self.shown = {trial.trial_id for trial, record in oracle.history() if record.ended}
        if self.shown:
            self.out.print(f"{len(self.shown)} trials have ended already")

    def __enter__(self) -> Board:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def update(self) -> None:
        """Print a line for each trial that has ended since the last call, and write the tables anew."""
        new = [
            trial.trial_id
            for trial, record in self.oracle.history()
            if record.ended is not None and trial.trial_id not in self.shown
        ]
        if not new:
            return
        results = Results.of(self.search, self.oracle)
        for trial_id in new:
            self.shown.add(trial_id)
            self.out.print(self._line(results, trial_id), soft_wrap=True)
        results.write()
        for row in results.done.head(1).to_dict("records"):
            score = f"{findings.verdict(row, self.search.tune.objective)}, the best"
            self.best = (row["trial"], score, _short(self.search.space, row), "", duration(row["wall"]))

    def tick(self) -> None:
        """Redraw the live table; called by another thread."""
        if not self.live:
            return
        spent = self.oracle.spent
        table = Table(title=f"{self.search.file.stem}: {duration(spent)}", title_justify="left")
        for heading in ("trial", findings.words(self.search.tune.objective), "changed", "epochs", "time"):
            table.add_column(heading)
        if self.best:
            table.add_row(*self.best)
        for name, running in list(self.trials.running.items()):
            values, epochs = _short(self.search.space, running.values), f"{running.epochs} of {running.total}"
            table.add_row(name, "running", values, epochs, duration(spent - running.began))
        self.live.update(table)

    def _line(self, results: Results, trial_id: str) -> str:
        table = results.table
        row = table[table["trial"] == trial_id].iloc[0].to_dict()
        is_best = results.done.head(1)["trial"].eq(trial_id).any()
        verdict = f"{findings.verdict(row, self.search.tune.objective)}{' (the best so far)' if is_best else ''}"
        values = _short(self.search.space, row)
        parts = [f"trial {trial_id}", verdict, values, duration(row["wall"]), self._left(table, results.spent)]
        return "  ".join(part for part in parts if part)

    def _left(self, table: pd.DataFrame, spent: float) -> str:
        """Time left for the search, by the trials so far."""
        tune, ended = self.search.tune, table[table["ended"].notna()]
        estimates = []
        if tune.trials:
            estimates.append((tune.trials - len(ended)) * statistics.median(ended["wall"]) / self.workers)
        if tune.hours:
            estimates.append(3600 * tune.hours - spent)
        return f"{duration(max(min(estimates), 0))} left" if estimates else ""


def show(results: Results) -> None:
    """Print the best trials, what the search took, and what to type next.

    Raises:
        UserError: no trial ran through.
    """
    out, search = console(), results.search
    table = Table(title=f"search {search.folder}", title_justify="left")
    for heading in ("trial", "log loss", "accuracy", "training"):
        table.add_column(heading, no_wrap=True)
    table.add_column("values")
    for row in results.done.head(SHOWN).to_dict("records"):
        scores = [f"{row[name]:.5f} ± {row[f'{name}_se']:.5f}" for name in ("log_loss", "accuracy")]
        table.add_row(row["trial"], *scores, duration(row["seconds"]), _short(search.space, row))
    if not results.done.empty:
        out.print(table)
    out.print(f"{len(results.table)} trials in {duration(results.spent)}", soft_wrap=True)
    for sentence in results.findings():
        out.print(sentence, soft_wrap=True)
    _ = results.best  # raises where there is none
    out.print(f"Next: {results.next_command()}", soft_wrap=True)


def _short(space: Space, values: Mapping[str, Any]) -> str:
    """The searched values of a trial, by the last parts of their keys."""
    return ", ".join(f"{key.rpartition('.')[2]} {_plain(values[key])}" for key in space.ranges)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
