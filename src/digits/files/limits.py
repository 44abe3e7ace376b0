"""Limits on the size of files that others made."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from digits.errors import UserError

CONFIG_BYTES = 100_000  # twenty times the longest config of the repository
SUBMISSION_BYTES, SUBMISSION_ROW_BYTES = 2**20, 100  # an id and a label take 10


def read_bytes(path: Path, most: int, kind: str) -> bytes:
    """Content of a file of at most so many bytes; `kind` names the file in the error, such as `config`.

    Raises:
        OSError: it cannot be read.
        UserError: it is longer.
    """
    with path.open("rb") as file:
        return read(file, most, f"{kind} {path}", kind)


def read(file: IO[bytes], most: int, name: str, kind: str) -> bytes:
    """Content of an open file, as `read_bytes` does; `name` is the file's in the error.

    Raises:
        OSError: it cannot be read.
        UserError: it is longer.
    """
    content = file.read(most + 1)
    if len(content) > most:
        raise UserError(f"{name}: is no {kind} but a file of more than {most:,} bytes")
    return content
