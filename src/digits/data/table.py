"""Read the two CSVs straight into uint8 arrays, check every cell, keep the result in a cache.

A well-formed table goes through pyarrow. Whatever pyarrow stumbles over is read again by a careful parser
in plain Python, which either names the first problem or reads what pyarrow could not.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import re
import threading
import time
import weakref
from array import array
from collections.abc import Iterator
from math import isqrt
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from digits.competition import COMPETITION
from digits.data.dataset import Dataset
from digits.data.source import TEST, TRAIN, Source, Table, locate
from digits.errors import UserError
from digits.files.atomic import TEMPORARY, replacing

LABEL = COMPETITION.label
PIXEL_LIMIT = 255
LABEL_LIMIT = 2**32 - 1
HEADER_BYTES = 2**20
MOST_EMPTY_LINES = 10_000
BLOCK_BYTES = 2**22  # measured: a fifth faster than 1 MiB, no slower than 16 MiB
RELEASE_SECONDS = 10  # for pyarrow to let go of a file; it takes some milliseconds

CACHE_FORMAT = 2
CACHE_ENTRIES = 4
STALE_SECONDS = 3600


def read(source: Source, cache: Path) -> Dataset:
    """Read, check and cache both tables; a later read of the same files comes from the cache.

    cache: a folder, made where it is missing. The newest few entries stay in it.

    Raises:
        UserError: a table is not what the competition ships; the line says where and what to do.
        OSError: the cache folder cannot be written.
    """
    if source.path is None:
        from digits.data.demo import demo  # imports scikit-learn, which takes longer than reading the CSVs

        return demo()
    tables = locate(source.path)
    entry = cache / f"{_key(tables)}.npy"
    dataset = _load(entry, str(source.path))
    if dataset is None:
        dataset = _parse(tables, str(source.path))
        _store(dataset, entry)
        _prune(cache)
    return dataset


def read_images(path: Path, side: int) -> np.ndarray:
    """The images of one CSV, with or without labels: uint8 (n, side, side, 1).

    Raises:
        UserError: it is not in the competition's form, or its images have another side.
    """
    table = Table(path)
    columns = _columns(table)
    found = _side(table, columns)
    if found != side:
        raise UserError(f"{table}: has {found}x{found} pixels an image, the networks were trained on {side}x{side}")
    return _rows(table, columns)[0].reshape(-1, side, side, 1)


# --- the cache: one file an entry, so that one rename makes it whole ---------------------------------------


def _key(tables: dict[str, Table]) -> str:
    """Names what the entry was read from: the files and their state."""
    state = []
    for table in tables.values():
        status = table.file.stat()
        state.append([str(table.file.resolve()), table.member, status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps([CACHE_FORMAT, state]).encode()).hexdigest()[:32]


def _load(entry: Path, origin: str) -> Dataset | None:
    """The cached rows, or None where there is no entry or its content does not match its fingerprints."""
    try:
        with entry.open("rb") as file:
            fingerprints, *arrays = (np.load(file, allow_pickle=False) for _ in range(4))
        dataset = Dataset(COMPETITION.name, origin, *arrays)
        whole = fingerprints.tolist() == [dataset.fingerprint, dataset.test_fingerprint]
    except MemoryError:
        raise
    except Exception:  # a damaged file can raise anything, and is read from its source again whatever it is
        return None
    return dataset if whole else None


def _store(dataset: Dataset, entry: Path) -> None:
    """Write the entry under a temporary name, then rename it: another process sees all of it or nothing."""
    fingerprints = np.array([dataset.fingerprint, dataset.test_fingerprint])
    arrays = (fingerprints, dataset.train_images, dataset.train_labels, dataset.test_images)
    with replacing(entry) as temporary, temporary.open("wb") as file:
        for of in arrays:
            np.save(file, of, allow_pickle=False)


def _prune(cache: Path) -> None:
    """Remove all but the newest entries, and what killed processes left behind."""
    ages = {}
    for path in (*cache.glob("[!.]*.npy"), *cache.glob(f"{TEMPORARY}*")):
        try:
            ages[path] = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # another process was faster
            continue
    unfinished = [path for path in ages if path.name.startswith(TEMPORARY)]
    entries = sorted(ages.keys() - set(unfinished), key=ages.get)
    stale = [path for path in unfinished if ages[path] > STALE_SECONDS]
    for path in (*entries[CACHE_ENTRIES:], *stale):
        path.unlink(missing_ok=True)


# --- from CSV to arrays ------------------------------------------------------------------------------------


def _parse(tables: dict[str, Table], origin: str) -> Dataset:
    train, test = tables[TRAIN], tables[TEST]
    train_columns, test_columns = _columns(train), _columns(test)
    side = _check_columns(train, train_columns, test, test_columns)
    train_pixels, train_labels = _rows(train, train_columns)
    if (train_labels == train_labels[0]).all():
        raise UserError(f"{train}: every label is {train_labels[0]}; training needs two classes or more")
    test_pixels, _ = _rows(test, test_columns)
    shape = (-1, side, side, 1)
    return Dataset(COMPETITION.name, origin, train_pixels.reshape(shape), train_labels, test_pixels.reshape(shape))


def _rows(table: Table, columns: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """All rows below the header: pixels uint8 (n, pixels), labels int64 (n,) (empty without that column)."""
    pixels, labels = _rows_fast(table, columns) or _rows_careful(table, columns)
    if not len(pixels):
        raise UserError(f"{table}: has a header but no rows; download it again")
    return pixels, labels


class _Plain(io.RawIOBase):
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


def _rows_fast(table: Table, columns: list[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """All rows as pyarrow reads them; None where it cannot, and the careful parser says why in the user's words."""
    released = threading.Event()
    released.set()
    try:
        found = _read_with_pyarrow(table, columns, released)
    except Exception:
        found = None
    released.wait(RELEASE_SECONDS)  # a program that ends while pyarrow's thread still holds the file would crash
    return found


def _read_with_pyarrow(table: Table, columns: list[str], released: threading.Event) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow  # slow to import, and a cached read does without it
    from pyarrow.csv import ConvertOptions, ReadOptions, read_csv

    types = {name: pyarrow.uint32() if name == LABEL else pyarrow.uint8() for name in columns}
    with table.open() as stream:
        stream.readline(HEADER_BYTES)
        rows = read_csv(
            _Plain(stream, released),
            ReadOptions(column_names=columns, block_size=BLOCK_BYTES),
            convert_options=ConvertOptions(column_types=types, null_values=[]),
        )
    place = columns.index(LABEL) if LABEL in columns else None
    pixels = np.empty((rows.num_rows, len(columns) - (place is not None)), np.uint8)
    labels = np.empty(0 if place is None else rows.num_rows, np.int64)
    start = 0
    for batch in rows.to_batches():  # block by block, so that the transposition stays in the processor's cache
        stop = start + batch.num_rows
        arrays = [np.from_dlpack(column) for column in batch.columns]  # pyarrow's to_numpy imports pandas
        if place is not None:
            labels[start:stop] = arrays.pop(place)
        pixels[start:stop] = np.stack(arrays).T
        start = stop
    return pixels, labels


def _rows_careful(table: Table, columns: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The same as the fast parser, a cell at a time; the first problem ends it with a UserError."""
    plain = {str(value): value for value in range(PIXEL_LIMIT + 1)}
    place = columns.index(LABEL) if LABEL in columns else None
    names = [name for name in columns if name != LABEL]
    pixels, labels = bytearray(), array("q")
    with table.open() as stream:
        for number, cells in _lines(table, stream, len(columns)):
            if len(cells) != len(columns):
                raise UserError(
                    f"{table}: line {number} has {len(cells)} cells, the header (line 1) {len(columns)}; "
                    "the file is cut off or damaged, download it again"
                )
            if place is not None:
                label = cells.pop(place)
                value = _whole(label, LABEL_LIMIT)
                if value is None:
                    _reject(table, number, LABEL, label, LABEL_LIMIT)
                labels.append(value)
            values = [plain.get(cell) for cell in cells]
            if None in values:  # padded, or wrong
                values = [_whole(cell, PIXEL_LIMIT) for cell in cells]
            if None in values:
                bad = values.index(None)
                _reject(table, number, names[bad], cells[bad], PIXEL_LIMIT)
            pixels += bytes(values)
    return np.frombuffer(pixels, np.uint8).reshape(-1, len(names)), np.array(labels, np.int64)


def _lines(table: Table, stream: BinaryIO, count: int) -> Iterator[tuple[int, list[str]]]:
    """The line number and the cells of each line below the header; empty lines are passed over."""
    limit = 64 * (count + 1)  # no cell of a pixel table comes near 64 characters
    stream.readline(HEADER_BYTES)
    number, empty = 1, 0
    while line := stream.readline(limit):
        number += 1
        if len(line) == limit:
            raise UserError(f"{table}: line {number} is too long for {count} cells; download the file again")
        text = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
        if text:
            yield number, _cells(table, number, text)
            continue
        empty += 1
        if empty > MOST_EMPTY_LINES:  # a zip holds millions of them in some kilobytes
            raise UserError(f"{table}: {empty:,} lines are empty, the last of them line {number}; download it again")


def _cells(table: Table, number: int, text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise UserError(f"{table}: line {number} has misplaced quotes ({error}); write it without quotes") from None


def _whole(cell: str, limit: int) -> int | None:
    """The value of a cell that is plain ASCII digits and within the limit, else None."""
    digits = cell.strip(" \t")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        return None
    value = int(digits)
    return value if value <= limit else None


def _reject(table: Table, number: int, column: str, cell: str, limit: int) -> NoReturn:
    kind = "label" if column == LABEL else "pixel"
    raise UserError(
        f"{table}: line {number} (the header is line 1), column {column}: {_fault(cell, limit)}; "
        f"a {kind} is a whole number from 0 to {limit}"
    )


def _fault(cell: str, limit: int) -> str:
    """What is wrong with a cell that `_whole` refused."""
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


# --- headers -----------------------------------------------------------------------------------------------


def _columns(table: Table) -> list[str]:
    """The column names in the first line.

    Raises:
        UserError: the file does not begin like a CSV.
    """
    with table.open() as stream:
        line = stream.readline(HEADER_BYTES)
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
    if "\0" in text or len(line) == HEADER_BYTES:
        raise UserError(f"{table}: is not a CSV file (binary content); download it again")
    columns = [name.strip() for name in _cells(table, 1, text)]
    if all(_whole(name, LABEL_LIMIT) is not None for name in columns):
        raise UserError(f"{table}: line 1 is numbers; add the header line label,pixel0,pixel1,...")
    return columns


def _check_columns(train: Table, train_columns: list[str], test: Table, test_columns: list[str]) -> int:
    """The image side that both headers agree on.

    Raises:
        UserError: a column is missing, extra, misnamed, doubled or out of order; the line names it.
    """
    if LABEL not in train_columns:
        if LABEL in test_columns:
            raise UserError(f"{train}: has no '{LABEL}' column but {test.file.name} has; swap the two files")
        raise UserError(f"{train}: has no '{LABEL}' column; its columns begin {_shown(train_columns)}")
    if LABEL in test_columns:
        raise UserError(f"{test}: has a '{LABEL}' column; a test file holds pixels only (a copy of train.csv?)")
    side, test_side = _side(train, train_columns), _side(test, test_columns)
    if side != test_side:
        raise UserError(
            f"{test}: has {test_side}x{test_side} pixels an image, {train} has {side}x{side}; "
            "take both from one competition"
        )
    return side


def _side(table: Table, columns: list[str]) -> int:
    """The image side, from columns that are pixel0, pixel1, ... in order, with or without a label."""
    seen = set()
    for name in columns:
        if name in seen:
            raise UserError(f"{table}: column {name[:24]!r} appears twice; remove one")
        seen.add(name)
    names = [name for name in columns if name != LABEL]
    for index, name in enumerate(names):
        expected = f"pixel{index}"
        if name != expected:
            raise UserError(f"{table}: {_misplaced(name, expected, names, index)}")
    side = isqrt(len(names))
    if not names or side**2 != len(names):
        raise UserError(f"{table}: {len(names)} pixel columns make no square image; download it again")
    return side


def _misplaced(name: str, expected: str, names: list[str], index: int) -> str:
    """What to call a column that stands where `expected` should."""
    shown = repr(name[:24])
    if expected in names:
        if re.fullmatch(r"pixel\d+", name):
            return f"column {shown} comes before '{expected}'; sort the pixel columns"
        return f"unexpected column {shown}; remove it"
    if re.fullmatch(r"pixel\d+", name):
        return f"column '{expected}' is missing; download the file again"
    if index == len(names) - 1 and isqrt(index) ** 2 == index:
        return f"unexpected column {shown}; remove it"
    return f"column {shown} stands where '{expected}' should; rename it"


def _shown(columns: list[str]) -> str:
    return ", ".join(repr(name[:24]) for name in columns[:3])
