"""Compare two runs on the out-of-fold rows that both have: never by two accuracies alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.table import Table

from digits.competition import COMPETITION
from digits.ensemble import comparison, metrics
from digits.errors import UserError
from digits.files import records
from digits.progress import console, duration
from digits.runs import RunFolder
from digits.seeds import derive


def run(a: RunFolder, b: RunFolder, folder: Path) -> None:
    """Print the comparison and write the rows that only one run has right to `<folder>/<a>-<b>.csv`.

    Raises:
        UserError: a run has no out-of-fold probabilities, or they are of other rows.
    """
    first, second = a.probabilities(a.oof), b.probabilities(b.oof)
    if first["fingerprint"] != second["fingerprint"]:
        raise UserError(f"runs {a.folder.name} and {b.folder.name} were made from other training rows")
    rows, in_a, in_b = np.intersect1d(first["rows"], second["rows"], return_indices=True)
    if not len(rows):
        raise UserError(f"runs {a.folder.name} and {b.folder.name} have no out-of-fold row in common")
    labels, classes = first["labels"][in_a], first["classes"]
    probabilities = {"A": first["probabilities"][in_a], "B": second["probabilities"][in_b]}
    chosen = {side: classes[values.argmax(axis=1)] for side, values in probabilities.items()}
    right = {side: labels == choices for side, choices in chosen.items()}
    targets = np.searchsorted(classes, labels)
    losses = {side: metrics.log_losses(values, targets) for side, values in probabilities.items()}
    path, changed = folder / f"{a.folder.name}-{b.folder.name}.csv", right["A"] != right["B"]
    columns = (rows, labels, chosen["A"], chosen["B"])
    records.write_csv(path, ["row", "label", "a", "b"], zip(*(column[changed] for column in columns), strict=True))
    _print((a, b), labels, right, losses)
    console().print(f"The {changed.sum()} rows that only one of them has right: {path}", soft_wrap=True)


def _print(
    runs: tuple[RunFolder, RunFolder], labels: np.ndarray, right: dict[str, np.ndarray], losses: dict[str, np.ndarray]
) -> None:
    generator = np.random.default_rng(derive(0, "compare"))
    accuracy = comparison.accuracy_difference(right["A"], right["B"], generator)
    loss = comparison.mean_difference(losses["A"], losses["B"], generator)
    headings = ("", f"A: {runs[0].folder.name}", f"B: {runs[1].folder.name}", "B - A", "95% interval")
    table = Table(*headings, title=f"{len(labels):,} out-of-fold rows", title_justify="left")
    for name, values, difference in (("accuracy", right, accuracy), ("log loss", losses, loss)):
        means = [f"{values[side].mean():.5f}" for side in "AB"]
        interval = f"{difference.low:+.5f} to {difference.high:+.5f}"
        table.add_row(name, *means, f"{difference.value:+.5f}", interval)
    alone = {"right alone": np.ones(len(labels), bool)}
    alone |= {f"  of {COMPETITION.noun} {label}": labels == label for label in np.unique(labels)}
    for name, selected in alone.items():
        lost, gained = (right["A"] & ~right["B"] & selected).sum(), (right["B"] & ~right["A"] & selected).sum()
        table.add_row(name, str(lost), str(gained), f"{gained - lost:+d}")
    expected = {"core_seconds": float, "predicted_score": float, "kaggle_score": float | None}
    recorded = [records.read_json(run.metrics, **expected) for run in runs]
    for name, key in (("predicted leaderboard score", "predicted_score"), ("Kaggle's public score", "kaggle_score")):
        scores = [record.get(key) for record in recorded]
        if scores != [None, None]:
            cells = ["-" if score is None else f"{score:.5f}" for score in scores]
            table.add_row(name, *cells, "" if None in scores else f"{scores[1] - scores[0]:+.5f}")
    seconds = [record["core_seconds"] for record in recorded]
    table.add_row("training, core time", *map(duration, seconds), f"{seconds[1] / seconds[0]:.2f} x")
    out = console()
    out.print(table)
    chance = comparison.mcnemar(right["A"], right["B"])
    verdict = "the two differ" if chance < 0.05 else "no difference is shown"
    out.print(f"McNemar's exact test: p = {chance:.3g}, {verdict} (two single runs, not two recipes)", soft_wrap=True)
