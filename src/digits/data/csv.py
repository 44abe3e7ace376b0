"""Parse the rows of a table below its header.

A well-formed table goes through pyarrow. Whatever pyarrow stumbles over is read again by a careful parser in plain
Python, which either names the first problem or reads what pyarrow could not.
"""

from __future__ import annotations

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
BLOCK_BYTES = 2**22  # that pyarrow parses at a time: as fast as more, in less memory

# uint8 (n, pixels) and int64 (n,), the latter empty if the table has no labels
PixelsAndLabels = tuple[np.ndarray, np.ndarray]


def read(header: Header) -> PixelsAndLabels:
    """Read all rows: images uint8 (n, side, side, 1), and labels int64 (n,) if the table has them.

    Raises:
        UserError: there are no rows, or a cell is wrong; the line names it.
    """
    side = header.side
    pixels, labels = parse_fast(header) or parse_carefully(header)
    if not len(pixels):
        raise UserError(f"{header.table}: has a header but no rows; download it again")
    return pixels.reshape(-1, side, side, 1), labels


# --- with pyarrow ------------------------------------------------------------------------------------------


def parse_fast(header: Header) -> PixelsAndLabels | None:
    """Parse with pyarrow; None if it cannot, for a reason that the careful parser finds words for."""
    try:
        with header.table.open() as stream:
            stream.readline(HEADER_BYTES)
            pixels, labels = zip(*(_parse_block(block, header) for block in _blocks(stream)), strict=True)
    except Exception:
        return None
    return np.concatenate(pixels), np.concatenate(labels)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Some megabytes of whole lines at a time.

    Raises:
        ValueError: a line is longer, or there are signs that pyarrow takes too leniently: quotes, hexadecimal numbers.
    """
    rest = b""
    while chunk := stream.read(BLOCK_BYTES):
        lines, newline, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > BLOCK_BYTES or any(sign in chunk for sign in (b'"', b"x", b"X")):
            raise ValueError("not plain digits and commas")
        yield lines + newline
    yield rest


def _parse_block(block: bytes, header: Header) -> PixelsAndLabels:
    import pyarrow  # slow to import, and a cached read does without it
    from pyarrow.csv import ConvertOptions, ReadOptions, read_csv

    if not block.strip(b"\r\n"):
        return np.empty((0, len(header.pixels)), np.uint8), np.empty(0, np.int64)
    types = {name: pyarrow.uint32() if name == LABEL else pyarrow.uint8() for name in header.names}
    rows = read_csv(
        pyarrow.BufferReader(block),
        ReadOptions(column_names=header.names, block_size=len(block)),
        convert_options=ConvertOptions(column_types=types, null_values=[]),
    )
    (batch,) = rows.to_batches()
    columns = [np.from_dlpack(column) for column in batch.columns]  # pyarrow's to_numpy imports pandas
    labels = np.empty(0) if header.label is None else columns.pop(header.label)
    return np.stack(columns, axis=1), labels.astype(np.int64)


# --- a cell at a time --------------------------------------------------------------------------------------


def parse_carefully(header: Header) -> PixelsAndLabels:
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
