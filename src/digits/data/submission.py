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
from digits.data import source
from digits.errors import UserError
from digits.files import limits
from digits.files.atomic import replacing

PLAIN = re.compile("0|[1-9][0-9]{0,17}")
ID, FIRST = COMPETITION.submission[0], COMPETITION.first_id
OF_PROBABILITIES = len(COMPETITION.submission) == 1
SHOWN = 5  # problems of one kind that are listed; of more than that the first is, and the others are counted
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # how a zip begins, and one without members


@dataclass
class Verdict:
    """Result of the validator: `problems` make a file invalid, `remarks` do not.

    ids: of the test rows, see `expected_ids`. labels: int64 or str (n,), the most probable ones, in the order of these
    rows; None where an id or an answer is wrong. in_order: the lines are in their order too.
    """

    ids: list[int]
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    labels: np.ndarray | None = None
    in_order: bool = True

    @property
    def valid(self) -> bool:
        return not self.problems

    def add(self, problems: list[str]) -> None:
        """Add problems of one kind: all of a few, else the first and how many there are."""
        is_many = len(problems) > SHOWN
        self.problems += [f"{problems[0]}, and {len(problems) - 1:,} more of this kind"] if is_many else problems


@dataclass(frozen=True, eq=False)
class Reference:
    """Labels to compare those of a file with.

    name: such as "run 'default'". labels: int64 or str (m,), of these `rows` of the test rows, int (m,). accuracy:
    share of them that is expected to be right.
    """

    name: str
    labels: np.ndarray
    accuracy: float
    rows: np.ndarray


def header(classes: np.ndarray) -> list[str]:
    """Columns of a submission for these classes, int64 or str (c,)."""
    return [ID, *map(str, classes)] if OF_PROBABILITIES else list(COMPETITION.submission)


def expected_ids(rows: int, ids: np.ndarray | None = None) -> list[int]:
    """Ids of the test rows: those of their table, int (rows,), or else counted from the competition's first one."""
    return list(range(FIRST, FIRST + rows)) if ids is None else ids.tolist()


def write(path: Path, probabilities: np.ndarray, classes: np.ndarray, ids: np.ndarray | None = None) -> None:
    """Write and validate a submission; an earlier file stays until this one is whole and valid.

    probabilities: float (n, c), in the order of the test rows. classes: labels seen in training, int64 or str (c,),
    ascending. ids: of the test rows, see `expected_ids`.

    Raises:
        ValueError: the file is not valid, a bug.
    """
    labels = classes[probabilities.argmax(axis=1)]
    answers = (probabilities if OF_PROBABILITIES else labels[:, None]).tolist()
    own_ids = expected_ids(len(labels), ids)
    with replacing(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header(classes))
            writer.writerows([number, *answer] for number, answer in zip(own_ids, answers, strict=True))
        verdict = check(temporary, len(labels), classes, ids)
        compare_own(verdict, labels, path.parent.name)
        if not verdict.valid:
            raise ValueError(f"{path}: {'; '.join(verdict.problems)}")


def check(path: Path, rows: int, classes: np.ndarray, ids: np.ndarray | None = None) -> Verdict:
    """Validate a submission file, whoever made it, as Kaggle does: answers belong to their ids, in whatever order.

    path: of the file, or of a zip that holds it. rows: test rows that it must answer. classes: labels seen in
    training, int64 or str (c,). ids: of the test rows, see `expected_ids`.

    Raises:
        UserError: it cannot be read as text, or its zip is damaged or unsafe.
    """
    verdict, columns = Verdict(expected_ids(rows, ids)), header(classes)
    lines = _lines(path, limits.SUBMISSION_BYTES + limits.SUBMISSION_ROW_BYTES * len(columns) * rows, verdict)
    if not lines:
        verdict.problems.append("the file is empty")
        return verdict
    _check_header(lines[0], columns, verdict)
    if len(lines) == 1:
        verdict.problems.append(f"no rows after the header, the test set has {rows}")
        return verdict
    order = _check_ids([line[0] if line else "" for line in lines[1:]], verdict)
    labels = _check_answers(lines[1:], classes, verdict)
    if order is not None and labels is not None:
        verdict.labels = labels[order]
        if (labels == labels[0]).all():
            verdict.remarks.append(f"every row gets the label {labels[0]}: sample_submission.csv, sent by mistake?")
    return verdict


def compare_own(verdict: Verdict, chosen: np.ndarray, run: str) -> None:
    """Compare a file that a run wrote with the labels that it should hold: every row, in order.

    verdict: of `check`; gets the problems. chosen: labels (n,) of the run, in the order of the test rows. run: its
    name.
    """
    if verdict.labels is None:
        return
    wrong = np.flatnonzero(verdict.labels != chosen)
    if len(wrong):
        first = wrong[0]
        verdict.problems.append(
            f"{len(wrong)} labels are not those of run '{run}', the first "
            f"at {ID} {verdict.ids[first]}: {verdict.labels[first]} instead of {chosen[first]}"
        )
    if not verdict.in_order:
        verdict.problems.append(f"the rows are not in the order in which run '{run}' writes them")


def compare(verdict: Verdict, reference: Reference) -> None:
    """Judge by a reference whether the labels of a readable file are in the order of the test rows.

    Right labels agree with a reference about as often as it is right; labels in another order as often as chance has
    it, which is the sum over the classes of both their shares. The limit is half way between the two. Labels that are
    all equal have no order.

    verdict: of `check`; gets the problem or remark. reference: of the same test rows and classes.
    """
    if verdict.labels is None or (verdict.labels == verdict.labels[0]).all():
        return
    labels, expected = verdict.labels[reference.rows], reference.labels
    agreement = float((labels == expected).mean())
    chance = sum(float((labels == label).mean() * (expected == label).mean()) for label in np.unique(expected))
    limit = (chance + reference.accuracy) / 2
    rows = "the" if len(labels) == len(verdict.labels) else f"{len(labels):,}"
    agrees = (
        f"agrees with {reference.name} on {agreement:.2%} of {rows} rows; it is right in about {reference.accuracy:.1%}"
    )
    if agreement >= limit:
        verdict.remarks.append(agrees)
        return
    by_name = np.argsort(list(map(str, verdict.ids)))
    if (verdict.labels[by_name.argsort()[reference.rows]] == expected).mean() >= limit:
        guess = "the rows stand in file-name order (1, 10, 100, ...), not in number order"
    else:
        guess = "the rows are probably in another order, of other images, or badly predicted"
    verdict.problems.append(f"{agrees}: {guess}")


def _lines(path: Path, most: int, verdict: Verdict) -> list[list[str]]:
    try:
        content = _content(path, most)
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


def _content(path: Path, most: int) -> bytes:
    """Bytes of a CSV, at most so many, or of the only one in a zip."""
    content = limits.read_bytes(path, most, "submission")
    if not content.startswith(ZIP):
        return content
    table = source.only_csv(path)
    with table.open() as file:
        return limits.read(file, most, f"submission {table}", "submission")


def _check_header(found: list[str], columns: list[str], verdict: Verdict) -> None:
    if found == columns:
        return
    is_missing = bool(found) and found[0].strip().lstrip("-").isdigit()
    must = f"the header '{','.join(columns)}' is missing" if is_missing else f"the header must be '{','.join(columns)}'"
    verdict.problems.append(f"line 1: {must}, found '{','.join(found)[:60]}'")


def _check_ids(cells: list[str], verdict: Verdict) -> np.ndarray | None:
    """Number of each test row's line, int (rows,), if each has one."""
    expected, rows = verdict.ids, len(verdict.ids)
    if len(cells) != rows:
        verdict.problems.append(f"{len(cells)} rows after the header, the test set has {rows}")
    unreadable = [(line, cell) for line, cell in enumerate(cells, start=2) if not PLAIN.fullmatch(cell)]
    if unreadable:
        verdict.add([f"line {line}: {ID} '{cell[:30]}' is not a plain whole number" for line, cell in unreadable])
        return None
    ids = [int(cell) for cell in cells]
    if expected and expected[0] and ids == list(range(len(ids))):
        verdict.problems.append(f"{ID} starts at 0; it must start at {expected[0]}")
        return None
    repeated = [number for number, times in Counter(ids).items() if times > 1]
    verdict.add([f"{ID} {number} stands more than once" for number in repeated])
    missing = sorted(set(expected).difference(ids))
    verdict.add([f"{ID} {number} is missing" for number in missing])
    beyond = sorted(set(ids).difference(expected))
    verdict.add([f"{ID} {number} is beyond the {rows} test rows" for number in beyond])
    if repeated or missing or beyond:
        return None
    verdict.in_order = ids == expected
    if not verdict.in_order:
        verdict.remarks.append(f"the rows are not in the order of {ID}; Kaggle joins them by {ID}, and so did we")
    line_of = {number: line for line, number in enumerate(ids)}
    return np.array([line_of[number] for number in expected], int)


def _check_answers(lines: list[list[str]], classes: np.ndarray, verdict: Verdict) -> np.ndarray | None:
    """Most probable label of each line (n,), if every answer can be read."""
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
    if problems:
        return None
    if OF_PROBABILITIES:
        return classes[np.array([line[1:] for line in lines], float).argmax(axis=1)]
    return np.array([line[1] for line in lines]).astype(classes.dtype)


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
