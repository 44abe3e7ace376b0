"""Open packed tables: gzip files, and members of zips and tars. Nothing is unpacked to the disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PureWindowsPath
from typing import IO, BinaryIO

from digits.errors import UserError

TARS = (".tar.gz", ".tgz", ".tar")
SUFFIXES = (".zip", *TARS)
CONTENT = (tarfile.REGTYPE, tarfile.AREGTYPE)
NO_CONTENT = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)

# A million rows of 784 pixels are 2 GB of CSV. Such text deflates about 9:1, all-black images 500:1, so a high ratio
# alone is no sign of a bomb: it counts only in a member big enough to do harm.
MEMBER_LIMIT = 8 * 2**30
RATIO_LIMIT = 200
HARMLESS = 256 * 2**20
DAMAGED = (zipfile.BadZipFile, gzip.BadGzipFile, tarfile.TarError, zlib.error, EOFError)


def members(path: Path) -> list[str]:
    """Names of the files in a zip or tar.

    Raises:
        UserError: it is damaged, or a name leads out of the folder that it would be unpacked to.
    """
    try:
        if _is_tar(path):
            with _tar(path) as stream:
                names = [member.name for member in _walk(stream)]
        else:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
    except (*DAMAGED, NotImplementedError, OverflowError, ValueError):
        kind = "tar" if _is_tar(path) else "zip"
        raise UserError(f"{path}: not a whole {kind} file; download it again (truncated?)") from None
    for name in names:
        if _escapes(name):
            raise UserError(f"{path}: unsafe path {name!r} in it; get it from a source that you trust")
    return names


def check(path: Path, name: str) -> None:
    """Check that a member can be read and is no bomb; those of a tar are checked while they are read.

    Raises:
        UserError: it cannot, or is one.
    """
    if _is_tar(path):
        return
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name)
    if member.flag_bits & 1:
        raise UserError(f"{path}: {name!r} is encrypted; unpack it with its password first")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA may ask for gigabytes
        raise UserError(f"{path}: {name!r}: unknown kind of zip compression; make the zip anew with `zip`")
    # zipfile never yields more than the declared size, so the declared size is all there is to check.
    if member.file_size > _limit(member.compress_size):
        raise _bomb(path, f"{name!r} would unpack from {member.compress_size:,} to {member.file_size:,} bytes")


@contextmanager
def opened(path: Path, name: str | None) -> Iterator[BinaryIO]:
    """Open a file, or the member of that name, for reading bytes.

    Raises:
        UserError: it is a bomb. OSError or one of DAMAGED: it cannot be read.
    """
    if name is None:
        with _unzipped(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            yield stream
    elif _is_tar(path):
        with _tar(path) as stream:
            size = next((member.size for member in _walk(stream) if member.name == name), 0)
            yield io.BufferedReader(_Part(stream, size))
    else:
        with zipfile.ZipFile(path) as archive, _zip_member(archive, name) as stream:
            yield stream


def _zip_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    try:
        return archive.open(name)
    except OSError:
        raise
    except Exception as error:  # zipfile fails in several ways on a member whose own header is damaged
        raise zipfile.BadZipFile(str(error)) from error


# --- gzip and tar ------------------------------------------------------------------------------------------


@contextmanager
def _unzipped(path: Path) -> Iterator[BinaryIO]:
    with gzip.open(path) as stream:
        yield io.BufferedReader(_Bounded(stream, path))


def _is_tar(path: Path) -> bool:
    return path.name.lower().endswith(TARS)


def _tar(path: Path) -> AbstractContextManager[BinaryIO]:
    return path.open("rb") if path.suffix.lower() == ".tar" else _unzipped(path)


def _walk(stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Files of a tar; as each is yielded, the stream stands at its first byte.

    Extended headers are passed over: tarfile takes as much memory as they ask for, and no table's name needs them.
    """
    while (block := stream.read(tarfile.BLOCKSIZE)).strip(b"\0"):
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if member.type in CONTENT:
            yield member
        if member.type not in NO_CONTENT:
            _skip(stream, -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)


def _skip(stream: BinaryIO, size: int) -> None:
    while size > 0:
        passed = len(stream.read(min(size, io.DEFAULT_BUFFER_SIZE)))
        if not passed:
            raise EOFError
        size -= passed


class _Bounded(io.RawIOBase):
    """Content of a gzip file, up to what its size makes plausible."""

    def __init__(self, stream: BinaryIO, path: Path):
        self.stream, self.path = stream, path
        self.left = _limit(path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        count = self.stream.readinto(buffer)
        self.left -= count
        if self.left < 0:
            raise _bomb(self.path, f"unpacks to more than {_limit(self.path.stat().st_size):,} bytes")
        return count


class _Part(io.RawIOBase):
    """The next bytes of a stream, so many of them."""

    def __init__(self, stream: BinaryIO, size: int):
        self.stream, self.left = stream, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        content = self.stream.read(min(len(buffer), max(self.left, 0)))
        if self.left > 0 and not content:
            raise EOFError
        buffer[: len(content)] = content
        self.left -= len(content)
        return len(content)


# --- limits ------------------------------------------------------------------------------------------------


def _limit(packed: int) -> int:
    """Most bytes that so many packed ones may become."""
    return max(HARMLESS, min(MEMBER_LIMIT, RATIO_LIMIT * packed))


def _bomb(path: Path, what: str) -> UserError:
    return UserError(f"{path}: {what}: a zip bomb? get it from a source that you trust")


def _escapes(name: str) -> bool:
    windows = PureWindowsPath(name)  # splits at both kinds of slash
    return bool(windows.anchor) or ".." in windows.parts
