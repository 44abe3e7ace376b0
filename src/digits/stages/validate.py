"""Validate a submission file, whoever made it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.data import Dataset, submission
from digits.data.submission import Reference, Verdict
from digits.errors import UserError, one_line
from digits.files import records
from digits.runs import RunFolder
from digits.seeds import derive

if TYPE_CHECKING:
    from digits.stages.predict.exported import Ensemble

SAMPLE = 1000  # rows that the pretrained ensemble predicts: enough to tell a right order from chance, in a second
LEAST = 0.5  # accuracy of a run below which the pretrained ensemble is asked, which must have it on training rows


def run(
    file: Path, dataset: Dataset, output: Path, named: RunFolder | None, pretrained: Callable[[], Ensemble]
) -> Verdict:
    """Check a file's form, and whether its labels are in the order of the test rows; print the verdict.

    output: the folder of all runs. named: the run to compare with; by default the one that wrote the file or chose the
    same labels, else the one with the best score. pretrained: loads the ensemble to compare with where there is no
    good run.

    Raises:
        UserError: the file cannot be read, or the named run cannot serve.
    """
    references = {named: _reference(named, dataset)} if named else _references(output, dataset)
    verdict = submission.check(file, len(dataset.test_images), dataset.classes, dataset.test_ids)
    own = next((run for run in references if run.submission.resolve() == file.resolve()), None)
    if own:
        submission.compare_own(verdict, references[own].labels, own.folder.name)
    if verdict.labels is not None:
        given = own or named
        judge = references[given] if given else _judge(verdict.labels, list(references.values()), dataset, pretrained)
        if judge:
            submission.compare(verdict, judge)
        else:
            verdict.remarks.append("no run on these test rows is there, so the order of the rows was not checked")
    _print(file, verdict)
    return verdict


def _print(file: Path, verdict: Verdict) -> None:
    for line in (*verdict.problems, *(f"note: {remark}" for remark in verdict.remarks)):
        print(one_line(f"{file}: {line}"))
    print(f"{one_line(str(file))}: {'valid' if verdict.valid else 'NOT valid'}")


def _judge(
    labels: np.ndarray, runs: list[Reference], dataset: Dataset, pretrained: Callable[[], Ensemble]
) -> Reference | None:
    """The run that chose the same labels, else the best run; the pretrained ensemble if that is mostly wrong."""
    same = [run for run in runs if np.array_equal(run.labels, labels)]
    best = max(same or runs, key=lambda run: run.accuracy, default=None)
    if best and (same or best.accuracy >= LEAST):
        return best
    return _of_ensemble(pretrained(), dataset) or best


def _references(output: Path, dataset: Dataset) -> dict[RunFolder, Reference]:
    """Labels of every run that is of these test rows and classes."""
    references = {}
    for path in sorted(output.glob("*/test.npz")):
        with suppress(UserError):
            references[RunFolder(path.parent)] = _reference(RunFolder(path.parent), dataset)
    return references


def _reference(run: RunFolder, dataset: Dataset) -> Reference:
    """Labels that a run's stored probabilities choose.

    Raises:
        UserError: its probabilities or scores are missing or damaged, or of other test rows or classes.
    """
    folder, stored = run.folder, run.probabilities(run.test)
    rows = len(stored["probabilities"])
    if (str(stored["fingerprint"]), rows) != (dataset.test_fingerprint, len(dataset.test_images)):
        raise UserError(f"run {folder}: was made from other test rows; give the same DATA=")
    if not np.array_equal(stored["classes"], dataset.classes):
        raise UserError(f"run {folder}: was made with other labels; give the same DATA=")
    accuracy = records.read_json(run.metrics, oof_accuracy=float)["oof_accuracy"]
    labels = stored["classes"][stored["probabilities"].argmax(axis=1)]
    return Reference(f"run '{folder.name}'", labels, accuracy, np.arange(rows))


def _of_ensemble(ensemble: Ensemble, dataset: Dataset) -> Reference | None:
    """Labels that an ensemble gives to some test rows, if it is right about most of some training rows."""
    if ensemble.shape != dataset.shape or not np.array_equal(ensemble.classes, dataset.classes):
        return None
    generator = np.random.default_rng(derive(0, "validate"))

    def predicted(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = generator.permutation(len(images))[:SAMPLE]
        return rows, ensemble.classes[ensemble.predict(images[rows]).probabilities.argmax(axis=1)]

    rows, labels = predicted(dataset.train_images)
    accuracy = float((labels == dataset.train_labels[rows]).mean())
    if accuracy < LEAST:
        return None
    rows, labels = predicted(dataset.test_images)
    return Reference("the small ensemble that comes along", labels, accuracy, rows)
