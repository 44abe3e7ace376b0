"""The run folder: what one config made from one data set.

output/<run>/
run.json          resolved config, data fingerprints, backend, versions, machine
members/<name>/   one trained network each; complete or absent
oof.npz test.npz  the ensemble's probabilities
metrics.json      every figure of the closing table
history.png       loss and accuracy of every member by epoch
submission.csv
evaluation/       what `make evaluate` found
clusters/         what `make cluster` found
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import math
import os
import platform
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import UnionType
from typing import Any

import filelock
import numpy as np

from digits import backend
from digits.atomic import TEMPORARY, replacing
from digits.config import Config, differences, parse, replaced, revise
from digits.data import Dataset
from digits.errors import UserError

logger = logging.getLogger(__name__)

RECORDED = ("keras", "numpy", "albumentations", "opencv-python-headless", "scikit-learn")
OF_BACKEND = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}
AFTERWARDS = ("ensemble", "cluster", "tune", "tuned_on")  # settings that shape no member
BLANK = b"sha256:" + 64 * b"0"  # holds the place of a checksum within the file that it is of


@dataclass(frozen=True)
class Member:
    """One network to train: an architecture of the config, a seed number and a fold."""

    architecture: str
    seed: int
    fold: int

    @property
    def name(self) -> str:
        return f"{self.architecture}-s{self.seed}-f{self.fold}"


def members(config: Config) -> list[Member]:
    """Every member of a config, in the order of ensembling: all folds of one architecture before the next."""
    return [
        Member(architecture.label, seed, fold)
        for seed in range(config.seeds)
        for architecture in config.architectures
        for fold in config.folds.trained
    ]


@dataclass(frozen=True)
class Run:
    """The paths of one run folder."""

    folder: Path

    @property
    def origin(self) -> Path:
        """What says what the run was made from."""
        return self.folder / "run.json"

    @property
    def submission(self) -> Path:
        return self.folder / "submission.csv"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def oof(self) -> Path:
        return self.folder / "oof.npz"

    @property
    def test(self) -> Path:
        return self.folder / "test.npz"

    @property
    def clusters(self) -> Path:
        """The folder of what `make cluster` wrote."""
        return self.folder / "clusters"

    @property
    def evaluation(self) -> Path:
        """The folder of what `make evaluate` wrote."""
        return self.folder / "evaluation"

    @property
    def exported(self) -> Path:
        """What `make export` wrote."""
        return self.folder / "ensemble.onnx"

    def member(self, member: Member) -> Path:
        """Where a finished member stands."""
        return self.folder / "members" / member.name

    def whole(self, member: Member) -> Path:
        """Where a finished member stands, once every file in it is found as it was written.

        Raises:
            UserError: it is missing or damaged.
        """
        folder = self.member(member)
        if not is_whole(folder):
            raise UserError(
                f"member {member.name} of run {self.folder} is missing or damaged; make it anew: "
                f"make submit RUN={self.folder.name}"
            )
        return folder

    def clustered(self) -> Path:
        """The folder of what `make cluster` wrote, once every file of it is found as it was written.

        Raises:
            UserError: a file is missing or damaged.
        """
        if not is_whole(self.clusters, "metrics.json"):
            raise UserError(
                f"{self.clusters}: damaged, or of an earlier version; make it anew: make cluster RUN={self.folder.name}"
            )
        return self.clusters

    def history(self, member: Member) -> np.ndarray:
        """How the training of a finished member went: a structured array (epochs,), its fields those of the file."""
        return np.genfromtxt(self.member(member) / "history.csv", delimiter=",", names=True, ndmin=1)

    def unfinished(self, member: Member) -> Path:
        """Where a member is made, until it is whole."""
        return self.folder / "members" / f".{member.name}"

    def member_lock(self, member: Member) -> Path:
        """What a process holds while it makes a member."""
        return self.folder / "members" / f".{member.name}.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises:
            UserError: another process holds it, or something in it leads elsewhere.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            message = "another process is working on it; wait for it, or choose another RUN="
            raise UserError(f"run {self.folder}: {message}") from None
        try:
            self.check_contents()
            self._remove_leftovers()
            try:
                yield
            finally:
                self._remove_leftovers()  # of workers that were ended with the first that failed
        finally:
            lock.release()

    def _remove_leftovers(self) -> None:
        """The unfinished files of processes that were killed while they wrote."""
        for leftover in self.folder.rglob(f"{TEMPORARY}*"):
            leftover.unlink(missing_ok=True)

    def check_contents(self) -> None:
        """Check that the folder holds files and folders alone, for runs come from other people too.

        Raises:
            UserError: a link in it leads out of it, where writing and deleting would follow, or a pipe would never end.
        """
        home = self.folder.resolve()
        for path in self.folder.rglob("*"):
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise UserError(
                    f"{path}: a link out of the run's folder; put what it leads to in its place, or delete it"
                )
            if path.exists() and not path.is_file() and not path.is_dir():
                raise UserError(f"{path}: neither a file nor a folder; delete it")

    def config(self) -> Config:
        """The config that the run was made from.

        Raises:
            UserError: there is no such run, or its record is damaged or of another version.
        """
        if not stands_twice(self.origin):
            raise UserError(f"there is no run {self.folder}; make it: make submit RUN={self.folder.name}")
        return parse(read_twice(self.origin, config=dict)["config"], origin=str(self.origin))

    def covered(self, config: Config) -> Config:
        """The config of those networks of an unfinished run that make something whole.

        These are the networks of its first folds that have all their networks, or of the architectures that are trained
        in every fold, whichever are more. A finished run is covered by its own config.

        Raises:
            UserError: no fold has all its networks yet.
        """
        metrics = read_json(self.metrics) if self.metrics.is_file() else {}  # a pipe is refused with the lock
        planned = members(config)
        if metrics.get("members_planned") in (None, metrics.get("members")):
            return config
        missing = [member for member in planned if not self.member(member).exists()]
        folds = min((member.fold for member in missing), default=len(config.folds.trained))
        unfinished = {member.architecture for member in missing}
        kept = [of.model_dump() for of in config.architectures if of.label not in unfinished]
        parts = [{"folds.limit": folds}] * (folds > 0) + [{"architectures": kept}] * bool(kept)
        if not parts:
            raise UserError(
                f"run {self.folder} holds {len(planned) - len(missing)} of {len(planned)} networks, and no fold has "
                f"all of its own yet; continue: make submit RUN={self.folder.name}"
            )
        return max((replaced(config, part, str(self.origin)) for part in parts), key=lambda part: len(members(part)))

    def adapted(self, overrides: list[str], preset: Path | None = None) -> Config:
        """The run's config with other settings for what may change on a finished run.

        Raises:
            UserError: as `config` does, or one of the settings shaped the members.
        """
        before = self.config()
        after = revise(before, overrides, str(self.origin), preset)
        changed = differences(*(_shaping(of.model_dump(mode="json")) for of in (after, before)))
        if changed:
            raise UserError(f"run {self.folder} is finished, and made otherwise: {', '.join(changed)}")
        return after

    def claim(self, config: Config, dataset: Dataset) -> None:
        """Take the folder for this config and data, or check that it was made from them.

        How members are combined may change on a finished run; whatever shaped a member may not.

        Raises:
            UserError: the run was made from another config or other data; says which keys differ.
        """
        record = {
            "config": config.model_dump(mode="json"),
            "data": {
                "name": dataset.name,
                "train": dataset.fingerprint,
                "test": dataset.test_fingerprint,
            },
            "backend": backend.name(),
        }
        before: dict[str, Any] = {"versions": versions(), "machine": machine()}
        if stands_twice(self.origin):
            before = read_twice(self.origin, config=dict, data=dict, versions=dict)
            before.setdefault("backend", "tensorflow")  # runs of earlier versions had no other
            changed = differences(
                *(
                    {"config": _shaping(made["config"]), "data": made["data"], "backend": made["backend"]}
                    for made in (record, before)
                )
            )
            if changed:
                raise UserError(
                    f"run {self.folder} was made otherwise: {', '.join(changed)}; "
                    f"choose another RUN=, or delete {self.folder} to start it anew"
                )
            if before["versions"] != versions():
                changed = differences(versions(), before["versions"])
                logger.warning("run %s was begun with other versions: %s", self.folder, ", ".join(changed))
        write_twice(self.origin, before | record)


def _shaping(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in AFTERWARDS}


def versions() -> dict[str, str]:
    """The installed version of every package that decides a result; of the backends the one in use."""
    found = {"python": platform.python_version()}
    for package in (*OF_BACKEND[backend.name()], *RECORDED):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """System, processor and cores of this machine; `onednn`: TensorFlow computes with it."""
    own = {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()}
    return own | ({"onednn": backend.onednn()} if backend.name() == "tensorflow" else {})


def processor() -> str:
    """The processor's model name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays as one .npz; the same arrays give the same bytes."""
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def read_arrays(path: Path, **expected: str) -> dict[str, np.ndarray]:
    """Read a .npz, without pickles.

    Args:
        path: of the file.
        expected: arrays that must be there, with the letter of their kind in NumPy (`i`, `f`, `U`) and their number of
            dimensions, such as `rows="i1"`.

    Raises:
        ValueError: it is missing, damaged, or holds anything but plain arrays, or not those expected, or floats that
            are no numbers among them.
    """
    try:
        content = path.read_bytes()
        _check_stored(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        for name, form in expected.items():
            found = f"{arrays[name].dtype.kind}{arrays[name].ndim}"
            if found != form or (found.startswith("f") and not np.isfinite(arrays[name]).all()):
                raise ValueError(f"no such array '{name}' as there should be")
    except MemoryError:
        raise
    except Exception as error:  # a damaged zip fails in a dozen ways, all of them this one
        raise ValueError(f"{path}: missing or damaged ({error})") from error
    return arrays


def read_probabilities(path: Path) -> dict[str, np.ndarray]:
    """Read `test.npz` of a run, or `oof.npz`, which holds rows and labels too.

    Raises:
        ValueError: it is missing, damaged, or its arrays do not fit together.
    """
    of_rows = {"rows": "i1", "labels": "i1"} if path.name == "oof.npz" else {}
    arrays = read_arrays(path, probabilities="f2", classes="i1", fingerprint="U0", **of_rows)
    rows, classes = arrays["probabilities"].shape
    if not rows or classes != len(arrays["classes"]) or any(len(arrays[name]) != rows for name in of_rows):
        raise ValueError(f"{path}: damaged: its arrays do not fit together")
    return arrays


def _check_stored(content: bytes) -> None:
    """Refuse arrays that unpack to more than their file, as ours are stored as they are, or with another checksum."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > len(content):
            raise ValueError(f"it would unpack to {size:,} bytes")
        for member in archive.infolist():
            with archive.open(member) as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{member.filename} is cut off")
        damaged = archive.testzip()  # NumPy does not look at the checksum where a header asks for less than is there
        if damaged:
            raise ValueError(damaged)


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
