"""Does the predicted score's interval hold the true score as often as it says?

    .venv/bin/python tests/tools/interval_coverage.py digit-recognizer.zip

Draws small competitions from the labelled rows of a real one, so that the test labels are known, runs the
ordinary stages on each, and counts. About ten minutes on two cores.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
import tempfile
from pathlib import Path

import numpy as np

from digits import config, data
from digits.runs import Run
from digits.stages import submit, train

REPEATS = 30
TRAIN_ROWS = TEST_ROWS = 6000
RECIPE = {
    "architectures": ["small"],
    "folds": {"count": 3},
    "training": {"epochs": 6, "ema": 0.99, "optimizer": {"learning_rate": 0.002}},
}


def main(path: str) -> None:
    """Print a line a repeat and the count at the end."""
    with tempfile.TemporaryDirectory() as folder:
        whole = data.read(data.find(path), Path(folder) / "cache")
        results = [repeat(whole, number, Path(folder) / str(number)) for number in range(REPEATS)]
    inside = sum(result["predicted_low"] <= result["true_score"] <= result["predicted_high"] for result in results)
    miss = np.array([result["true_score"] - result["predicted_score"] for result in results])
    plain = np.array([result["true_score"] - result["oof_accuracy"] for result in results])
    print(f"inside the 95 % interval: {inside} of {REPEATS}")
    print(f"true - predicted score:   {miss.mean():+.5f} on average, standard error {error(miss):.5f}")
    print(f"true - OOF accuracy:      {plain.mean():+.5f} on average, standard error {error(plain):.5f}")


def repeat(whole: data.Dataset, number: int, folder: Path) -> dict[str, float]:
    """One small competition: rows drawn anew, another seed."""
    rows = np.random.default_rng(number).permutation(len(whole.train_labels))
    ours, theirs = rows[:TRAIN_ROWS], rows[TRAIN_ROWS : TRAIN_ROWS + TEST_ROWS]
    dataset = dataclasses.replace(
        whole,
        train_images=whole.train_images[ours],
        train_labels=whole.train_labels[ours],
        test_images=whole.train_images[theirs],
        test_labels=whole.train_labels[theirs],
    )
    run = Run(folder, config.parse(RECIPE | {"seed": number}, "the recipe"), dataset)
    with contextlib.redirect_stdout(io.StringIO()):
        train.run(run)
        figures = submit.run(run, {})
    low, high, true = figures["predicted_low"], figures["predicted_high"], figures["true_score"]
    print(f"{number + 1:2}: predicted {figures['predicted_score']:.4f} ({low:.4f} to {high:.4f}), true {true:.4f}")
    return figures


def error(values: np.ndarray) -> float:
    """Standard error of the mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    main(sys.argv[1])
