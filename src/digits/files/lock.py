"""A folder that one process at a time works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from digits.errors import UserError
from digits.files.atomic import TEMPORARY


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process, and remove the unfinished files of killed ones.

    Raises:
        UserError: another process holds it, or something in it leads elsewhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        message = "another process is working on it; wait for it, or choose another RUN="
        raise UserError(f"{folder}: {message}") from None
    try:
        check_contents(folder)
        _remove_leftovers(folder)
        try:
            yield
        finally:
            _remove_leftovers(folder)  # of workers that were ended with the first that failed
    finally:
        lock.release()


def check_contents(folder: Path) -> None:
    """Check that a folder holds files and folders only, for runs come from other people too.

    Raises:
        UserError: a link leads out of it, where writing and deleting would follow, or a pipe would never end.
    """
    home = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise UserError(f"{path}: a link out of the run's folder; put what it leads to in its place, or delete it")
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"{path}: neither a file nor a folder; delete it")


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.rglob(f"{TEMPORARY}*"):
        leftover.unlink(missing_ok=True)
