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

import difflib
import logging
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digits.config import Config, differences, parse_recorded, read_file, replaced, revise
from digits.data import Dataset
from digits.errors import UserError
from digits.files import arrays, records
from digits.files.lock import locked
from digits.training import backend

logger = logging.getLogger(__name__)

MOST_NAME_BYTES = 110  # so that the two names of a comparison fit into one, of 255 at most
SOME = 8  # runs that an error names
RESERVED = ("bench", "cache", "compare", "eda", "predictions", "published", "submission.csv", "tune")
ADJUSTABLE = ("ensemble", "cluster", "tune", "tuned_on")  # on a finished run: they shape no member


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


def training_order(config: Config) -> list[Member]:
    """Members in the order of training: a network of every architecture before the second fold of any.

    So a time limit leaves the best ensemble: two unlike networks average better than two alike, and the out-of-fold
    rows of a fold have all kinds of networks.
    """
    return sorted(members(config), key=lambda member: (member.seed, member.fold))


@dataclass(frozen=True)
class RunFolder:
    """Paths and records of one run."""

    folder: Path

    @classmethod
    def named(cls, output: Path, name: str) -> RunFolder:
        """Name a run.

        Raises:
            UserError: no folder can have that name, or it is taken for something else.
        """
        if not re.fullmatch(r"\w[\w .+-]{0,99}", name) or len(name.encode()) > MOST_NAME_BYTES or name in RESERVED:
            raise UserError(f"run name '{name[:100]}': use letters, digits and . _ + - (not {', '.join(RESERVED)})")
        return RunFolder(output / name)

    @classmethod
    def existing(cls, output: Path, name: str) -> RunFolder:
        """Find a run.

        Raises:
            UserError: as `named`, or there is no such run; names those that there are.
        """
        run = cls.named(output, name)
        run.check_exists()
        return run

    @property
    def exists(self) -> bool:
        """The folder holds the record of a run, finished or not."""
        return records.stands_twice(self.origin)

    def check_exists(self) -> None:
        """Raises: UserError where there is no such run; guesses which one was meant, and names some that there are."""
        if self.exists:
            return
        names = sorted(path.parent.name for path in self.folder.parent.glob("*/run.json"))
        near = difflib.get_close_matches(self.folder.name, names, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        others = f"there are {', '.join(names[:SOME])}{', ...' * (len(names) > SOME)}; or " if names else ""
        raise UserError(f"there is no run {self.folder}; {guess}{others}make it: make submit RUN={self.folder.name}")

    @property
    def origin(self) -> Path:
        """Record of the run's config and data."""
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
        """Folder of `make cluster`."""
        return self.folder / "clusters"

    @property
    def evaluation(self) -> Path:
        """Folder of `make evaluate`."""
        return self.folder / "evaluation"

    @property
    def exported(self) -> Path:
        """File of `make export`."""
        return self.folder / "ensemble.onnx"

    def member(self, member: Member) -> Path:
        """Folder of a finished member."""
        return self.folder / "members" / member.name

    def verified(self, member: Member) -> Path:
        """Folder of a finished member, whose files match their checksums.

        Raises:
            UserError: it is missing or damaged.
        """
        folder = self.member(member)
        if not records.is_whole(folder):
            raise self._damaged(member)
        return folder

    def member_arrays(self, member: Member, name: str, **expected: str) -> dict[str, np.ndarray]:
        """Read `oof.npz` or `test.npz` of a finished member.

        name: of the file. expected: arrays that must be there, with their kinds and dimensions, as in `arrays.read`.

        Raises:
            UserError: the file is missing or damaged.
        """
        try:
            return arrays.read(self.member(member) / name, **expected)
        except ValueError:
            raise self._damaged(member) from None

    def _damaged(self, member: Member) -> UserError:
        return UserError(
            f"member {member.name} of run {self.folder} is missing or damaged; make it anew: "
            f"make submit RUN={self.folder.name}"
        )

    def clustered(self) -> Path:
        """Folder of `make cluster`, whose files match their checksums.

        Raises:
            UserError: a file is missing or damaged.
        """
        if not records.is_whole(self.clusters, "metrics.json"):
            raise UserError(
                f"{self.clusters}: damaged, or of an earlier version; make it anew: make cluster RUN={self.folder.name}"
            )
        return self.clusters

    def probabilities(self, file: Path) -> dict[str, np.ndarray]:
        """Read the arrays of `oof` or `test`, see `arrays.read_probabilities`.

        Raises:
            UserError: the run is not finished, or the file is damaged.
        """
        try:
            return arrays.read_probabilities(file)
        except ValueError:
            state = f"damaged ({file.name}); make it whole" if file.exists() else "not finished; finish it"
            raise UserError(f"run {self.folder} is {state}: make submit RUN={self.folder.name}") from None

    def history(self, member: Member) -> np.ndarray:
        """Training history of a finished member: a structured array (epochs,) with the columns of its file."""
        return np.genfromtxt(self.member(member) / "history.csv", delimiter=",", names=True, ndmin=1)

    def unfinished(self, member: Member) -> Path:
        """Folder of a member until it is finished."""
        return self.folder / "members" / f".{member.name}"

    def member_lock(self, member: Member) -> Path:
        """Lock that a process holds while it trains a member."""
        return self.folder / "members" / f".{member.name}.lock"

    def locked(self) -> AbstractContextManager[None]:
        """Hold the run for this process, as `files.lock.locked` does."""
        return locked(self.folder)

    def recorded_config(self) -> Config:
        """Config that the run was made from.

        Raises:
            UserError: there is no such run, or its record is damaged or of another version.
        """
        self.check_exists()
        return parse_recorded(records.read_twice(self.origin, config=dict)["config"], str(self.origin))

    def covered_config(self, config: Config) -> Config:
        """Config of the networks of an unfinished run that can be evaluated together.

        These are the networks of its first complete folds, or of the architectures that are trained in every fold,
        whichever are more. A finished run keeps its own config.

        Raises:
            UserError: no fold has all its networks yet.
        """
        metrics = records.read_json(self.metrics) if self.metrics.is_file() else {}  # a pipe is refused with the lock
        planned = members(config)
        if metrics.get("members_planned") in (None, metrics.get("members")):
            return config
        missing = [member for member in planned if not self.member(member).exists()]
        folds = min((member.fold for member in missing), default=len(config.folds.trained))
        unfinished = {member.architecture for member in missing}
        kept = [net.model_dump() for net in config.architectures if net.label not in unfinished]
        parts = [{"folds.limit": folds}] * (folds > 0) + [{"architectures": kept}] * bool(kept)
        if not parts:
            raise UserError(
                f"run {self.folder} holds {len(planned) - len(missing)} of {len(planned)} networks, and no fold has "
                f"all of its own yet; continue: make submit RUN={self.folder.name}"
            )
        return max((replaced(config, part, str(self.origin)) for part in parts), key=lambda part: len(members(part)))

    def adapted_config(self, overrides: list[str], preset: Path | None = None) -> Config:
        """The run's config with other settings for what may change on a finished run.

        Raises:
            UserError: as `recorded_config`, or one of the settings shaped the members.
        """
        before = self.recorded_config()
        origin = f"{self.origin} with {preset}" if preset else str(self.origin)
        after = revise(before, overrides, origin, read_file(preset) if preset else None)
        changed = differences(*(_shaping(settings.model_dump(mode="json")) for settings in (after, before)))
        if changed:
            raise UserError(f"run {self.folder} is finished, and made otherwise: {', '.join(changed)}")
        return after


@dataclass(frozen=True, eq=False)
class Run(RunFolder):
    """A run: its folder, its config and its data."""

    config: Config
    dataset: Dataset

    @property
    def members(self) -> list[Member]:
        """Every member of the config, in the order of ensembling."""
        return members(self.config)

    def claim(self) -> None:
        """Take the folder for this config and this data, or check that it was made from them.

        How members are combined may change on a finished run; whatever shaped a member may not.

        Raises:
            UserError: the run was made from another config or other data; says which keys differ.
        """
        record = {
            "config": self.config.model_dump(mode="json"),
            "data": {"name": self.dataset.name} | self.dataset.fingerprints,
            "backend": backend.name(),
        }
        before: dict[str, Any] = {"versions": backend.versions(), "machine": backend.machine()}
        if self.exists:
            before = records.read_twice(self.origin, config=dict, data=dict, versions=dict)
            earlier = {"backend": "tensorflow"} | before  # runs of earlier versions had no other backend
            recorded = parse_recorded(before["config"], str(self.origin)).model_dump(mode="json")
            theirs = {key: earlier[key] for key in record} | {"config": _shaping(recorded)}
            theirs["data"] = earlier["data"] | {"name": self.dataset.name}  # the same rows may have another name now
            if changed := differences(record | {"config": _shaping(record["config"])}, theirs):
                raise UserError(
                    f"run {self.folder} was made otherwise: {', '.join(changed)}; "
                    f"choose another RUN=, or delete {self.folder} to start it anew"
                )
            if changed := differences(backend.versions(), before["versions"]):
                logger.warning("run %s was begun with other versions: %s", self.folder, ", ".join(changed))
        records.write_twice(self.origin, before | record)


def _shaping(config: dict[str, Any]) -> dict[str, Any]:
    """Settings that shape the members."""
    return {key: value for key, value in config.items() if key not in ADJUSTABLE}
