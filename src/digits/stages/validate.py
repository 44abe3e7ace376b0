"""Judge a submission file, whoever made it."""

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
    chosen = _checked(named, dataset) if named else _newest(output, dataset)
    verdict = submission.check(file, len(dataset.test_images), dataset.classes)
    if chosen is None:
        verdict.remarks.append("no run on these test rows is there, so the order of the rows was not checked")
    else:
        stored = arrays.read_probabilities(chosen.test)
        labels = stored["classes"][stored["probabilities"].argmax(axis=1)]
        own = file.resolve() == chosen.submission.resolve()
        submission.compare(verdict, labels, chosen.folder.name, own)
    _print(file, verdict)
    return verdict


def _checked(run: RunFolder, dataset: Dataset) -> RunFolder:
    folder = run.folder
    if not run.test.exists():
        raise UserError(f"run {folder}: has no test probabilities; make it first: make submit RUN={folder.name}")
    try:
        arrays.read(run.test)
    except ValueError as error:
        raise UserError(f"run {folder}: {error}; make it whole: make submit RUN={folder.name}") from None
    if not _answers(run, dataset):
        raise UserError(f"run {folder}: was made from other test rows; give the same DATA=")
    return run


def _newest(output: Path, dataset: Dataset) -> RunFolder | None:
    candidates = sorted(output.glob("*/test.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((run for run in (RunFolder(path.parent) for path in candidates) if _answers(run, dataset)), None)


def _answers(run: RunFolder, dataset: Dataset) -> bool:
    try:
        return str(arrays.read_probabilities(run.test)["fingerprint"]) == dataset.test_fingerprint
    except ValueError:
        return False


def _print(file: Path, verdict: submission.Verdict) -> None:
    for problem in verdict.problems:
        print(one_line(f"{file}: {problem}"))
    for remark in verdict.remarks:
        print(one_line(f"{file}: note: {remark}"))
    print(f"{one_line(str(file))}: {'valid' if verdict.valid else 'NOT valid'}")
