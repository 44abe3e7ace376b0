"""Layout of a table, decided from its first line: which column is what, and what was assumed to know it.

Kaggle's own form is `label,pixel0,pixel1,...`. People have others: pixels numbered from 1 or by row and column, no
header, another name for the labels, ids, the index that pandas leaves, semicolons or tabs, three colours.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isqrt

from digits.competition import COMPETITION
from digits.data.source import Table
from digits.errors import UserError

LABEL = COMPETITION.label
HEADER = f"{LABEL},pixel0,pixel1,..."
LABELS = {LABEL.lower(), "label", "class", "target"}
IDS = {COMPETITION.submission[0].lower(), "id", "imageid", "image_id"}
INDEX = re.compile(r"(index|unnamed: [0-9._]+)?", re.IGNORECASE)  # of pandas
NUMBERED = re.compile(r"(.*?)([0-9]{1,7})", re.DOTALL)
NUMBER = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
SEPARATORS = ",;\t"
BYTES = 2**20  # of the first line, at most
RAMP = 9  # columns from which on 0,1,2,... is a header: no image is such a ramp
SHOWN = 3  # columns that a message names


@dataclass(frozen=True)
class Layout:
    """Columns of a table.

    names: of all columns, in order; their numbers from 1 where no header names them.
    label, id: index of that column; None without one.
    pixels: indices of the pixel columns, an image row after row, with the colours of a pixel side by side.
    shape: height, width and channels of an image.
    remarks: what differs from Kaggle's own form, in a few words each.
    """

    table: Table
    separator: str
    has_header: bool
    names: Sequence[str]
    label: int | None
    id: int | None
    pixels: Sequence[int]
    shape: tuple[int, int, int]
    remarks: tuple[str, ...] = ()

    @classmethod
    def read(cls, table: Table) -> Layout:
        """Decide it from the first line.

        Raises:
            UserError: the file does not begin like a CSV, or it stays unclear which columns are the pixels.
        """
        text = _first_line(table)
        separator = max(SEPARATORS, key=text.count)
        cells = [cell.strip() for cell in split_cells(table, 1, text, separator)]
        if all(map(NUMBER.fullmatch, cells)):
            return _by_count(table, separator, cells)
        return _by_name(table, separator, cells)


def check_pair(train: Layout, test: Layout) -> None:
    """Check that the training table has labels, and that both have images of one size.

    Raises:
        UserError: they have not.
    """
    if train.label is None:
        if test.label is not None:
            raise UserError(f"{train.table}: has no '{LABEL}' column but {test.table} has; swap the two files")
        if not train.has_header:
            count = len(train.names)
            raise UserError(
                f"{train.table}: has no header, and {count:,} columns are pixels alone; put the label first"
            )
        raise UserError(
            f"{train.table}: has no '{LABEL}' column; its columns begin {_listed(train.names)}; give the one with the "
            "labels this name"
        )
    if train.shape != test.shape:
        raise UserError(
            f"{test.table}: has {size(test.shape)} pixels an image, {train.table} has {size(train.shape)}; "
            "take both from one data set"
        )


def size(shape: tuple[int, int, int]) -> str:
    """Size of an image, in words: `28x28`, in colour `28x28x3`."""
    height, width, channels = shape
    return f"{height}x{width}" + (f"x{channels}" if channels > 1 else "")


def split_cells(table: Table, number: int, text: str, separator: str) -> list[str]:
    """Cells of a line, whose number counts from 1.

    Raises:
        UserError: its quotes are misplaced.
    """
    if '"' not in text:
        return text.split(separator)
    try:
        return next(csv.reader([text], strict=True, delimiter=separator))
    except csv.Error as error:
        raise UserError(f"{table}: line {number} has misplaced quotes ({error}); write it without quotes") from None


def _first_line(table: Table) -> str:
    with table.open() as stream:
        start = stream.readline(BYTES)
    if not start:
        raise UserError(f"{table}: is empty; download it again")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{table}: is UTF-16 text; save it as UTF-8")
    if start.lstrip().startswith(b"<"):
        raise UserError(f"{table}: is a web page, not a CSV file (a login page?); download it again")
    line, *_ = re.split(rb"[\r\n]", start, maxsplit=1)
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or len(line) == BYTES:
        raise UserError(f"{table}: is not a CSV file (binary content); download it again")
    if not text.strip():
        raise UserError(f"{table}: line 1 is blank; remove it")
    return text


def _by_count(table: Table, separator: str, cells: list[str]) -> Layout:
    """Layout of a table whose columns have no names: pixels alone, or the label and then the pixels."""
    count = len(cells)
    shapes = {labels: _shape(count - labels) for labels in (0, 1)}
    labels = next((labels for labels, shape in shapes.items() if shape), None)
    if labels is None:
        raise UserError(
            f"{table}: has no header, and {count:,} columns are no square image, alone or behind a label; add the "
            f"header line {HEADER}"
        )
    is_header = count >= RAMP and any(cells == [str(first + number) for number in range(count)] for first in (0, 1))
    remarks = (
        "columns without names: the label, then the pixels" if labels else "columns without names: the pixels alone",
        *_general(separator, shapes[labels]),
    )
    return Layout(
        table=table,
        separator=separator,
        has_header=is_header,
        names=[f"{number}" for number in range(1, count + 1)],
        label=0 if labels else None,
        id=None,
        pixels=range(labels, count),
        shape=shapes[labels],
        remarks=remarks,
    )


def _by_name(table: Table, separator: str, names: Sequence[str]) -> Layout:
    label, identity = _only(table, names, LABELS), _only(table, names, IDS)
    rest = [index for index in range(len(names)) if index not in (label, identity)]
    pixels = [index for index in rest if not INDEX.fullmatch(names[index])]
    if not pixels:
        raise UserError(f"{table}: has no pixel columns; its columns begin {_listed(names)}; download it again")
    ordered = _ordered(table, names, pixels)
    shape = _shape(len(pixels))
    if shape is None:
        raise UserError(f"{table}: {len(pixels):,} pixel columns make no square image; download it again")
    remarks = []
    first, last = names[ordered[0]], names[ordered[-1]]
    if first != "pixel0" or last != f"pixel{len(pixels) - 1}":
        remarks.append(f"pixels {_quoted(first)} to {_quoted(last)}")
    if ordered != pixels:
        remarks.append("pixel columns put in order")
    if label is not None and names[label] != LABEL:
        remarks.append(f"labels in {names[label]!r}")
    if identity is not None:
        remarks.append(f"ids in {names[identity]!r}")
    if len(pixels) < len(rest):
        remarks.append("index column left out")
    remarks += _general(separator, shape)
    return Layout(table, separator, True, names, label, identity, ordered, shape, tuple(remarks))


def _general(separator: str, shape: tuple[int, int, int]) -> list[str]:
    """Remarks on any table, with or without names."""
    separated = (
        [] if separator == "," else ["separated by tabs" if separator == "\t" else f"separated by {separator!r}"]
    )
    return separated + ["the three colours of a pixel side by side"] * (shape[2] > 1)


def _only(table: Table, names: Sequence[str], known: set[str]) -> int | None:
    """Index of the one column that is called like this, None without one."""
    found = [index for index, name in enumerate(names) if name.lower() in known]
    if len(found) > 1:
        raise UserError(f"{table}: columns {_listed(names[index] for index in found)} mean the same; keep one of them")
    return found[0] if found else None


def _ordered(table: Table, names: Sequence[str], pixels: Sequence[int]) -> list[int]:
    """Pixel columns in the order of their numbers."""
    called = [names[index].lower() for index in pixels]
    side = isqrt(len(called))
    for first in (0, 1):
        along = range(first, first + side)
        grid = {f"{row}x{column}": row * side + column for row in along for column in along}
        if grid.keys() == set(called) and len(grid) == len(called):
            return sorted(pixels, key=lambda index: grid[names[index].lower()])
    try:
        numbers = _numbers([names[index] for index in pixels])
    except ValueError as error:
        is_row = sum(map(_is_float, names)) > len(names) / 2
        fault = f"line 1 is neither whole numbers nor a header; add the header line {HEADER}" if is_row else str(error)
        raise UserError(f"{table}: {fault}") from None
    return [index for _, index in sorted(zip(numbers, pixels, strict=True))]


def _numbers(names: Sequence[str]) -> list[int]:
    """Numbers of pixel columns such as `pixel12` or `px_0012`, whole from 0 or 1.

    Raises:
        ValueError: they are not; says which columns to look at.
    """
    matches = [NUMBERED.fullmatch(name) for name in names]
    prefixes = Counter(match[1].lower() for match in matches if match)
    prefix = max(prefixes, key=prefixes.get, default="pixel")
    others = [name for name, match in zip(names, matches, strict=True) if not match or match[1].lower() != prefix]
    if others:
        verb, them = ("is", "it") if len(others) == 1 else ("are", "them")
        raise ValueError(f"{_listed(others)} {verb} neither pixel, label, id nor index; rename or remove {them}")
    numbers = [int(match[2]) for match in matches]
    (number, times), *_ = Counter(numbers).most_common(1)
    if times > 1:
        raise ValueError(f"column {_quoted(f'{prefix}{number}')} appears twice; remove one")
    present = set(numbers)
    missing = next(number for number in itertools.count(min(*numbers, 1)) if number not in present)
    if missing < max(numbers):
        raise ValueError(f"column {_quoted(f'{prefix}{missing}')} is missing; download the file again")
    return numbers


def _is_float(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _shape(count: int) -> tuple[int, int, int] | None:
    """Height, width and channels of a square image of so many values, grey or in colour."""
    for channels in (1, 3):
        side = isqrt(max(count, 0) // channels)
        if side and channels * side**2 == count:
            return side, side, channels
    return None


def _listed(names: Iterable[str]) -> str:
    quoted = list(map(_quoted, names))
    more = f" and {len(quoted) - SHOWN:,} more" if len(quoted) > SHOWN else ""
    return ", ".join(quoted[:SHOWN]) + more


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 24 else f"{name[:24]}...")
