"""JSON objects that carry their own checksums, folders that are sealed with one, and CSV tables."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from digits.errors import UserError
from digits.files.atomic import replacing

logger = logging.getLogger(__name__)

BLANK = b"sha256:" + 64 * b"0"  # in the place of a checksum while the checksum of its own file is computed


def signed(content: bytes) -> bytes:
    """Put the SHA-256 of content in the place of its `BLANK`: one rename makes both whole."""
    return content.replace(BLANK, b"sha256:" + hashlib.sha256(content).hexdigest().encode(), 1)


def is_altered(content: bytes) -> bool:
    """Content has a checksum, but not its own; content without any counts as unaltered."""
    found = re.search(rb"sha256:[^\"]{64}", content)
    return found is not None and signed(content.replace(found[0], BLANK, 1)) != content


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object with its own checksum, for `read_json`."""
    text = json.dumps(values | {"checksum": BLANK.decode()}, indent=2) + "\n"
    with replacing(path) as temporary:
        temporary.write_bytes(signed(text.encode()))


def read_json(path: Path, **expected: type | UnionType) -> dict[str, Any]:
    """Read a JSON object that must have the `expected` keys with values of these types.

    Objects of earlier versions carry no checksum, and are read unchecked.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run the command that writes it first") from None
    try:
        values = None if is_altered(content) else json.loads(content.decode())
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(isinstance(values.get(key), kind) for key, kind in expected.items()):
        raise UserError(f"{path}: damaged; delete it, and repeat the command that wrote it")
    values.pop("checksum", None)
    return values


def write_twice(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object that hours of work depend on, and a hidden copy beside it, for `read_twice`."""
    write_json(path, values)
    write_json(_copy_of(path), values)


def read_twice(path: Path, **expected: type | UnionType) -> dict[str, Any]:
    """Read as `read_json` does; if the object is damaged, read its copy.

    Raises:
        UserError: both are missing or damaged.
    """
    try:
        return read_json(path, **expected)
    except UserError:
        if not _copy_of(path).exists():
            raise
        values = read_json(_copy_of(path), **expected)
    logger.warning("%s is missing or damaged; its copy %s serves", path, _copy_of(path).name)
    return values


def stands_twice(path: Path) -> bool:
    """An object was written by `write_twice`, even if it or its copy is gone."""
    return path.exists() or _copy_of(path).exists()


def _copy_of(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def with_nulls(values: Any) -> Any:
    """Replace NaN, which JSON does not know, with null in nested lists and dictionaries."""
    if isinstance(values, dict):
        return {key: with_nulls(value) for key, value in values.items()}
    if isinstance(values, list):
        return [with_nulls(value) for value in values]
    return None if isinstance(values, float) and np.isnan(values) else values


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Write a table."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


def seal(folder: Path, record: dict[str, Any], name: str = "member.json", beside: Sequence[str] = ()) -> None:
    """Write a record with the checksum of every file of its folder.

    name: of the record. beside: patterns of files that have their place in the folder, but are not sealed.
    """
    unsealed = (".*", name, *beside)
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    sealed = [path for path in files if not any(path.match(pattern) for pattern in unsealed)]
    write_json(folder / name, record | {"sha256": {path.name: checksum(path) for path in sealed}})


def is_whole(folder: Path, name: str = "member.json") -> bool:
    """A folder is complete, and its checksums match those sealed in `name`."""
    try:
        sealed = read_json(folder / name, sha256=dict, seconds=float | dict)["sha256"]
        present = {path.name for path in folder.iterdir() if path.is_file()}
        matches = (file in present and checksum(folder / file) == expected for file, expected in sealed.items())
        return bool(sealed) and all(matches)
    except (UserError, OSError):
        return False


def publish(unfinished: Path, finished: Path) -> None:
    """Rename a sealed folder to its final name; from then on it is complete."""
    if finished.exists():
        shutil.rmtree(finished)
    unfinished.rename(finished)
