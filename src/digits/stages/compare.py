"""Compare two runs on the out-of-fold rows that both have: never by two accuracies alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.table import Table

from digits.ensemble import comparison, metrics
from digits.errors import UserError
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.progress import console, duration
from digits.runs import RunFolder
from digits.seeds import derive


def run(a: RunFolder, b: RunFolder, folder: Path) -> None:
    """Print the comparison and write the rows that changed sides to `<folder>/<a>-<b>.csv`.

    Raises:
        UserError: a run has no out-of-fold probabilities, or they are of other rows.
    """
    ours, theirs = _read(a), _read(b)
    if ours["fingerprint"] != theirs["fingerprint"]:
        raise UserError(f"runs {a.folder.name} and {b.folder.name} were made from other training rows")
    rows, in_a, in_b = np.intersect1d(ours["rows"], theirs["rows"], return_indices=True)
    if not len(rows):
        raise UserError(f"runs {a.folder.name} and {b.folder.name} have no out-of-fold row in common")
    labels, classes = ours["labels"][in_a], ours["classes"]
    chances = {"A": ours["probabilities"][in_a], "B": theirs["probabilities"][in_b]}
    chosen = {side: classes[probabilities.argmax(axis=1)] for side, probabilities in chances.items()}
    right = {side: labels == choice for side, choice in chosen.items()}
    targets = np.searchsorted(classes, labels)
    losses = {side: metrics.log_losses(of, targets) for side, of in chances.items()}
    path = folder / f"{a.folder.name}-{b.folder.name}.csv"
    moved = right["A"] != right["B"]
    with replacing(path) as temporary:
        columns = np.column_stack([rows, labels, chosen["A"], chosen["B"]])[moved]
        np.savetxt(temporary, columns, fmt="%d", delimiter=",", header="row,label,a,b", comments="")
    _print(a, b, labels, right, losses)
    console().print(f"The {moved.sum()} rows that changed sides: {path}", soft_wrap=True)


def _read(run: RunFolder) -> dict[str, np.ndarray]:
    try:
        return arrays.read_probabilities(run.oof)
    except ValueError:
        raise UserError(
            f"run {run.folder}: no readable out-of-fold probabilities; make them: make submit RUN={run.folder.name}"
        ) from None


def _print(
    a: RunFolder, b: RunFolder, labels: np.ndarray, right: dict[str, np.ndarray], losses: dict[str, np.ndarray]
) -> None:
    draw = np.random.default_rng(derive(0, "compare"))
    accuracy = comparison.accuracy_difference(right["A"], right["B"], draw)
    loss = comparison.mean_difference(losses["A"], losses["B"], draw)
    table = Table(title=f"{len(labels):,} out-of-fold rows", title_justify="left")
    for heading in ("", f"A: {a.folder.name}", f"B: {b.folder.name}", "B - A", "95 % interval"):
        table.add_column(heading)
    for name, values, difference in (("accuracy", right, accuracy), ("log loss", losses, loss)):
        means = [f"{values[side].mean():.5f}" for side in "AB"]
        interval = f"{difference.low:+.5f} to {difference.high:+.5f}"
        table.add_row(name, *means, f"{difference.value:+.5f}", interval)
    gained, lost = right["B"] & ~right["A"], right["A"] & ~right["B"]
    table.add_row("right alone", str(lost.sum()), str(gained.sum()), f"{gained.sum() - lost.sum():+d}")
    for label in np.unique(labels):
        of = labels == label
        net = int(gained[of].sum() - lost[of].sum())
        table.add_row(f"  of label {label}", str(lost[of].sum()), str(gained[of].sum()), f"{net:+d}")
    seconds = [records.read_json(run.metrics, core_seconds=float)["core_seconds"] for run in (a, b)]
    ratio = f"{seconds[1] / seconds[0]:.2f} x"
    table.add_row("training, core time", *(duration(taken) for taken in seconds), ratio)
    out = console()
    out.print(table)
    chance = comparison.mcnemar(right["A"], right["B"])
    verdict = "the two differ" if chance < 0.05 else "no difference is shown"
    out.print(f"McNemar's exact test: p = {chance:.3g}, {verdict} (two single runs, not two recipes)", soft_wrap=True)
