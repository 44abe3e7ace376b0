"""The submission file: the only place that writes one, and the validator that it goes through."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from digits.competition import COMPETITION
from digits.errors import UserError
from digits.files import limits
from digits.files.atomic import replacing

PLAIN = re.compile("0|[1-9][0-9]{0,17}")
HEADER = list(COMPETITION.submission)
ID = HEADER[0]
SHOWN = 5  # problems of one kind that are named before they are only counted


@dataclass
class Verdict:
    """What the validator found: `problems` make a file invalid, `remarks` do not."""

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    labels: np.ndarray | None = None  # int64 or str (n,), where every line could be read

    @property
    def valid(self) -> bool:
        return not self.problems


def write(path: Path, labels: np.ndarray, classes: np.ndarray) -> None:
    """Write and validate a submission; an earlier file stays until this one is whole and valid.

    Args:
        labels: int64 or str (n,), in the order of the test rows.
        classes: the same (c,): the labels seen in training.

    Raises:
        ValueError: the file is not valid, a bug.
    """
    with replacing(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(enumerate(labels.tolist(), start=COMPETITION.first_id))
        verdict = check(temporary, len(labels), classes)
        if not verdict.valid or not np.array_equal(verdict.labels, labels):
            raise ValueError(f"{path}: {'; '.join(verdict.problems) or 'does not read back as written'}")


def check(path: Path, rows: int, classes: np.ndarray) -> Verdict:
    """Judge a submission file, whoever made it.

    Args:
        path: the file.
        rows: test rows that it must answer.
        classes: int64 or str (c,): the labels seen in training.

    Raises:
        UserError: it cannot be read as text.
    """
    verdict = Verdict()
    lines = _lines(path, limits.SUBMISSION_BYTES + limits.SUBMISSION_ROW_BYTES * rows, verdict)
    if not lines:
        verdict.problems.append("the file is empty")
        return verdict
    _check_header(lines[0], verdict)
    _check_ids([line[0] if line else "" for line in lines[1:]], rows, verdict)
    _check_labels(lines[1:], classes, verdict)
    return verdict


def compare(verdict: Verdict, chosen: np.ndarray, run: str, own: bool) -> None:
    """Hold the labels of a readable file against those that a run's stored probabilities choose.

    Args:
        verdict: of `check`; gets the problems and remarks of the comparison.
        chosen: labels (n,), in the order of the test rows.
        run: the run's name, for the words.
        own: whether the file claims to be that run's own, and so must agree in every row.
    """
    labels = verdict.labels
    if labels is None or len(labels) != len(chosen):
        return
    agreement = float((labels == chosen).mean())
    if own and agreement < 1:
        first = int(np.argmax(labels != chosen))
        verdict.problems.append(
            f"{(labels != chosen).sum()} labels are not those of run '{run}', the first "
            f"at {ID} {first + COMPETITION.first_id}: {labels[first]} instead of {chosen[first]}"
        )
    elif agreement < 0.5:
        verdict.problems.append(
            f"only {agreement:.1%} of the labels agree with run '{run}': {_guess_order(labels, chosen)}"
        )
    else:
        verdict.remarks.append(f"agrees with run '{run}' on {agreement:.2%} of the rows")


def _guess_order(labels: np.ndarray, chosen: np.ndarray) -> str:
    first = COMPETITION.first_id
    by_name = np.array(sorted(range(first, first + len(labels)), key=str)) - first
    if (labels == chosen[by_name]).mean() > 0.9:
        return "the rows stand in file-name order (1, 10, 100, ...), not in number order"
    return "the rows are probably in another order, or of other images"


def _lines(path: Path, most: int, verdict: Verdict) -> list[list[str]]:
    try:
        content = limits.read_bytes(path, most, "submission")
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"submission {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"submission {path}: not a text file in UTF-8") from None
    if content.startswith(b"\xef\xbb\xbf"):
        verdict.remarks.append("starts with a byte-order mark")
    if "\r\n" in text:
        verdict.remarks.append("has Windows line ends (CRLF)")
    if "\r" in text.replace("\r\n", ""):
        verdict.problems.append("has carriage returns that are no part of a line end (CRLF)")
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"submission {path}: not a CSV file: {error}") from None
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _check_header(header: list[str], verdict: Verdict) -> None:
    if header == HEADER:
        return
    if header and header[0].strip().lstrip("-").isdigit():
        verdict.problems.append(f"line 1: the header '{','.join(HEADER)}' is missing, found '{','.join(header)[:60]}'")
    else:
        verdict.problems.append(f"line 1: the header must be '{','.join(HEADER)}', found '{','.join(header)[:60]}'")


def _check_ids(cells: list[str], rows: int, verdict: Verdict) -> None:
    if len(cells) != rows:
        verdict.problems.append(f"{len(cells)} rows after the header, the test set has {rows}")
    ids = [int(cell) if PLAIN.fullmatch(cell) else None for cell in cells]
    unreadable = [(at, cell) for at, (cell, number) in enumerate(zip(cells, ids, strict=True), 2) if number is None]
    _name(verdict, [f"line {at}: {ID} '{cell[:30]}' is not a plain whole number" for at, cell in unreadable])
    known = [number for number in ids if number is not None]
    first, last = COMPETITION.first_id, COMPETITION.first_id + rows - 1
    if first and known == list(range(len(known))) and len(known) == len(cells):
        verdict.problems.append(f"{ID} starts at 0; it must start at {first}")
        return
    repeated = [number for number, times in Counter(known).items() if times > 1]
    _name(verdict, [f"{ID} {number} stands more than once" for number in repeated])
    missing = sorted(set(range(first, last + 1)).difference(known))
    _name(verdict, [f"{ID} {number} is missing" for number in missing])
    beyond = [number for number in known if not first <= number <= last]
    _name(verdict, [f"{ID} {number} is beyond the {rows} test rows" for number in beyond])
    if not repeated and not missing and known != sorted(known):
        verdict.problems.append(f"the rows are not in the order of {ID} {first}, {first + 1}, {first + 2}, ...")


def _check_labels(lines: list[list[str]], classes: np.ndarray, verdict: Verdict) -> None:
    allowed = {str(label) for label in classes}
    problems = []
    for at, line in enumerate(lines, start=2):
        if len(line) != 2:
            problems.append(f"line {at}: {len(line)} cells instead of 2")
        elif line[1] not in allowed:
            problems.append(f"line {at}: label '{line[1][:30]}' {_why_not(line[1], allowed)}")
    _name(verdict, problems)
    if not problems:
        verdict.labels = np.array([line[1] for line in lines]).astype(classes.dtype)


def _why_not(label: str, allowed: set[str]) -> str:
    if not all(name.isdigit() for name in allowed):
        return "is not a label seen in training"
    try:
        number = float(label)
    except ValueError:
        return "is not a number"
    if number.is_integer() and str(int(number)) in allowed:
        return f"must be written as a whole number, {int(number)}"
    return "is not a label seen in training"


def _name(verdict: Verdict, problems: list[str]) -> None:
    verdict.problems += problems[:SHOWN]
    if len(problems) > SHOWN:
        verdict.problems.append(f"... and {len(problems) - SHOWN} more of this kind")
