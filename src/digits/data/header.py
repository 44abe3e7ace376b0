"""Headers of the competition's tables: `label,pixel0,pixel1,...`, the label's column anywhere or nowhere."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

from digits.competition import COMPETITION
from digits.data.source import Table
from digits.errors import UserError

LABEL = COMPETITION.label
BYTES = 2**20  # of the first line, at most
PIXEL = re.compile(r"pixel\d+")


@dataclass(frozen=True)
class Header:
    """First line of a table. names: of its columns, in order."""

    table: Table
    names: list[str]

    @classmethod
    def read(cls, table: Table) -> Header:
        """Read the column names.

        Raises:
            UserError: the file does not begin like a CSV.
        """
        with table.open() as stream:
            line = stream.readline(BYTES)
        if not line:
            raise UserError(f"{table}: is empty; download it again")
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UserError(f"{table}: is UTF-16 text; save it as UTF-8")
        if line.lstrip().startswith(b"<"):
            raise UserError(f"{table}: is a web page, not a CSV file (a login page?); download it again")
        try:
            text = line.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text or len(line) == BYTES:
            raise UserError(f"{table}: is not a CSV file (binary content); download it again")
        names = [name.strip() for name in split_cells(table, 1, text)]
        if all(name.isascii() and name.isdigit() for name in names):
            raise UserError(f"{table}: line 1 is numbers; add the header line {LABEL},pixel0,pixel1,...")
        return Header(table, names)

    @property
    def label(self) -> int | None:
        """Index of the label's column; None without one."""
        return self.names.index(LABEL) if LABEL in self.names else None

    @property
    def pixels(self) -> list[str]:
        """Names of the pixel columns."""
        return [name for name in self.names if name != LABEL]

    @cached_property
    def side(self) -> int:
        """Side of an image in pixels.

        Raises:
            UserError: a pixel column is missing, extra, misnamed, doubled or out of order; the line names it.
        """
        (name, times), *_ = Counter(self.names).most_common(1)
        if times > 1:
            raise UserError(f"{self.table}: column {name[:24]!r} appears twice; remove one")
        for index, name in enumerate(self.pixels):
            if name != f"pixel{index}":
                raise UserError(f"{self.table}: {_misplaced(name, index, self.pixels)}")
        count = len(self.pixels)
        if not count or isqrt(count) ** 2 != count:
            raise UserError(f"{self.table}: {count} pixel columns make no square image; download it again")
        return isqrt(count)


def check_pair(train: Header, test: Header) -> None:
    """Check that one table has labels, the other has none, and that both have images of one size.

    Raises:
        UserError: they have not, or a column of one is wrong; the line names it.
    """
    if train.label is None:
        if test.label is not None:
            raise UserError(
                f"{train.table}: has no '{LABEL}' column but {test.table.file.name} has; swap the two files"
            )
        first = ", ".join(repr(name[:24]) for name in train.names[:3])
        raise UserError(f"{train.table}: has no '{LABEL}' column; its columns begin {first}")
    if test.label is not None:
        raise UserError(
            f"{test.table}: has a '{LABEL}' column; a test file holds pixels only (a copy of {COMPETITION.train}?)"
        )
    if train.side != test.side:
        raise UserError(
            f"{test.table}: has {test.side}x{test.side} pixels an image, {train.table} has {train.side}x{train.side}; "
            "take both from one competition"
        )


def split_cells(table: Table, number: int, text: str) -> list[str]:
    """Cells of a line, whose number counts from 1.

    Raises:
        UserError: its quotes are misplaced.
    """
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise UserError(f"{table}: line {number} has misplaced quotes ({error}); write it without quotes") from None


def _misplaced(name: str, index: int, names: list[str]) -> str:
    """Fault of a column that stands in the place of `pixel<index>`."""
    expected, shown = f"pixel{index}", repr(name[:24])
    is_pixel = PIXEL.fullmatch(name)
    if is_pixel and expected in names:
        return f"column {shown} comes before '{expected}'; sort the pixel columns"
    if is_pixel:
        return f"column '{expected}' is missing; download the file again"
    if expected in names or (index == len(names) - 1 and isqrt(index) ** 2 == index):
        return f"unexpected column {shown}; remove it"
    return f"column {shown} stands where '{expected}' should; rename it"
