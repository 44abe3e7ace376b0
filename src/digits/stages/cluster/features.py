"""The out-of-fold features of a finished run, brought into one space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from digits.data import Dataset
from digits.ensemble.alignment import Alignment, align
from digits.ensemble.logits import read_covered
from digits.errors import UserError
from digits.files import arrays
from digits.runs import Member, Run

ANCHORS = 10_000  # test images that anchor the alignment: more change nothing


@dataclass(frozen=True, eq=False)
class Features:
    """What the members of a run say of its out-of-fold rows, in the order of the rows.

    rows: int (n,), ascending. folds: int (n,). targets: the class of each row's label, int (n,). probabilities:
    the ensemble's, float (n, classes). sources: float (n, d) by name, but of `pixels` the images, uint8
    (n, height, width, channels); see `analysis.spaces`. alignments: of every member, by its name.
    """

    rows: np.ndarray
    folds: np.ndarray
    targets: np.ndarray
    probabilities: np.ndarray
    sources: dict[str, np.ndarray]
    alignments: dict[str, Alignment]

    def sample(self, most: int | None, seed: int) -> Features:
        """At most that many rows, drawn at random; all where `most` is None."""
        if most is None or len(self.rows) <= most:
            return self
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self.rows))[:most])
        return Features(
            self.rows[drawn],
            self.folds[drawn],
            self.targets[drawn],
            self.probabilities[drawn],
            {name: of[drawn] for name, of in self.sources.items()},
            self.alignments,
        )

    def store(self, run: Run, fingerprint: str) -> None:
        """Keep what took time to gather in `clusters/features.npz`, for `restore`."""
        fitted = {}
        for name, of in self.alignments.items():
            parts = {"mean": of.mean, "scale": of.scale, "rotation": of.rotation, "residual": of.residual}
            fitted |= {f"{name}:{part}": np.asarray(value) for part, value in parts.items()}
        arrays.write(
            run.clusters / "features.npz",
            rows=self.rows,
            folds=self.folds,
            aligned=self.sources["aligned"],
            logits=self.sources["logits"],
            fingerprint=np.array(fingerprint),
            **fitted,
        )


def gather(run: Run) -> Features:
    """Align the features of all members, average those of one row, and stand the rows of all folds together.

    Raises:
        UserError: the run is not finished, or was made from other rows.
    """
    ensemble = read_covered(run)
    members = run.members
    drawn = np.random.default_rng(0).permutation(len(run.dataset.test_images))[:ANCHORS]
    alignments = align([_arrays(run, member, "test.npz")["features"][drawn] for member in members])
    rows = ensemble["rows"]
    folds = np.empty(len(rows), int)
    aligned = np.zeros((len(rows), alignments[0].rotation.shape[1]), np.float32)
    logits = np.zeros((len(rows), len(run.dataset.classes)), np.float32)
    raw = np.zeros((len(rows), len(alignments[0].mean)), np.float32)
    for member, alignment in zip(members, alignments, strict=True):
        of = _arrays(run, member, "oof.npz")  # one at a time: all together would take more memory than all else here
        places = np.searchsorted(rows, of["rows"])
        folds[places] = member.fold
        aligned[places] += alignment(of["features"])
        logits[places] += of["logits"]
        if (member.architecture, member.seed) == (members[0].architecture, members[0].seed):
            raw[places] = of["features"]
    in_fold = len(members) / len(run.config.folds.trained)
    aligned /= in_fold
    logits /= in_fold
    sources = {"aligned": aligned, "raw": raw, "logits": logits, "pixels": _pixels(run.dataset, rows)}
    named = {member.name: alignment for member, alignment in zip(members, alignments, strict=True)}
    return Features(rows, folds, run.dataset.targets[rows], ensemble["probabilities"], sources, named)


def restore(run: Run) -> Features:
    """What `Features.store` kept, without the raw features.

    Raises:
        UserError: the run was never clustered, the file is damaged, or it was made from other rows.
    """
    ensemble = read_covered(run)
    parts = {"mean": "f1", "scale": "f0", "rotation": "f2", "residual": "f0"}
    names = [member.name for member in run.members]
    forms = {f"{name}:{part}": form for name in names for part, form in parts.items()}
    try:
        kept = arrays.read(
            run.clusters / "features.npz", rows="i1", folds="i1", aligned="f2", logits="f2", fingerprint="U0", **forms
        )
        fitted = {name: {part: kept[f"{name}:{part}"] for part in parts} for name in names}
        width = kept["aligned"].shape[1]
        fits = all(of["rotation"].shape == (len(of["mean"]), width) and of["scale"] > 0 for of in fitted.values())
        rows = ensemble["rows"]
        fits &= np.array_equal(kept["rows"], rows) and len(rows) == len(kept["folds"]) == len(kept["aligned"])
        fits &= kept["logits"].shape == (len(rows), len(run.dataset.classes))
        fingerprint = str(kept["fingerprint"]) if fits else None
    except ValueError:
        fingerprint = None
    if fingerprint != run.dataset.fingerprint:
        raise UserError(f"run {run.folder} has no clusters yet; make them: make cluster RUN={run.folder.name}")
    sources = {"aligned": kept["aligned"], "logits": kept["logits"], "pixels": _pixels(run.dataset, rows)}
    alignments = {
        name: Alignment(of["mean"], float(of["scale"]), of["rotation"], float(of["residual"]))
        for name, of in fitted.items()
    }
    return Features(rows, kept["folds"], run.dataset.targets[rows], ensemble["probabilities"], sources, alignments)


def _arrays(run: Run, member: Member, name: str) -> dict[str, np.ndarray]:
    try:
        return arrays.read(run.member(member) / name)
    except ValueError:
        raise UserError(
            f"member {member.name} of run {run.folder} is missing or damaged; make it anew: "
            f"make submit RUN={run.folder.name}"
        ) from None


def _pixels(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """The images of ascending rows, as bytes: floats would take more memory than everything else."""
    return dataset.train_images if len(rows) == len(dataset.train_images) else dataset.train_images[rows]
