"""Ensemble the members of a run, say what score to expect, and write the submission."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from digits.config import Config
from digits.data import DEMO, submission
from digits.ensemble import logits, metrics
from digits.ensemble.logits import BELIEFS, Logits
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.progress import console, duration
from digits.runs import Member, Run
from digits.training import cost


def run(
    run: Run,
    seconds: dict[str, float],
    members: list[Member] | None = None,
    rest: str | None = None,
) -> dict[str, Any]:
    """Write `oof.npz`, `test.npz`, `submission.csv`, `confusion.png` and `metrics.json`, and print the closing table.

    Args:
        run: with every member trained that is needed; the caller holds its lock.
        seconds: wall time of the stages before this one; the table and the metrics show it.
        members: that are needed; by default all of the config's.
        rest: the command that trains the others.

    Returns:
        The metrics.

    Raises:
        UserError: a member is missing or damaged.
    """
    run.claim()
    loaded = (logits.load(run, member) for member in members or run.members)
    figures = ensemble(run, loaded, seconds)
    _draw(run)
    _print(run, figures, rest)
    return figures


def ensemble(run: Run, members: Iterable[Logits], seconds: dict[str, float]) -> dict[str, Any]:
    """Write the probabilities, the submission and the metrics of these members; the metrics."""
    started = time.perf_counter()
    members, targets = list(members), run.dataset.targets
    calibrated = logits.calibrate(members, targets)
    loaded = calibrated.members
    rule = run.config.ensemble.rule
    scored, oof = logits.out_of_fold(loaded, rule)
    test = logits.test(loaded, rule)
    figures = _measure(loaded, targets[scored], scored, oof)
    figures |= _predict(loaded, test, rule, figures) | {"temperature": calibrated.temperatures}
    figures |= _cost(run, [of.member for of in members])
    labels = run.dataset.classes[test.argmax(axis=1)]
    if run.dataset.test_labels is not None:
        figures["true_score"] = float((labels == run.dataset.test_labels).mean())
    arrays.write(
        run.oof,
        rows=scored,
        labels=run.dataset.train_labels[scored],
        probabilities=oof,
        classes=run.dataset.classes,
        fingerprint=np.array(run.dataset.fingerprint),
    )
    arrays.write(
        run.test,
        probabilities=test,
        classes=run.dataset.classes,
        fingerprint=np.array(run.dataset.test_fingerprint),
    )
    submission.write(run.submission, labels, run.dataset.classes)
    with replacing(latest(run)) as temporary:
        shutil.copyfile(run.submission, temporary)
    figures["seconds"] = seconds | {"submit": time.perf_counter() - started}
    records.write_json(run.metrics, figures)
    return figures


def latest(run: Run) -> Path:
    """Where the newest submission of all runs stands."""
    return run.folder.parent / "submission.csv"


def _draw(run: Run) -> None:
    """Draw the confusion matrix of the run's out-of-fold rows."""
    from digits.figures.confusion import confusion_matrix

    oof, classes = arrays.read_probabilities(run.oof), run.dataset.classes
    counts = metrics.confusion(run.dataset.targets[oof["rows"]], oof["probabilities"].argmax(axis=1), len(classes))
    with replacing(run.folder / "confusion.png") as temporary:
        confusion_matrix(counts, classes).savefig(temporary)


def _cost(run: Run, members: list[Member]) -> dict[str, Any]:
    """Cost of training these members; their MACs are null where an earlier version has trained one of them."""
    trained = [records.read_json(run.member(member) / "member.json", seconds=float) for member in members]
    macs = [record.get("training_macs") for record in trained]
    return {
        "members_planned": len(run.members),
        "training_macs": sum(macs) if all(isinstance(of, float) for of in macs) else None,
        "core_seconds": run.config.training.threads * sum(record["seconds"] for record in trained),
    }


def _measure(members: list[Logits], targets: np.ndarray, scored: np.ndarray, oof: np.ndarray) -> dict[str, Any]:
    """The scores of the out-of-fold rows `scored` (n,), whose classes are `targets` (n,)."""
    correct = oof.argmax(axis=1) == targets
    by_fold = {of.member.fold: np.searchsorted(scored, of.rows) for of in members}
    by_architecture: dict[str, list[float]] = {}
    for of in members:
        hits = of.oof.argmax(axis=1) == targets[by_fold[of.member.fold]]
        by_architecture.setdefault(of.member.architecture, []).append(float(hits.mean()))
    _, beliefs = logits.out_of_fold(members, BELIEFS)
    return {
        "oof_accuracy": float(correct.mean()),
        "oof_accuracy_std": _spread([float(correct[rows].mean()) for rows in by_fold.values()]),
        "oof_accuracy_by_architecture": {name: float(np.mean(of)) for name, of in by_architecture.items()},
        "oof_accuracy_std_by_architecture": {name: _spread(of) for name, of in by_architecture.items()},
        "oof_log_loss": metrics.log_loss(beliefs, targets),
        "oof_rows": len(scored),
        "members": len(members),
    }


def _predict(members: list[Logits], test: np.ndarray, rule: str, scores: dict[str, Any]) -> dict[str, float]:
    """What the test rows should score."""
    by_fold = [logits.test(logits.of_fold(members, fold), rule) for fold in logits.folds(members)]
    choices = np.stack([probabilities.argmax(axis=1) for probabilities in by_fold])
    gain = metrics.fold_gain(choices, test.argmax(axis=1), logits.test(members, BELIEFS))
    right = round(scores["oof_accuracy"] * scores["oof_rows"])
    predicted = metrics.predict_score(right, scores["oof_rows"], len(test), gain)
    return {
        "predicted_score": predicted.value,
        "predicted_low": predicted.low,
        "predicted_high": predicted.high,
        "fold_gain": gain,
    }


def _spread(values: list[float]) -> float:
    """Standard deviation between members or folds; zero where there is only one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _print(run: Run, figures: dict[str, Any], rest: str | None) -> None:
    table = Table(show_header=False, title=f"run {run.folder}", title_justify="left")
    data = run.dataset
    table.add_row("data", f"{data.name}: {len(data.train_labels):,} training rows, {len(data.test_images):,} test rows")
    count, total = figures["members"], figures["members_planned"]
    table.add_row("members", f"{count if count == total else f'{count} of {total}'}: {_recipe(run.config)}")
    for name, score in figures["oof_accuracy_by_architecture"].items():
        spread = figures["oof_accuracy_std_by_architecture"][name]
        table.add_row(f"OOF accuracy, single {name}", f"{score:.5f} ± {spread:.5f} between its networks")
    spread = f"± {figures['oof_accuracy_std']:.5f} between the folds, {figures['oof_rows']:,} rows"
    table.add_row("OOF accuracy, ensemble", f"{figures['oof_accuracy']:.5f} {spread}")
    table.add_row("OOF log loss, calibrated", f"{figures['oof_log_loss']:.5f}")
    interval = f"95 % interval {figures['predicted_low']:.5f} to {figures['predicted_high']:.5f}"
    table.add_row(
        "predicted leaderboard score",
        f"{figures['predicted_score']:.5f}, {interval}\n"
        f"(OOF accuracy + {figures['fold_gain']:.5f} for averaging over folds, from calibrated probabilities;\n"
        "the interval covers the draw of all rows, not test rows of another kind)",
    )
    if run.config.tuned_on == run.dataset.fingerprint:
        table.add_row("tuned", "the config was chosen on these rows, so the scores above are optimistic (see README)")
    if "true_score" in figures:
        table.add_row("true score", f"{figures['true_score']:.5f} (this data set's test labels are known)")
    times = ", ".join(f"{stage} {duration(taken)}" for stage, taken in figures["seconds"].items())
    table.add_row("wall time", f"{times}\n(training, over all calls and cores: {duration(figures['core_seconds'])})")
    if figures["training_macs"] is not None:
        table.add_row("training MACs", f"{cost.short(figures['training_macs'])} (3 x forward multiply-adds x images)")
    table.add_row("submission", f"{run.submission}, copied to {latest(run)}")
    out = console()
    out.print(table)
    if run.dataset.name == DEMO:
        out.print("Next: the real competition: make data, then make submit")
    else:
        message = f"{run.folder.name}: {figures['members']} members, OOF {figures['oof_accuracy']:.5f}"
        command = ["kaggle", "competitions", "submit", "-c", run.dataset.name, "-f", str(latest(run)), "-m", message]
        out.print("Next:", shlex.join(command), soft_wrap=True)
    if rest and count < total:
        out.print(f"To train the other {total - count} members: {rest}", soft_wrap=True)


def _recipe(config: Config) -> str:
    """Such as `default x 1 seed x 5 folds`."""
    names = ", ".join(architecture.label for architecture in config.architectures)
    trained, count = len(config.folds.trained), config.folds.count
    folds = f"{count} folds" if trained == count else f"{trained} of {count} folds"
    return f"{names} x {config.seeds} {'seed' if config.seeds == 1 else 'seeds'} x {folds}"
