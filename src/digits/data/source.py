"""Find a competition's two tables, loose or packed, and name the data set; open a CSV in a zip."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from digits.competition import COMPETITION
from digits.data import archives
from digits.errors import UserError, one_line

DEMO = "demo"
KAGGLE_MOUNTS = (Path("/kaggle/input/competitions") / COMPETITION.name, Path("/kaggle/input") / COMPETITION.name)
TABLES = (COMPETITION.train, COMPETITION.test)
BOTH = f"{COMPETITION.train} and {COMPETITION.test}"
CSVS = (".csv", ".csv.gz")  # ends of the names of single tables
PACKED = re.compile(r"\.(gz|zip)$", re.IGNORECASE)  # behind the name of a single table
JOINTS = " ._-"  # before the competition's name of a table in a longer one
MOST_NAME = 60  # characters of a data set's name


@dataclass(frozen=True)
class Source:
    """Source of the rows.

    path: folder or archive; None for the demo set.
    note: one short line that says which source was taken and, for the demo, how to get the real one.
    """

    path: Path | None
    note: str


@dataclass(frozen=True)
class Table:
    """One CSV: a file, plain or in gzip, or a member of a zip or tar."""

    file: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """Name of the CSV alone, in one line whatever an archive calls it."""
        return one_line(self.file.name if self.member is None else PurePosixPath(self.member).name)

    def __str__(self) -> str:
        return str(self.file if self.member is None else self.file / self.name)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open for reading bytes.

        Raises:
            UserError: the file cannot be opened, or (also while it is read) what packs it is damaged.
        """
        try:
            with archives.opened(self.file, self.member) as stream:
                yield stream
        except archives.DAMAGED:
            raise UserError(f"{self}: the file is truncated or damaged; download it again") from None
        except OSError as error:
            raise _unreadable(self.file, error) from None


def find(data: str | None, root: Path = Path("input"), mounts: Sequence[Path] = KAGGLE_MOUNTS) -> Source:
    """Choose the source: `data`, else the input folder, else Kaggle's mounts, else the demo set.

    data: an archive, a folder that holds the two CSVs or an archive of them, or "demo"; never replaced by another
        source.

    Raises:
        UserError: the chosen source does not hold both tables, or its archive is damaged or unsafe.
    """
    if data == DEMO:
        return Source(None, "Data: the embedded demo set")
    if data is not None:
        path = Path(data)
        with suppress(RuntimeError):  # a name that begins with a tilde, but no user's
            path = path.expanduser()
        locate(path)
        return Source(path, f"Data: {path}")
    for path in (root / COMPETITION.name, root / f"{COMPETITION.name}.zip", *mounts):
        if _holds_data(path):
            locate(path)
            return Source(path, f"Data: {path}")
    return Source(None, "Data: the embedded demo set; the real one: make data, or DATA=<folder or zip>")


def locate(path: Path) -> dict[str, Table]:
    """Find the tables of a folder or archive: `train.csv` and `test.csv`, or the only `*_train.csv` and `*_test.csv`.

    Returns:
        The tables by the competition's names of them.

    Raises:
        UserError: one is missing, it is unclear which are meant, or the archive is damaged or unsafe.
    """
    try:
        if path.is_dir():
            return _in_folder(path)
        if path.name.lower().endswith(CSVS):
            raise UserError(f"{path}: is no folder or zip; give the folder that holds {BOTH}")
        if path.is_file():
            return _in_archive(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    raise UserError(f"{path}: no such file or folder; give a folder with {BOTH}, or their zip")


def only_csv(path: Path) -> Table:
    """The CSV of a zip that holds one, whatever its name and folder.

    Raises:
        UserError: it holds none or several, or the zip is damaged or unsafe.
    """
    return _only(path, "CSV files", lambda name: name.lower().endswith(".csv") and not name.startswith("._"))


def name_of(path: Path, tables: Mapping[str, Table]) -> str:
    """Name of a data set: what its tables are called, or else its folder; the competition's if it is part of that."""
    table, folder = tables[COMPETITION.train], path.absolute().name
    prefix = _prefix(PACKED.sub("", table.name), COMPETITION.train)
    if any(COMPETITION.name in called.lower() for called in ([prefix] if prefix else [folder, table.file.name])):
        return COMPETITION.name
    archive = re.compile(f"({'|'.join(map(re.escape, archives.SUFFIXES))})$", re.IGNORECASE)
    name = re.sub(r"[^\w.+-]+", "-", prefix or archive.sub("", folder))[:MOST_NAME].strip("-.")
    return name if name not in ("", DEMO) else f"{name or 'unnamed'}-data"


def _holds_data(path: Path) -> bool:
    try:
        return path.is_file() or (path.is_dir() and bool(_by_prefix(_files(path)) or _archives(path)))
    except OSError as error:
        raise _unreadable(path, error) from None


def _in_folder(folder: Path) -> dict[str, Table]:
    # A table may lie there in several forms: the plain one, whose name is the shortest, comes last.
    files = {PACKED.sub("", name): name for name in sorted(_files(folder), key=len, reverse=True)}
    if _by_prefix(files):
        return {role: _single(folder / files[name]) for role, name in _choose(folder, files).items()}
    found = _archives(folder)
    kaggles = folder / f"{COMPETITION.name}.zip"
    if kaggles not in found and len(found) != 1:
        what = f"several archives and no {kaggles.name}" if found else f"no {', '.join(TABLES)} or zip of them"
        raise UserError(f"{folder}: has {what}; put {kaggles.name} there, or the two CSV files")
    return _in_archive(kaggles if kaggles in found else found[0])


def _files(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.is_file()]


def _archives(folder: Path) -> list[Path]:
    return sorted(folder / name for name in _files(folder) if name.lower().endswith(archives.SUFFIXES))


def _single(file: Path) -> Table:
    """The table of a file, plain, in gzip, or in a zip of its own (as Kaggle ships single files)."""
    return _only(file, file.stem, file.stem.__eq__) if file.suffix.lower() == ".zip" else Table(file)


def _only(path: Path, kind: str, is_meant: Callable[[str], bool]) -> Table:
    """The one member of a zip whose name, without folders, is meant."""
    found = [member for member in archives.members(path) if is_meant(PurePosixPath(member).name)]
    if len(found) != 1:
        raise UserError(f"{path}: holds {len(found) or 'no'} {kind}; expected one")
    archives.check(path, found[0])
    return Table(path, found[0])


def _in_archive(path: Path) -> dict[str, Table]:
    """The members of these names, in whatever folder of the archive, once it is known to be safe."""
    chosen = _choose(path, archives.members(path))
    for name in chosen.values():
        archives.check(path, name)
    return {role: Table(path, name) for role, name in chosen.items()}


def _choose(place: Path, names: Iterable[str]) -> dict[str, str]:
    """The two tables among the names of files: those with Kaggle's own names, else the only pair."""
    found = _by_prefix(names)
    pairs = [prefix for prefix, tables in found.items() if len(tables) == len(TABLES)]
    if not pairs:
        half = next(iter(found.values()), {})
        if not half:
            raise UserError(f"{place}: holds no {COMPETITION.train}; expected one {' and one '.join(TABLES)}")
        (absent,) = set(TABLES) - half.keys()
        present = one_line(next(iter(half.values()))[0])
        raise UserError(f"{place}: has {present} but no {absent} that goes with it; add that, or take {present} away")
    if "" not in pairs and len(pairs) > 1:
        first, second, *_ = sorted(pairs)
        raise UserError(
            f"{place}: holds {len(pairs)} pairs of tables, such as {first!r} and {second!r}; give one alone"
        )
    chosen = found["" if "" in pairs else pairs[0]]
    for role, several in chosen.items():
        several.sort(key=_depth)  # some archives hold a table again in a folder of its own
        if len(several) > 1 and _depth(several[0]) == _depth(several[1]):
            raise UserError(f"{place}: holds {len(several)} {role}; expected one {' and one '.join(TABLES)}")
    return {role: chosen[role][0] for role in TABLES}


def _depth(name: str) -> int:
    """Number of folders of an archive that a member is in, and one for itself."""
    return len(PurePosixPath(name).parts)


def _by_prefix(names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """Names of tables among those of files: by their prefix, see `_prefix`, then by which table it is."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        for role in TABLES:
            prefix = _prefix(name, role)
            if prefix is not None:
                found.setdefault(prefix.lower(), {}).setdefault(role, []).append(name)
    return found


def _prefix(name: str, role: str) -> str | None:
    """Text before the competition's name of a table: `mnist` of `data/mnist_train.csv`; None of other names."""
    file = PurePosixPath(name).name
    if file.startswith(".") or not file.lower().endswith(role.lower()):  # a Mac adds `._train.csv`
        return None
    joined = file[: -len(role)]
    prefix = joined.rstrip(JOINTS)
    if joined and prefix in ("", joined):  # nothing before the joint, or none
        return None
    return prefix


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be read: {error.strerror or error}")
