"""JSON objects and tables that carry their own checksums, and folders that are sealed with one."""

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

BLANK = b"sha256:" + 64 * b"0"  # holds the place of a checksum within the file that it is of


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object that carries its own checksum, for `read_json`."""
    text = json.dumps(values | {"checksum": BLANK.decode()}, indent=2) + "\n"
    with replacing(path) as temporary:
        temporary.write_bytes(signed(text.encode()))


def write_twice(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object that hours of work depend on, and a hidden copy beside it, for `read_twice`."""
    write_json(path, values)
    write_json(_copy_of(path), values)


def read_twice(path: Path, **expected: type | UnionType) -> dict[str, Any]:
    """As `read_json`; a damaged object is read from its copy.

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
    """Whether an object was written by `write_twice`, even if it or its copy is gone."""
    return path.exists() or _copy_of(path).exists()


def _copy_of(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def with_nulls(value: Any) -> Any:
    """The same, nested as it is, with null for NaN, which JSON does not know."""
    if isinstance(value, dict):
        return {key: with_nulls(of) for key, of in value.items()}
    if isinstance(value, list):
        return [with_nulls(of) for of in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


def read_json(path: Path, **expected: type | UnionType) -> dict[str, Any]:
    """Read a JSON object of this run, which must have the `expected` keys with values of these types.

    Objects of earlier versions carry no checksum, and are taken as they are.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; train the run first: make train") from None
    try:
        values = None if is_altered(content) else json.loads(content.decode())
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(isinstance(values.get(key), of) for key, of in expected.items()):
        raise UserError(f"{path}: damaged; delete it, and repeat the command that wrote it")
    values.pop("checksum", None)
    return values


def signed(content: bytes) -> bytes:
    """The content with its own SHA-256 in the place of `BLANK`: one rename makes both whole."""
    return content.replace(BLANK, b"sha256:" + hashlib.sha256(content).hexdigest().encode(), 1)


def is_altered(content: bytes) -> bool:
    """Whether content that was `signed` is no longer as it was; content without any checksum is not."""
    found = re.search(rb"sha256:[^\"]{64}", content)
    return found is not None and signed(content.replace(found[0], BLANK, 1)) != content


def seal(folder: Path, record: dict[str, Any], name: str = "member.json", beside: Sequence[str] = ()) -> None:
    """Write `name`: the record, and the checksum of every file that stands beside it.

    beside: patterns of files that have their place in the folder, but no part in what it stands for.
    """
    beside = (".*", name, *beside)
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    own = [path for path in files if not any(path.match(pattern) for pattern in beside)]
    write_json(folder / name, record | {"sha256": {path.name: checksum(path) for path in own}})


def publish(unfinished: Path, finished: Path) -> None:
    """Rename a sealed member to its final name; from then on it is complete."""
    if finished.exists():
        shutil.rmtree(finished)
    unfinished.rename(finished)


def is_whole(folder: Path, name: str = "member.json") -> bool:
    """Whether a folder exists and every file in it is as it was sealed in `name`."""
    try:
        files = read_json(folder / name, sha256=dict, seconds=float | dict)["sha256"]
        own = {path.name for path in folder.iterdir() if path.is_file()}
        return bool(files) and files.keys() <= own and all(checksum(folder / of) == sha for of, sha in files.items())
    except (UserError, OSError):
        return False


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
