"""Parse the rows of a table below its header.

A well-formed table goes through pyarrow. Whatever pyarrow stumbles over is read again by a careful parser in plain
Python, which either names the first problem or reads what pyarrow could not.
"""

from __future__ import annotations

import io
import threading
import weakref
from array import array
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from digits.data.header import BYTES as HEADER_BYTES
from digits.data.header import LABEL, Header, split_cells
from digits.errors import UserError

PIXEL_LIMIT = 255
LABEL_LIMIT = 2**32 - 1
CELL_CHARACTERS = 64  # no cell of a pixel table comes near
EMPTY_LINES = 10_000  # at most: a zip holds millions of them in some kilobytes
BLOCK_BYTES = 2**22  # measured: a fifth faster than 1 MiB, no slower than 16 MiB
RELEASE_SECONDS = 10  # for pyarrow to let go of a file; it takes some milliseconds

Rows = tuple[np.ndarray, np.ndarray]  # pixels uint8 (n, pixels) and labels int64 (n,), empty without their column


def read(header: Header) -> Rows:
    """Read all rows: images uint8 (n, side, side, 1) and labels int64 (n,), empty without their column.

    Raises:
        UserError: there are no rows, or a cell is wrong; the line names it.
    """
    side = header.side
    pixels, labels = parse_fast(header) or parse_carefully(header)
    if not len(pixels):
        raise UserError(f"{header.table}: has a header but no rows; download it again")
    return pixels.reshape(-1, side, side, 1), labels


# --- with pyarrow ------------------------------------------------------------------------------------------


class _PlainStream(io.RawIOBase):
    """Passes bytes on, but refuses quotes and hexadecimal numbers, which pyarrow takes too leniently.

    `released` is set as soon as nobody holds this object any more.
    """

    def __init__(self, stream: BinaryIO, released: threading.Event) -> None:
        self.stream = stream
        released.clear()
        weakref.finalize(self, released.set)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self.stream.read(size)
        if any(sign in chunk for sign in (b'"', b"x", b"X")):
            raise ValueError("not plain digits and commas")
        return chunk


def parse_fast(header: Header) -> Rows | None:
    """Parse with pyarrow; None if it cannot, for a reason that the careful parser finds words for."""
    released = threading.Event()
    released.set()
    try:
        rows = _parse_with_pyarrow(header, released)
    except Exception:
        rows = None
    released.wait(RELEASE_SECONDS)  # a program that ends while pyarrow's thread still holds the file would crash
    return rows


def _parse_with_pyarrow(header: Header, released: threading.Event) -> Rows:
    import pyarrow  # slow to import, and a cached read does without it
    from pyarrow.csv import ConvertOptions, ReadOptions, read_csv

    types = {name: pyarrow.uint32() if name == LABEL else pyarrow.uint8() for name in header.names}
    with header.table.open() as stream:
        stream.readline(HEADER_BYTES)
        rows = read_csv(
            _PlainStream(stream, released),
            ReadOptions(column_names=header.names, block_size=BLOCK_BYTES),
            convert_options=ConvertOptions(column_types=types, null_values=[]),
        )
    label = header.label
    pixels = np.empty((rows.num_rows, len(header.pixels)), np.uint8)
    labels = np.empty(0 if label is None else rows.num_rows, np.int64)
    start = 0
    for batch in rows.to_batches():  # block by block, so that the transposition stays in the processor's cache
        stop = start + batch.num_rows
        columns = [np.from_dlpack(column) for column in batch.columns]  # pyarrow's to_numpy imports pandas
        if label is not None:
            labels[start:stop] = columns.pop(label)
        pixels[start:stop] = np.stack(columns).T
        start = stop
    return pixels, labels


# --- a cell at a time --------------------------------------------------------------------------------------


def parse_carefully(header: Header) -> Rows:
    """Parse as the fast parser does, a cell at a time.

    Raises:
        UserError: the first problem.
    """
    plain = {str(value): value for value in range(PIXEL_LIMIT + 1)}
    label, names, table = header.label, header.pixels, header.table
    pixels, labels = bytearray(), array("q")
    for number, cells in _lines(header):
        if len(cells) != len(header.names):
            raise UserError(
                f"{table}: line {number} has {len(cells)} cells, the header (line 1) {len(header.names)}; "
                "the file is cut off or damaged, download it again"
            )
        where = f"{table}: line {number} (the header is line 1)"
        if label is not None:
            labels.append(_whole_number(cells.pop(label), LABEL_LIMIT, f"{where}, column {LABEL}", "label"))
        values = [plain.get(cell) for cell in cells]
        if None in values:  # padded, or wrong
            values = [
                _whole_number(cell, PIXEL_LIMIT, f"{where}, column {name}", "pixel")
                for name, cell in zip(names, cells, strict=True)
            ]
        pixels += bytes(values)
    return np.frombuffer(pixels, np.uint8).reshape(-1, len(names)), np.array(labels, np.int64)


def _lines(header: Header) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of each line below the header, without empty lines."""
    table, count = header.table, len(header.names)
    limit = CELL_CHARACTERS * (count + 1)
    number, empty = 1, 0
    with table.open() as stream:
        stream.readline(HEADER_BYTES)
        while line := stream.readline(limit):
            number += 1
            if len(line) == limit:
                raise UserError(f"{table}: line {number} is too long for {count} cells; download the file again")
            text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
            if text:
                yield number, split_cells(table, number, text)
                continue
            empty += 1
            if empty > EMPTY_LINES:
                last = f"the last of them line {number}"
                raise UserError(f"{table}: {empty:,} lines are empty, {last}; download it again")


def _whole_number(cell: str, limit: int, where: str, kind: str) -> int:
    """Value of a cell of plain ASCII digits, from 0 to `limit`.

    Raises:
        UserError: it is anything else.
    """
    digits = cell.strip(" \t")
    if digits.isascii() and digits.isdigit() and len(digits) < 20 and int(digits) <= limit:
        return int(digits)
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
