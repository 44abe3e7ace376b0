"""Validate a submission file, whoever made it."""

from __future__ import annotations

from pathlib import Path

from digits.data import Dataset, submission
from digits.errors import UserError, one_line
from digits.files import arrays
from digits.runs import RunFolder


def run(file: Path, dataset: Dataset, output: Path, named: RunFolder | None = None) -> submission.Verdict:
    """Check a file's form, and its row order against the stored probabilities of a run on the same test rows.

    Args:
        file: the submission.
        dataset: whose test rows it answers.
        output: the folder of all runs.
        named: the run to compare with; by default the newest one made from these test rows.

    Raises:
        UserError: the file cannot be read, or the named run cannot serve.
    """
    if named:
        _check_run(named, dataset)
    compared = named or _newest(output, dataset)
    verdict = submission.check(file, len(dataset.test_images), dataset.classes)
    if compared is None:
        verdict.remarks.append("no run on these test rows is there, so the order of the rows was not checked")
    else:
        stored = arrays.read_probabilities(compared.test)
        labels = stored["classes"][stored["probabilities"].argmax(axis=1)]
        own = file.resolve() == compared.submission.resolve()
        submission.compare(verdict, labels, compared.folder.name, own)
    lines = [*verdict.problems, *(f"note: {remark}" for remark in verdict.remarks)]
    for line in lines:
        print(one_line(f"{file}: {line}"))
    print(f"{one_line(str(file))}: {'valid' if verdict.valid else 'NOT valid'}")
    return verdict


def _check_run(run: RunFolder, dataset: Dataset) -> None:
    folder = run.folder
    if not run.test.exists():
        raise UserError(f"run {folder}: has no test probabilities; make it first: make submit RUN={folder.name}")
    try:
        arrays.read(run.test)
    except ValueError as error:
        raise UserError(f"run {folder}: {error}; make it whole: make submit RUN={folder.name}") from None
    if not _is_of(run, dataset):
        raise UserError(f"run {folder}: was made from other test rows; give the same DATA=")


def _newest(output: Path, dataset: Dataset) -> RunFolder | None:
    newest_first = sorted(output.glob("*/test.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((run for path in newest_first if _is_of(run := RunFolder(path.parent), dataset)), None)


def _is_of(run: RunFolder, dataset: Dataset) -> bool:
    """The run's probabilities can be read and are of these test rows."""
    try:
        return str(arrays.read_probabilities(run.test)["fingerprint"]) == dataset.test_fingerprint
    except ValueError:
        return False
