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

from digits.competition import COMPETITION
from digits.config import Config
from digits.data import DEMO, corrections, submission
from digits.ensemble import logits, metrics
from digits.ensemble.logits import BELIEFS, Logits
from digits.errors import UserError
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.progress import console, duration
from digits.runs import Member, Run
from digits.seeds import derive
from digits.training import cost

# The geometric mean of calibrated probabilities, for what averaging gains: unbiased where the arithmetic mean, which is
# less sure than it is right, misses a sixth of the gain (docs/train.md, "The predicted score").
GAIN_BELIEFS = "logits"


def run(
    run: Run, seconds: dict[str, float], members: list[Member] | None = None, rest: str | None = None
) -> dict[str, Any]:
    """Write `oof.npz`, `test.npz`, `submission.csv`, `confusion.png` and `metrics.json`, and print the closing table.

    run: with every member trained that is needed; locked by the caller. seconds: wall time of the stages before this
    one, for the table and the metrics. members: that are needed; by default all of the config's. rest: the command
    that trains the others.

    Raises:
        UserError: a member is missing or damaged.
    """
    run.claim()
    record = ensemble(run, (logits.load(run, member) for member in members or run.members), seconds)
    _draw(run)
    _print(run, record, rest)
    return record


def ensemble(run: Run, members: Iterable[Logits], seconds: dict[str, float]) -> dict[str, Any]:
    """Write the probabilities, the submission and the metrics of these members; the metrics."""
    started = time.perf_counter()
    dataset, rule = run.dataset, run.config.ensemble.rule
    calibrated = logits.calibrate(list(members), dataset.targets)
    members = calibrated.members
    rows, oof = logits.out_of_fold(members, rule)
    test = logits.test(members, rule)
    metric = metrics.of_competition()
    record = {"metric": COMPETITION.metric, "oof_metric": metric.score(oof, dataset.targets[rows])}
    record |= _scores(members, dataset.targets, rows, oof)
    record |= prediction(run.config, members, dataset.targets)
    record |= {"temperature": calibrated.temperatures} | _cost(run, [loaded.member for loaded in members])
    if dataset.test_labels is not None:
        record["true_score"] = metric.score(test, np.searchsorted(dataset.classes, dataset.test_labels))
    _write(run, rows, oof, test)
    record |= _kaggle_score(run)
    record["seconds"] = seconds | {"submit": time.perf_counter() - started}
    records.write_json(run.metrics, record)
    return record


def latest(run: Run) -> Path:
    """Copy of the newest submission of all runs."""
    return run.folder.parent / "submission.csv"


def _scores(members: list[Logits], targets: np.ndarray, rows: np.ndarray, oof: np.ndarray) -> dict[str, Any]:
    """Scores of the out-of-fold probabilities (n, c) of `rows` (n,). targets: of all training rows."""
    correct = oof.argmax(axis=1) == targets[rows]
    folds = {loaded.member.fold: np.searchsorted(rows, loaded.rows) for loaded in members}
    singles: dict[str, list[float]] = {}
    for loaded in members:
        accuracy = metrics.accuracy(loaded.oof, targets[loaded.rows])
        singles.setdefault(loaded.member.architecture, []).append(accuracy)
    _, beliefs = logits.out_of_fold(members, BELIEFS)
    return {
        "oof_accuracy": float(correct.mean()),
        "oof_accuracy_std": _spread([float(correct[fold].mean()) for fold in folds.values()]),
        "oof_accuracy_by_architecture": {name: float(np.mean(scores)) for name, scores in singles.items()},
        "oof_accuracy_std_by_architecture": {name: _spread(scores) for name, scores in singles.items()},
        "oof_log_loss": metrics.log_loss(beliefs, targets[rows]),
        "oof_rows": len(rows),
        "members": len(members),
    }


def _spread(values: list[float]) -> float:
    """Standard deviation between members or folds; zero where there is only one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def prediction(config: Config, members: list[Logits], targets: np.ndarray) -> dict[str, float]:
    """Expected score of the test rows: for accuracy with the gain of averaging, for other metrics that of the OOF rows.

    members: calibrated. targets: the class of every training row, int (n,).
    """
    rule = config.ensemble.rule
    rows, oof = logits.out_of_fold(members, rule)
    if COMPETITION.metric == "accuracy":
        right, beliefs = int((oof.argmax(axis=1) == targets[rows]).sum()), logits.test(members, GAIN_BELIEFS)
        by_fold = [logits.test(logits.of_fold(members, fold), rule) for fold in logits.folds(members)]
        choices = np.stack([probabilities.argmax(axis=1) for probabilities in by_fold])
        gain = metrics.fold_gain(choices, logits.test(members, rule).argmax(axis=1), beliefs)
        expected = metrics.predict_score(right, len(rows), len(beliefs), gain)
    else:
        generator, gain = np.random.default_rng(derive(config.seed, "submit")), 0.0
        expected = metrics.resampled(metrics.of_competition(), oof, targets[rows], generator)
    return {
        "predicted_score": expected.value,
        "predicted_low": expected.low,
        "predicted_high": expected.high,
        "fold_gain": gain,
    }


def _cost(run: Run, members: list[Member]) -> dict[str, Any]:
    """Cost of training these members; their MACs are null where an earlier version has trained one of them."""
    trained = [records.read_json(run.member(member) / "member.json", seconds=float) for member in members]
    macs = [record.get("training_macs") for record in trained]
    return {
        "members_planned": len(run.members),
        "training_macs": None if None in macs else sum(macs),
        "core_seconds": run.config.training.threads * sum(record["seconds"] for record in trained),
    }


def _write(run: Run, rows: np.ndarray, oof: np.ndarray, test: np.ndarray) -> None:
    """Write the probabilities of the out-of-fold `rows` and of the test rows, and the submission."""
    dataset = run.dataset
    labels, classes = dataset.train_labels[rows], dataset.classes
    fingerprint, test_fingerprint = np.array(dataset.fingerprint), np.array(dataset.test_fingerprint)
    arrays.write(run.oof, rows=rows, labels=labels, probabilities=oof, classes=classes, fingerprint=fingerprint)
    ids = {} if dataset.test_ids is None else {"ids": dataset.test_ids}
    arrays.write(run.test, probabilities=test, classes=classes, fingerprint=test_fingerprint, **ids)
    submission.write(run.submission, test, dataset.classes, dataset.test_ids)
    with replacing(latest(run)) as temporary:
        shutil.copyfile(run.submission, temporary)


def _kaggle_score(run: Run) -> dict[str, Any]:
    """Score that `make submit-kaggle` recorded of this very submission; empty where it recorded none."""
    try:
        recorded = records.read_json(run.metrics, kaggle_score=float, kaggle_submission=str)
    except UserError:
        return {}
    same = recorded["kaggle_submission"] == records.checksum(run.submission)
    return {name: recorded[name] for name in ("kaggle_score", "kaggle_submission")} if same else {}


def _draw(run: Run) -> None:
    """Draw the confusion matrix of the run's out-of-fold rows."""
    from digits.figures import confusion, folder

    oof, classes = run.probabilities(run.oof), run.dataset.classes
    counts = metrics.confusion(run.dataset.targets[oof["rows"]], oof["probabilities"].argmax(axis=1), len(classes))
    folder.draw(
        run.folder, [("confusion", confusion.confusion_matrix(counts, classes), confusion.caption(counts, classes))]
    )


def _print(run: Run, record: dict[str, Any], rest: str | None) -> None:
    data, count, total = run.dataset, record["members"], record["members_planned"]
    table = Table(show_header=False, title=f"run {run.folder}", title_justify="left")
    table.add_row("data", f"{data.name}: {len(data.train_labels):,} training rows, {len(data.test_images):,} test rows")
    table.add_row("members", f"{count if count == total else f'{count} of {total}'}: {_recipe(run.config)}")
    several = len(run.config.architectures) * run.config.seeds > 1  # networks for each row: else it has no ensemble
    for name, score in record["oof_accuracy_by_architecture"].items() if several else ():
        spread = record["oof_accuracy_std_by_architecture"][name]
        table.add_row(f"OOF accuracy, single {name}", f"{score:.5f} ± {spread:.5f} between its networks")
    spread = f"± {record['oof_accuracy_std']:.5f} between the folds, {record['oof_rows']:,} rows"
    table.add_row("OOF accuracy" + ", ensemble" * several, f"{record['oof_accuracy']:.5f} {spread}")
    table.add_row("OOF log loss, calibrated", f"{record['oof_log_loss']:.5f}")
    table.add_row("predicted leaderboard score", _expected(record))
    if "kaggle_score" in record:
        table.add_row("Kaggle's public score", f"{record['kaggle_score']:.5f}")
    if data.corrected is not None:
        table.add_row("corrections", corrections.sentence(data))
    if run.config.tuned_on == data.fingerprint:
        table.add_row("tuned", "the config was chosen on these rows, so the scores above are optimistic (docs/tune.md)")
    if "true_score" in record:
        table.add_row("true score", f"{record['true_score']:.5f} (this data set's test labels are known)")
    times = ", ".join(f"{stage} {duration(taken)}" for stage, taken in record["seconds"].items())
    table.add_row("wall time", f"{times}\n(training, over all calls and cores: {duration(record['core_seconds'])})")
    if record["training_macs"] is not None:
        table.add_row("training MACs", f"{cost.short(record['training_macs'])} (3 x forward multiply-adds x images)")
    table.add_row("submission", f"{run.submission}, copied to {latest(run)}")
    console().print(table)
    _print_next(run, record, rest)


def _print_next(run: Run, record: dict[str, Any], rest: str | None) -> None:
    """Print the command that submits the predictions, and the one that trains missing members."""
    out, data, missing = console(), run.dataset, record["members_planned"] - record["members"]
    if data.name == DEMO:
        out.print("Next: the real competition: make data, then make submit")
    elif COMPETITION.asks_for(data.name, len(data.test_images)):
        message = f"{run.folder.name}: {record['members']} members, OOF {record['oof_metric']:.5f}"
        command = ["kaggle", "competitions", "submit", "-c", data.name, "-f", str(latest(run)), "-m", message]
        out.print("Next:", shlex.join(command), soft_wrap=True)
    elif data.test_labels is None:
        name = shlex.quote(f"RUN={run.folder.name}")
        out.print(f"If Kaggle scores {data.name}: make submit-kaggle {name} COMPETITION=<its name>", soft_wrap=True)
    if rest and missing:
        out.print(f"To train the other {missing} members: {rest}", soft_wrap=True)


def _expected(record: dict[str, Any]) -> str:
    """The predicted score, its interval and what they come from."""
    interval = f"95% interval {record['predicted_low']:.5f} to {record['predicted_high']:.5f}"
    if COMPETITION.metric == "accuracy":
        source = (
            f"(OOF accuracy + {record['fold_gain']:.5f} for averaging over folds, from calibrated probabilities;\n"
            "the interval covers the draw of all rows, not test rows of another kind)"
        )
    else:
        source = f"(OOF {metrics.of_competition().label}; the interval covers the draw of the training rows alone)"
    return f"{record['predicted_score']:.5f}, {interval}\n{source}"


def _recipe(config: Config) -> str:
    """Such as `default x 1 seed x 5 folds`."""
    names = ", ".join(architecture.label for architecture in config.architectures)
    trained, count = len(config.folds.trained), config.folds.count
    folds = f"{count} folds" if trained == count else f"{trained} of {count} folds"
    return f"{names} x {config.seeds} {'seed' if config.seeds == 1 else 'seeds'} x {folds}"
