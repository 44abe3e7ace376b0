"""The out-of-fold features of a finished run, brought into one space."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from digits.ensemble import alignment
from digits.ensemble.alignment import Alignment
from digits.ensemble.logits import read_covered
from digits.errors import UserError
from digits.files import arrays
from digits.runs import Run


@dataclass(frozen=True, eq=False)
class Features:
    """Out-of-fold rows of a run, in the order of the rows, as its members see them.

    rows: int (n,), ascending. folds: int (n,). targets: the class of each row's label, int (n,). probabilities:
    the ensemble's, float (n, classes). sources: float (n, d) by name, but of `pixels` the images, uint8
    (n, height, width, channels); see `cluster.spaces`. alignments: of every member, by its name; none if restored.
    """

    rows: np.ndarray
    folds: np.ndarray
    targets: np.ndarray
    probabilities: np.ndarray
    sources: dict[str, np.ndarray]
    alignments: dict[str, Alignment]

    def sample(self, most: int | None, seed: int) -> Features:
        """Draw at most that many rows at random; all where `most` is None."""
        if most is None or len(self.rows) <= most:
            return self
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self.rows))[:most])
        return dataclasses.replace(
            self,
            rows=self.rows[drawn],
            folds=self.folds[drawn],
            targets=self.targets[drawn],
            probabilities=self.probabilities[drawn],
            sources={name: source[drawn] for name, source in self.sources.items()},
        )

    def store(self, run: Run) -> None:
        """Keep what took time to gather in `clusters/features.npz`, for `restore`."""
        arrays.write(
            run.clusters / "features.npz",
            rows=self.rows,
            folds=self.folds,
            aligned=self.sources["aligned"],
            logits=self.sources["logits"],
            fingerprint=np.array(run.dataset.fingerprint),
        )


def gather(run: Run) -> Features:
    """Align the features of all members, average those of one row, and join the rows of all folds.

    Raises:
        UserError: the run is not finished, or was made from other rows.
    """
    ensemble = read_covered(run)
    members, alignments = run.members, alignment.of_run(run)
    first = members[0]
    rows = ensemble["rows"]
    folds = np.empty(len(rows), int)
    aligned = np.zeros((len(rows), alignments[first.name].rotation.shape[1]), np.float32)
    logits = np.zeros((len(rows), len(run.dataset.classes)), np.float32)
    raw = np.zeros((len(rows), len(alignments[first.name].mean)), np.float32)
    for member in members:  # one at a time: all together would take more memory than all else here
        output = arrays.read(run.member(member) / "oof.npz")
        own = np.searchsorted(rows, output["rows"])
        folds[own] = member.fold
        aligned[own] += alignments[member.name](output["features"])
        logits[own] += output["logits"]
        if (member.architecture, member.seed) == (first.architecture, first.seed):
            raw[own] = output["features"]
    in_fold = len(members) / len(run.config.folds.trained)
    aligned /= in_fold
    logits /= in_fold
    return _features(run, ensemble, folds, {"aligned": aligned, "raw": raw, "logits": logits}, alignments)


def restore(run: Run) -> Features:
    """Read what `Features.store` kept: neither raw features nor alignments.

    Raises:
        UserError: the run was never clustered, the file is damaged, or it was made from other rows.
    """
    ensemble = read_covered(run)
    rows = ensemble["rows"]
    try:
        kept = arrays.read(
            run.clusters / "features.npz", rows="i1", folds="i1", aligned="f2", logits="f2", fingerprint="U0"
        )
    except ValueError:
        kept = None
    if (
        kept is None
        or str(kept["fingerprint"]) != run.dataset.fingerprint
        or not np.array_equal(kept["rows"], rows)
        or not len(rows) == len(kept["folds"]) == len(kept["aligned"])
        or kept["logits"].shape != (len(rows), len(run.dataset.classes))
    ):
        raise UserError(f"run {run.folder} has no clusters yet; make them: make cluster RUN={run.folder.name}")
    return _features(run, ensemble, kept["folds"], {name: kept[name] for name in ("aligned", "logits")}, {})


def _features(
    run: Run,
    ensemble: dict[str, np.ndarray],
    folds: np.ndarray,
    sources: dict[str, np.ndarray],
    alignments: dict[str, Alignment],
) -> Features:
    images, rows = run.dataset.train_images, ensemble["rows"]
    pixels = images if len(rows) == len(images) else images[rows]  # bytes: floats would take more memory than all else
    targets, sources = run.dataset.targets[rows], sources | {"pixels": pixels}
    return Features(rows, folds, targets, ensemble["probabilities"], sources, alignments)
