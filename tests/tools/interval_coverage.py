"""Does the predicted score's interval hold the true score as often as it says, and is the prediction biased?

    .venv/bin/python tests/tools/interval_coverage.py digit-recognizer.zip

Draws small training tables from the labelled rows of a real competition and trains a small ensemble on each with the
ordinary stages; the rows left out are its test rows, whose labels are known. From the stored logits of each it draws
competitions: half of the out-of-fold rows, and as many test rows. Half, so that the variance of drawing a table and
that of drawing rows from it add up to that of drawing so many rows at once. About ten minutes on two cores; stopped and
started again it resumes.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from digits import config, data
from digits.data import Dataset
from digits.ensemble import logits, metrics
from digits.ensemble.logits import Logits
from digits.runs import Run
from digits.stages import submit, train

FOLDER = Path("output/bench/interval_coverage")
SPLITS = 2  # of all rows into tables
ROWS = 6000  # of a table
COMPETITIONS = 20  # of each table
SCORED = ROWS // 2  # out-of-fold rows of a competition, and test rows
PREDICTED = ("predicted_score", "predicted_low", "predicted_high", "fold_gain")
RECIPE = {
    "architectures": ["small"],
    "folds": {"count": 3},
    "training": {"epochs": 6, "ema": 0.99, "optimizer": {"learning_rate": 0.002}},
}


def main(path: str) -> None:
    """Print a line a table, and coverage and bias at the end."""
    whole, results = data.read(data.find(path), FOLDER / "cache"), []
    for number, dataset in enumerate(tables(whole)):
        run = Run(FOLDER / str(number), config.parse(RECIPE | {"seed": number}, "the recipe"), dataset)
        run.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(io.StringIO()):
            train.run(run)
        members = [logits.load(run, member) for member in run.members]
        draw = np.random.default_rng(number)
        results += [compete(run, *competition(members, draw)) for _ in range(COMPETITIONS)]
        predicted, low, high, _, true, *_ = np.mean(results[-COMPETITIONS:], axis=0)
        print(f"table {number + 1:2}: predicted {predicted:.4f} ({low:.4f} to {high:.4f}), true {true:.4f}", flush=True)
    report(np.array(results))


def tables(whole: Dataset) -> Iterator[Dataset]:
    """Small competitions: disjoint training tables of each split, with all other rows as test rows."""
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(whole.train_labels))
        for start in range(0, len(order) - ROWS + 1, ROWS):
            ours, theirs = order[start : start + ROWS], np.delete(order, slice(start, start + ROWS))
            images, labels = whole.train_images, whole.train_labels
            yield replace(
                whole,
                train_images=images[ours],
                train_labels=labels[ours],
                test_images=images[theirs],
                test_labels=labels[theirs],
            )


def competition(members: list[Logits], draw: np.random.Generator) -> tuple[list[Logits], np.ndarray]:
    """Members that know some of the rows alone, and which of the test rows those are."""
    scored = np.isin(np.arange(ROWS), draw.choice(ROWS, SCORED, replace=False))
    unseen = draw.choice(len(members[0].test), SCORED, replace=False)
    drawn = [
        replace(member, rows=member.rows[kept], oof=member.oof[kept], test=member.test[unseen])
        for member in members
        for kept in [scored[member.rows]]
    ]
    return drawn, unseen


def compete(run: Run, members: list[Logits], unseen: np.ndarray) -> tuple[float, ...]:
    """Predicted score, its interval, the true score, what averaging gained, and the gain that each rule expects."""
    calibrated, rule = logits.calibrate(members, run.dataset.targets).members, run.config.ensemble.rule
    expected = submit.prediction(run.config, calibrated, run.dataset.targets)
    targets = np.searchsorted(run.dataset.classes, run.dataset.test_labels[unseen])
    chosen = logits.test(calibrated, rule).argmax(axis=1)
    by_fold = [logits.test(logits.of_fold(calibrated, fold), rule).argmax(axis=1) for fold in logits.folds(calibrated)]
    right, single = (chosen == targets).mean(), (np.stack(by_fold) == targets).mean()
    earlier = [metrics.fold_gain(by_fold, chosen, logits.test(some, "mean")) for some in (members, calibrated)]
    return *(expected[name] for name in PREDICTED), right, right - single, *earlier


def report(results: np.ndarray) -> None:
    """Print coverage and bias of competitions (n, 8), see `compete`; those of one table are no independent draws."""
    predicted, low, high, expected, true, gained, uncalibrated, arithmetic = results.T
    inside = (low <= true) & (true <= high)
    print(f"inside the 95 % interval: {inside.sum()} of {len(results)}, {100 * inside.mean():.1f} %")
    misses = {
        "true - predicted score": true - predicted,
        "true - OOF accuracy": true - predicted + expected,
        "gained by averaging": gained,
        "gained - expected": gained - expected,
        "gained - expected by the arithmetic mean": gained - arithmetic,
        "gained - expected by that of uncalibrated probabilities": gained - uncalibrated,
    }
    for name, miss in misses.items():
        averages = miss.reshape(-1, COMPETITIONS).mean(axis=1)
        error = averages.std(ddof=1) / np.sqrt(len(averages))
        print(f"{name}: {miss.mean():+.5f} on average, standard error {error:.5f} ({len(averages)} tables)")


if __name__ == "__main__":
    main(sys.argv[1])
