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
ID, FIRST = COMPETITION.submission[0], COMPETITION.first_id
OF_PROBABILITIES = len(COMPETITION.submission) == 1
SHOWN = 5  # problems of one kind that are named before they are only counted


@dataclass
class Verdict:
    """Result of the validator: `problems` make a file invalid, `remarks` do not."""

    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    labels: np.ndarray | None = None  # int64 or str (n,), the most probable ones, where every line could be read

    @property
    def valid(self) -> bool:
        return not self.problems

    def add(self, problems: list[str]) -> None:
        """Add problems of one kind, of which only the first are named."""
        self.problems += problems[:SHOWN]
        if len(problems) > SHOWN:
            self.problems.append(f"... and {len(problems) - SHOWN} more of this kind")


def header(classes: np.ndarray) -> list[str]:
    """Columns of a submission for these classes, int64 or str (c,)."""
    return [ID, *map(str, classes)] if OF_PROBABILITIES else list(COMPETITION.submission)


def write(path: Path, probabilities: np.ndarray, classes: np.ndarray) -> None:
    """Write and validate a submission; an earlier file stays until this one is whole and valid.

    Args:
        path: of the file.
        probabilities: float (n, c), in the order of the test rows.
        classes: int64 or str (c,): the labels seen in training, ascending.

    Raises:
        ValueError: the file is not valid, a bug.
    """
    labels = classes[probabilities.argmax(axis=1)]
    answers = probabilities if OF_PROBABILITIES else labels[:, None]
    with replacing(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header(classes))
            writer.writerows([number, *answer] for number, answer in enumerate(answers.tolist(), start=FIRST))
        verdict = check(temporary, len(labels), classes)
        if not verdict.valid or not np.array_equal(verdict.labels, labels):
            raise ValueError(f"{path}: {'; '.join(verdict.problems) or 'does not read back as written'}")


def check(path: Path, rows: int, classes: np.ndarray) -> Verdict:
    """Validate a submission file, whoever made it.

    Args:
        path: of the file.
        rows: test rows that it must answer.
        classes: int64 or str (c,): the labels seen in training.

    Raises:
        UserError: it cannot be read as text.
    """
    verdict, columns = Verdict(), header(classes)
    lines = _lines(path, limits.SUBMISSION_BYTES + limits.SUBMISSION_ROW_BYTES * len(columns) * rows, verdict)
    if not lines:
        verdict.problems.append("the file is empty")
        return verdict
    _check_header(lines[0], columns, verdict)
    _check_ids([line[0] if line else "" for line in lines[1:]], rows, verdict)
    _check_answers(lines[1:], classes, verdict)
    return verdict


def compare(verdict: Verdict, chosen: np.ndarray, run: str, own: bool) -> None:
    """Compare the labels of a readable file with those that a run's stored probabilities choose.

    Args:
        verdict: of `check`; gets the problems and remarks of the comparison.
        chosen: labels (n,), in the order of the test rows.
        run: name of the run, for messages.
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
            f"at {ID} {first + FIRST}: {labels[first]} instead of {chosen[first]}"
        )
    elif agreement < 0.5:
        by_name = np.array(sorted(range(FIRST, FIRST + len(labels)), key=str)) - FIRST
        if (labels == chosen[by_name]).mean() > 0.9:
            guess = "the rows stand in file-name order (1, 10, 100, ...), not in number order"
        else:
            guess = "the rows are probably in another order, or of other images"
        verdict.problems.append(f"only {agreement:.1%} of the labels agree with run '{run}': {guess}")
    else:
        verdict.remarks.append(f"agrees with run '{run}' on {agreement:.2%} of the rows")


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


def _check_header(found: list[str], columns: list[str], verdict: Verdict) -> None:
    if found == columns:
        return
    is_missing = bool(found) and found[0].strip().lstrip("-").isdigit()
    must = f"the header '{','.join(columns)}' is missing" if is_missing else f"the header must be '{','.join(columns)}'"
    verdict.problems.append(f"line 1: {must}, found '{','.join(found)[:60]}'")


def _check_ids(cells: list[str], rows: int, verdict: Verdict) -> None:
    if len(cells) != rows:
        verdict.problems.append(f"{len(cells)} rows after the header, the test set has {rows}")
    unreadable = [(line, cell) for line, cell in enumerate(cells, start=2) if not PLAIN.fullmatch(cell)]
    verdict.add([f"line {line}: {ID} '{cell[:30]}' is not a plain whole number" for line, cell in unreadable])
    ids = [int(cell) for cell in cells if PLAIN.fullmatch(cell)]
    if FIRST and ids == list(range(len(cells))):
        verdict.problems.append(f"{ID} starts at 0; it must start at {FIRST}")
        return
    repeated = [number for number, times in Counter(ids).items() if times > 1]
    verdict.add([f"{ID} {number} stands more than once" for number in repeated])
    missing = sorted(set(range(FIRST, FIRST + rows)).difference(ids))
    verdict.add([f"{ID} {number} is missing" for number in missing])
    beyond = [number for number in ids if not FIRST <= number < FIRST + rows]
    verdict.add([f"{ID} {number} is beyond the {rows} test rows" for number in beyond])
    if not repeated and not missing and ids != sorted(ids):
        verdict.problems.append(f"the rows are not in the order of {ID} {FIRST}, {FIRST + 1}, {FIRST + 2}, ...")


def _check_answers(lines: list[list[str]], classes: np.ndarray, verdict: Verdict) -> None:
    count, allowed, problems = len(header(classes)), {str(label) for label in classes}, []
    for number, line in enumerate(lines, start=2):
        if len(line) != count:
            problems.append(f"line {number}: {len(line)} cells instead of {count}")
        elif OF_PROBABILITIES:
            wrong = [cell for cell in line[1:] if not _is_probability(cell)]
            problems += [f"line {number}: '{cell[:30]}' is not a probability from 0 to 1" for cell in wrong]
        elif line[1] not in allowed:
            problems.append(f"line {number}: label '{line[1][:30]}' {_why_not(line[1], allowed)}")
    verdict.add(problems)
    if not problems and OF_PROBABILITIES:
        verdict.labels = classes[np.array([line[1:] for line in lines], float).reshape(-1, count - 1).argmax(axis=1)]
    elif not problems:
        verdict.labels = np.array([line[1] for line in lines]).astype(classes.dtype)


def _is_probability(cell: str) -> bool:
    try:
        return 0 <= float(cell) <= 1
    except ValueError:
        return False


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
