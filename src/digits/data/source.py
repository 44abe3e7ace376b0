"""Find the competition's two CSV files, loose or zipped, and open CSVs safely, in zips too."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, BinaryIO

from digits.competition import COMPETITION
from digits.errors import UserError

DEMO = "demo"
KAGGLE_MOUNTS = (Path("/kaggle/input/competitions") / COMPETITION.name, Path("/kaggle/input") / COMPETITION.name)
TABLES = (COMPETITION.train, COMPETITION.test)
BOTH = f"{COMPETITION.train} and {COMPETITION.test}"

# A million rows of 784 pixels are 2 GB of CSV. Such text deflates about 9:1, all-black images 500:1, so a high ratio
# alone is no sign of a bomb: it counts only in a member big enough to do harm.
MEMBER_LIMIT = 8 * 2**30
RATIO_LIMIT = 200
HARMLESS = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """Where the rows come from.

    kind: "given" (by the user), "input" (the input folder), "kaggle" (a mounted path) or "demo".
    path: folder or zip; None for the demo set.
    note: one plain line that says which source was taken and, for the demo, how to get the real one.
    """

    kind: str
    path: Path | None
    note: str


@dataclass(frozen=True)
class Table:
    """One CSV: a plain file, or a member of a zip."""

    file: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.file if self.member is None else self.file / PurePosixPath(self.member).name)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open for reading bytes.

        Raises:
            UserError: the file cannot be opened, or (also while it is read) its zip is damaged.
        """
        try:
            if self.member is None:
                with self.file.open("rb") as stream:
                    yield stream
            else:
                with zipfile.ZipFile(self.file) as archive, _open_member(archive, self.member) as stream:
                    yield stream
        except (zipfile.BadZipFile, zlib.error, EOFError):
            raise UserError(f"{self}: the zip is truncated or damaged; download it again") from None
        except OSError as error:
            raise _unreadable(self.file, error) from None


def _open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    try:
        return archive.open(name)
    except OSError:
        raise
    except Exception as error:  # zipfile fails in several ways on a member whose own header is damaged
        raise zipfile.BadZipFile(str(error)) from error


def find(data: str | None, root: Path = Path("input"), mounts: Sequence[Path] = KAGGLE_MOUNTS) -> Source:
    """Choose the source: `data`, else the input folder, else Kaggle's mounts, else the demo set.

    data: a zip, a folder that holds the two CSVs or a zip of them, or "demo"; never replaced by another source.

    Raises:
        UserError: the chosen source does not hold both tables, or its zip is damaged or unsafe.
    """
    if data == DEMO:
        return Source("demo", None, "Data: the embedded demo set (scikit-learn's handwritten digits).")
    if data is not None:
        path = Path(data)
        with suppress(RuntimeError):  # a name that begins with a tilde, but no user's
            path = path.expanduser()
        locate(path)
        return Source("given", path, f"Data: {path}, as given.")
    folder = root / COMPETITION.name
    for path in (folder, root / f"{COMPETITION.name}.zip", *mounts):
        if _holds_data(path):
            locate(path)
            kind = "kaggle" if path in mounts else "input"
            return Source(kind, path, f"Data: the {COMPETITION.name} competition in {path}.")
    note = (
        f"Data: the embedded demo set (scikit-learn's handwritten digits), since {folder} holds no data; "
        "for the real competition run `make data` or give DATA=<folder or zip>."
    )
    return Source("demo", None, note)


def locate(path: Path) -> dict[str, Table]:
    """Find the tables of a folder or zip, by name: `train.csv` and `test.csv`.

    Raises:
        UserError: one is missing, or the zip is damaged or unsafe.
    """
    try:
        if path.is_dir():
            return _in_folder(path)
        if path.suffix.lower() == ".csv":
            raise UserError(f"{path}: is no folder or zip; give the folder that holds {BOTH}")
        if path.is_file():
            return {name: _in_zip(path, name) for name in TABLES}
    except OSError as error:
        raise _unreadable(path, error) from None
    raise UserError(f"{path}: no such file or folder; give a folder with {BOTH}, or their zip")


def only_csv(path: Path) -> Table:
    """The CSV of a zip that holds one, whatever its name and folder.

    Raises:
        UserError: it holds none or several, or the zip is damaged or unsafe.
    """
    names = {member: PurePosixPath(member.filename).name for member in _members(path)}
    found = [member for member, name in names.items() if name.lower().endswith(".csv") and not name.startswith("._")]
    if len(found) != 1:
        raise UserError(f"{path}: holds {len(found) or 'no'} CSV{'s' * (len(found) > 1)}; expected one")
    return _checked(path, found[0])


def _holds_data(path: Path) -> bool:
    try:
        return path.is_file() or any(_in_files(path, name) for name in TABLES) or any(path.glob("*.zip"))
    except OSError as error:
        raise _unreadable(path, error) from None


def _in_folder(folder: Path) -> dict[str, Table]:
    tables = {name: table for name in TABLES if (table := _in_files(folder, name))}
    if len(tables) == len(TABLES):
        return tables
    if tables:
        (name,) = tables
        (missing,) = set(TABLES) - {name}
        raise UserError(f"{folder}: has {name} but no {missing}; add {missing}, or take {name} away")
    archives = sorted(folder.glob("*.zip"))
    kaggles = folder / f"{COMPETITION.name}.zip"
    if kaggles not in archives and len(archives) != 1:
        found = f"several zips and no {kaggles.name}" if archives else f"no {', '.join(TABLES)} or zip of them"
        raise UserError(f"{folder}: has {found}; put {kaggles.name} there, or the two CSV files")
    return {name: _in_zip(kaggles if kaggles in archives else archives[0], name) for name in TABLES}


def _in_files(folder: Path, name: str) -> Table | None:
    """The table as a file of its own, plain or in a zip of its own (as Kaggle ships single files)."""
    if (folder / name).is_file():
        return Table(folder / name)
    archive = folder / f"{name}.zip"
    return _in_zip(archive, name) if archive.is_file() else None


def _in_zip(path: Path, name: str) -> Table:
    """The member called `name`, in whatever folder of the zip, once the zip is known to be safe."""
    found = [member for member in _members(path) if f"/{member.filename}".endswith(f"/{name}")]
    if len(found) != 1:
        raise UserError(f"{path}: holds {len(found) or 'no'} {name}; expected one {' and one '.join(TABLES)}")
    return _checked(path, found[0])


def _members(path: Path) -> list[zipfile.ZipInfo]:
    """Members of a zip, none of which has a path that leads out of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, ValueError):
        raise UserError(f"{path}: not a whole zip file; download it again (truncated?)") from None
    for member in members:
        if _escapes(member.filename):
            raise UserError(f"{path}: unsafe path {member.filename!r} in the zip; get it from a source that you trust")
    return members


def _checked(path: Path, member: zipfile.ZipInfo) -> Table:
    """A member of a zip, which can be unpacked and is not too large."""
    name = PurePosixPath(member.filename).name
    if member.flag_bits & 1:
        raise UserError(f"{path}: {name} is encrypted; unpack it with its password first")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA may ask for gigabytes
        raise UserError(f"{path}: {name}: unknown kind of zip compression; make the zip anew with `zip`")
    # zipfile never yields more than the declared size, so the declared size is all there is to check.
    if member.file_size > max(HARMLESS, min(MEMBER_LIMIT, RATIO_LIMIT * member.compress_size)):
        raise UserError(
            f"{path}: {name} would unpack from {member.compress_size:,} to {member.file_size:,} bytes: "
            "a zip bomb? get it from a source that you trust"
        )
    return Table(path, member.filename)


def _escapes(name: str) -> bool:
    windows = PureWindowsPath(name)  # splits at both kinds of slash
    return bool(windows.anchor) or ".." in windows.parts


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be read: {error.strerror or error}")
