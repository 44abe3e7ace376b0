"""Ensemble the members of a run, say what score to expect, and write the submission."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from digits import runs, submission
from digits.analysis import calibration, ensembling, metrics
from digits.atomic import replacing
from digits.config import Config
from digits.data import DEMO, Dataset
from digits.errors import UserError
from digits.progress import console, duration
from digits.runs import Member, Run

BELIEFS = "mean"  # the rule whose probabilities are believed, whichever rule makes the choices


@dataclasses.dataclass(frozen=True)
class Logits:
    """What one member gave: logits (n, classes) for its own held-out rows and for the test rows."""

    member: Member
    rows: np.ndarray
    oof: np.ndarray
    test: np.ndarray


def run(
    config: Config, dataset: Dataset, run: Run, seconds: dict[str, float], members: list[Member] | None = None
) -> dict[str, Any]:
    """Write `oof.npz`, `test.npz`, `submission.csv`, `confusion.png` and `metrics.json`, and print the closing table.

    Args:
        config: of the run.
        dataset: of the run.
        run: with every member trained that is needed; the caller holds its lock.
        seconds: wall time of the stages before this one; the table and the metrics show it.
        members: that are needed; by default all of the config's.

    Returns:
        The metrics.
    """
    started = time.perf_counter()
    run.claim(config, dataset)
    figures = ensemble(config, dataset, run, members or runs.members(config))
    figures["seconds"] = seconds | {"submit": time.perf_counter() - started}
    runs.write_json(run.metrics, figures)
    _print(config, dataset, run, figures)
    return figures


def ensemble(config: Config, dataset: Dataset, run: Run, members: list[Member]) -> dict[str, Any]:
    """Write the probabilities, the submission and the confusion matrix of these members; their figures.

    Raises:
        UserError: a member is missing or damaged.
    """
    targets = dataset.targets
    loaded, temperatures = _calibrated([_load(run, member) for member in members], targets)
    rule = config.ensemble.rule
    scored, oof = _out_of_fold(loaded, rule)
    test = _test(loaded, rule)
    figures = _measure(loaded, targets[scored], scored, oof)
    figures |= _predict(loaded, test, rule, figures) | {"temperature": temperatures}
    labels = dataset.classes[test.argmax(axis=1)]
    if dataset.test_labels is not None:
        figures["true_score"] = float((labels == dataset.test_labels).mean())
    runs.write_arrays(
        run.oof,
        rows=scored,
        labels=dataset.train_labels[scored],
        probabilities=oof,
        classes=dataset.classes,
        fingerprint=np.array(dataset.fingerprint),
    )
    runs.write_arrays(
        run.test,
        probabilities=test,
        classes=dataset.classes,
        fingerprint=np.array(dataset.test_fingerprint),
    )
    submission.write(run.submission, labels, dataset.classes)
    with replacing(latest(run)) as temporary:
        shutil.copyfile(run.submission, temporary)
    _draw(run, targets[scored], oof.argmax(axis=1), dataset.classes)
    figures["core_seconds"] = config.training.threads * sum(map(run.training_seconds, members))
    return figures


def latest(run: Run) -> Path:
    """Where the newest submission of all runs stands."""
    return run.folder.parent / "submission.csv"


def _draw(run: Run, targets: np.ndarray, chosen: np.ndarray, classes: np.ndarray) -> None:
    from digits.figures import confusion_matrix

    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (targets, chosen), 1)
    with replacing(run.folder / "confusion.png") as temporary:
        confusion_matrix(counts, classes).savefig(temporary)


def _load(run: Run, member: Member) -> Logits:
    folder = run.member(member)
    if not runs.is_whole(folder):
        raise UserError(f"member {member.name} of run {run.folder} is missing or damaged; train it first: make train")
    oof = runs.read_arrays(folder / "oof.npz")
    return Logits(member, oof["rows"], oof["logits"], runs.read_arrays(folder / "test.npz")["logits"])


def _calibrated(members: list[Logits], targets: np.ndarray) -> tuple[list[Logits], dict[str, float]]:
    """The members with logits whose softmax can be believed: divided by the temperature of their architecture.

    For out-of-fold rows it comes from the other folds, so that no row has a say in how it is scored; for
    the test rows from all folds. The latter is given too, by architecture.
    """
    calibrated, temperatures = [], {}
    for architecture in dict.fromkeys(logits.member.architecture for logits in members):
        peers = [logits for logits in members if logits.member.architecture == architecture]
        temperatures[architecture] = overall = _temperature(peers, targets)
        for fold in dict.fromkeys(logits.member.fold for logits in peers):
            others = _temperature([logits for logits in peers if logits.member.fold != fold], targets)
            calibrated += [
                dataclasses.replace(logits, oof=logits.oof / others, test=logits.test / overall)
                for logits in _of_fold(peers, fold)
            ]
    return calibrated, temperatures


def _temperature(members: list[Logits], targets: np.ndarray) -> float:
    """That of all their out-of-fold rows together; 1 where there are none."""
    if not members:
        return 1.0
    rows = np.concatenate([logits.rows for logits in members])
    return calibration.temperature(np.concatenate([logits.oof for logits in members]), targets[rows])


def _of_fold(members: Iterable[Logits], fold: int) -> list[Logits]:
    return [logits for logits in members if logits.member.fold == fold]


def _test(members: Iterable[Logits], rule: str) -> np.ndarray:
    return ensembling.combine(np.stack([logits.test for logits in members]), rule)


def _out_of_fold(members: list[Logits], rule: str) -> tuple[np.ndarray, np.ndarray]:
    """The scored training rows (n,), ascending, with the probabilities (n, c) of those who never saw them."""
    rows, probabilities = [], []
    for fold in dict.fromkeys(logits.member.fold for logits in members):
        of_fold = _of_fold(members, fold)
        rows.append(of_fold[0].rows)
        probabilities.append(ensembling.combine(np.stack([logits.oof for logits in of_fold]), rule))
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(rows)[order], np.concatenate(probabilities)[order]


def _measure(members: list[Logits], targets: np.ndarray, scored: np.ndarray, oof: np.ndarray) -> dict[str, Any]:
    """The scores of the out-of-fold rows `scored` (n,), whose classes are `targets` (n,)."""
    correct = oof.argmax(axis=1) == targets
    by_fold = {logits.member.fold: np.searchsorted(scored, logits.rows) for logits in members}
    by_architecture: dict[str, list[float]] = {}
    for logits in members:
        hits = logits.oof.argmax(axis=1) == targets[by_fold[logits.member.fold]]
        by_architecture.setdefault(logits.member.architecture, []).append(float(hits.mean()))
    _, beliefs = _out_of_fold(members, BELIEFS)
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
    folds = dict.fromkeys(logits.member.fold for logits in members)
    choices = np.stack([_test(_of_fold(members, fold), rule).argmax(axis=1) for fold in folds])
    gain = metrics.fold_gain(choices, test.argmax(axis=1), _test(members, BELIEFS))
    right = round(scores["oof_accuracy"] * scores["oof_rows"])
    predicted = metrics.predict_score(right, scores["oof_rows"], len(test), gain)
    return {
        "predicted_score": predicted.score,
        "predicted_low": predicted.low,
        "predicted_high": predicted.high,
        "fold_gain": gain,
    }


def _spread(values: list[float]) -> float:
    """Standard deviation between members or folds; zero where there is only one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _print(config: Config, dataset: Dataset, run: Run, figures: dict[str, Any]) -> None:
    table = Table(show_header=False, title=f"run {run.folder}", title_justify="left")
    table.add_row(
        "data", f"{dataset.name}: {len(dataset.train_labels):,} training rows, {len(dataset.test_images):,} test rows"
    )
    count, total = figures["members"], len(runs.members(config))
    table.add_row("members", f"{count if count == total else f'{count} of {total}'}: {_recipe(config)}")
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
    if config.tuned_on == dataset.fingerprint:
        table.add_row("tuned", "the config was chosen on these rows, so the scores above are optimistic (see README)")
    if "true_score" in figures:
        table.add_row("true score", f"{figures['true_score']:.5f} (this data set's test labels are known)")
    times = ", ".join(f"{stage} {duration(taken)}" for stage, taken in figures["seconds"].items())
    table.add_row("wall time", f"{times}\n(training, over all calls and cores: {duration(figures['core_seconds'])})")
    table.add_row("submission", f"{run.submission}, copied to {latest(run)}")
    out = console()
    out.print(table)
    if dataset.name == DEMO:
        out.print("Next: the real competition: make data, then make submit")
        return
    message = f"{run.folder.name}: {figures['members']} members, OOF {figures['oof_accuracy']:.5f}"
    command = ["kaggle", "competitions", "submit", "-c", dataset.name, "-f", str(latest(run)), "-m", message]
    out.print("Next:", shlex.join(command), soft_wrap=True)


def _recipe(config: Config) -> str:
    """Such as `default x 1 seed x 5 folds`."""
    names = ", ".join(architecture.label for architecture in config.architectures)
    trained, count = len(config.folds.trained), config.folds.count
    folds = f"{count} folds" if trained == count else f"{trained} of {count} folds"
    return f"{names} x {config.seeds} {'seed' if config.seeds == 1 else 'seeds'} x {folds}"
