"""Parse the rows of a table, whose layout is known.

A well-formed table goes through pyarrow. Whatever pyarrow stumbles over is read again by a careful parser in plain
Python, which either names the first problem or reads what pyarrow could not.
"""

from __future__ import annotations

import codecs
import io
from array import array
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO, NamedTuple

import numpy as np

from digits.data.layout import BYTES as LINE_BYTES
from digits.data.layout import NUMBER, Layout, split_cells
from digits.errors import UserError

PIXEL_LIMIT = 255
LABEL_LIMIT = 2**32 - 1
ID_LIMIT = 10**18 - 1  # as many digits as a submission may have
CELL_CHARACTERS = 64  # no cell of a pixel table comes near
EMPTY_LINES = 10_000  # at most: a zip holds millions of them in some kilobytes
BLOCK_BYTES = 2**22  # that pyarrow parses at a time: as fast as more, in less memory
SIGNS = (b'"', b"+", b"-")
LAST = ord(";")  # of the bytes between digits; behind it stand letters: infinities, exponents, hexadecimal numbers


class ParsedTable(NamedTuple):
    """Content of a table: images uint8 (n, height, width, channels), labels and ids int64 (n,), or (0,) without any."""

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


def read(layout: Layout) -> ParsedTable:
    """Read all rows.

    Raises:
        UserError: there are no rows, or a cell is wrong; the line names it.
    """
    rows = parse_fast(layout) or parse_carefully(layout)
    if not len(rows.images):
        raise UserError(f"{layout.table}: has a header but no rows; download it again")
    return rows


# --- with pyarrow ------------------------------------------------------------------------------------------


def parse_fast(layout: Layout) -> ParsedTable | None:
    """Parse with pyarrow; None if it cannot, for a reason that the careful parser finds words for."""
    try:
        with layout.table.open() as stream:
            blocks = [_parse_block(block, layout) for block in _blocks(stream, layout.has_header)]
    except Exception:
        return None
    return ParsedTable(*map(np.concatenate, zip(*blocks, strict=True)))


def _blocks(stream: BinaryIO, has_header: bool) -> Iterator[bytes]:
    """Whole lines of a table, some megabytes at a time.

    Raises:
        ValueError: a line is longer, or there are signs that pyarrow takes too leniently.
    """
    first = stream.readline(LINE_BYTES)
    if b"\r" in first.rstrip(b"\r\n"):
        raise ValueError("lines end in a carriage return alone")
    rest = b""
    start = b"" if has_header else first.removeprefix(codecs.BOM_UTF8)
    for chunk in chain([start], iter(partial(stream.read, BLOCK_BYTES), b"")):
        if np.frombuffer(chunk, np.uint8).max(initial=0) > LAST or any(sign in chunk for sign in SIGNS):
            raise ValueError("not plain numbers")
        lines, newline, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > BLOCK_BYTES:
            raise ValueError("an endless line")
        yield lines + newline
    yield rest


def _parse_block(block: bytes, layout: Layout) -> ParsedTable:
    import pyarrow  # slow to import, and a cached read does without it
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

    if not block.strip(b"\r\n"):
        return ParsedTable(np.empty((0, *layout.shape), np.uint8), np.empty(0, np.int64), np.empty(0, np.int64))
    types = {index: pyarrow.uint8() for index in layout.pixels}
    more = {layout.label: pyarrow.float64(), layout.id: pyarrow.int64()}  # people write labels as 5.0
    types |= {index: kind for index, kind in more.items() if index is not None}
    parsed = read_csv(
        pyarrow.BufferReader(block),
        ReadOptions(column_names=list(map(str, range(len(layout.names)))), block_size=len(block)),
        ParseOptions(delimiter=layout.separator),
        ConvertOptions(
            column_types={str(index): kind for index, kind in types.items()},
            include_columns=list(map(str, types)),
            null_values=[],
        ),
    )
    (batch,) = parsed.to_batches()
    columns = dict(zip(types, map(np.from_dlpack, batch.columns), strict=True))  # pyarrow's to_numpy imports pandas
    labels, ids = (columns.pop(index, np.empty(0)) for index in (layout.label, layout.id))
    if (labels > LABEL_LIMIT).any() or (labels % 1).any() or (ids > ID_LIMIT).any():
        raise ValueError("a label or id that is no whole number within the limit")
    images = np.stack(list(columns.values()), axis=1).reshape(-1, *layout.shape)
    return ParsedTable(images, labels.astype(np.int64), ids.astype(np.int64))


# --- a cell at a time --------------------------------------------------------------------------------------


def parse_carefully(layout: Layout) -> ParsedTable:
    """Parse as the fast parser does, a cell at a time.

    Raises:
        UserError: the first problem.
    """
    plain = {text: value for value in range(PIXEL_LIMIT + 1) for text in (str(value), f"{value}.0")}
    table, names, count = layout.table, layout.names, len(layout.names)
    pixels, labels, ids = bytearray(), array("q"), array("q")
    header = " (the header is line 1)" if layout.has_header else ""
    others = ((layout.label, labels, LABEL_LIMIT, "label"), (layout.id, ids, ID_LIMIT, "id"))
    for number, cells in _lines(layout):
        if len(cells) != count:
            raise UserError(
                f"{table}: line {number} has {len(cells)} cells, line 1 has {count}; "
                "the file is cut off or damaged, download it again"
            )
        where = f"{table}: line {number}{header}, column "
        for index, values, limit, kind in others:
            if index is not None:
                values.append(_whole_number(cells[index], limit, where + names[index], kind))
        row = [plain.get(cells[index]) for index in layout.pixels]
        if None in row:  # padded, or wrong
            row = [_whole_number(cells[index], PIXEL_LIMIT, where + names[index], "pixel") for index in layout.pixels]
        pixels += bytes(row)
    images = np.frombuffer(pixels, np.uint8).reshape(-1, *layout.shape)
    return ParsedTable(images, np.array(labels, np.int64), np.array(ids, np.int64))


def _lines(layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line below the header, without empty lines."""
    table, count = layout.table, len(layout.names)
    limit = CELL_CHARACTERS * (count + 1)
    number, empty = 0, 0
    with table.open() as stream, io.TextIOWrapper(stream, "utf-8-sig", "backslashreplace") as lines:
        if layout.has_header:
            number += 1
            lines.readline(LINE_BYTES)
        while line := lines.readline(limit):
            number += 1
            if len(line) == limit:
                raise UserError(f"{table}: line {number} is too long for {count} cells; download the file again")
            text = line.rstrip("\n")
            if text:
                yield number, split_cells(table, number, text, layout.separator)
                continue
            empty += 1
            if empty > EMPTY_LINES:
                last = f"the last of them line {number}"
                raise UserError(f"{table}: {empty:,} lines are empty, {last}; download it again")


def _whole_number(cell: str, limit: int, where: str, kind: str) -> int:
    """Value of a cell that holds a whole number from 0 to `limit`, also one written as `5.0`."""
    text = cell.strip(" \t")
    if NUMBER.fullmatch(text):
        value = int(text) if text.isdigit() and len(text) < 20 else float(text)
        if value <= limit and value == int(value):
            return int(value)
    raise UserError(f"{where}: {_fault(cell, limit)}; a {kind} is a whole number from 0 to {limit}")


def _fault(cell: str, limit: int) -> str:
    """Describe a cell that is no whole number within the limit."""
    shown = repr(cell if len(cell) <= 24 else cell[:24] + "...")
    if not cell.strip():
        return "the cell is empty"
    try:
        value = float(cell)
    except ValueError:
        return f"{shown} is not a number"
    if np.isnan(value):
        return f"{shown} is missing"
    if value < 0:
        return f"{shown} is negative"
    if value > limit:
        return f"{shown} is over {limit}"
    if not value.is_integer():
        return f"{shown} is a fraction"
    return f"{shown} is not written in plain digits"
