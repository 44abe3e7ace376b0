"""Logits of a run's members: read, calibrated by temperatures, and combined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from digits.ensemble import calibration
from digits.ensemble import rules as ensembling
from digits.errors import UserError
from digits.files import records
from digits.runs import Member, Run

BELIEFS = "mean"  # the rule whose probabilities are reported, whichever rule makes the choices


@dataclass(frozen=True)
class Logits:
    """Logits of one member.

    rows: its held-out rows, int (n,). oof: for them, float (n, c). test: for the test rows, float (m, c).
    """

    member: Member
    rows: np.ndarray
    oof: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Calibrated:
    """Members whose logits are divided by fitted temperatures.

    temperatures: by architecture, from the out-of-fold rows of all folds; they scale the test logits. by_fold: for each
    fold those from the rows of all other folds, so that no row decides how it is scored; they scale the out-of-fold
    logits.
    """

    members: list[Logits]
    temperatures: dict[str, float]
    by_fold: dict[int, dict[str, float]]


def read_ensemble(run: Run) -> dict[str, np.ndarray]:
    """Read the out-of-fold probabilities of a run, as `make submit` wrote them.

    Raises:
        UserError: the run is not finished, or was made from other rows.
    """
    ensemble = run.probabilities(run.oof)
    if str(ensemble["fingerprint"]) != run.dataset.fingerprint:
        raise UserError(f"run {run.folder} was made from other training rows than {run.dataset.name}; give its DATA=")
    rows, classes = ensemble["rows"], ensemble["classes"]
    if not np.array_equal(classes, run.dataset.classes) or not are_rows_of(rows, len(run.dataset.train_labels)):
        raise UserError(f"{run.oof}: damaged; make it anew: make submit RUN={run.folder.name}")
    if records.read_twice(run.origin, data=dict)["data"].get("test") != run.dataset.test_fingerprint:
        raise UserError(f"run {run.folder} was made from other test rows than {run.dataset.name}; give its DATA=")
    return ensemble


def read_covered(run: Run) -> dict[str, np.ndarray]:
    """Read the out-of-fold probabilities of the rows that the networks of the run's config have predicted.

    Raises:
        UserError: the run is not finished, was made from other rows, or lacks a network.
    """
    ensemble = read_ensemble(run)
    first = run.members[0]
    alike = [replace(first, fold=fold) for fold in run.config.folds.trained]
    own = np.concatenate([run.member_arrays(member, "oof.npz", rows="i1")["rows"] for member in alike])
    kept = np.isin(ensemble["rows"], own)
    if kept.sum() != len(own):
        raise UserError(f"{run.oof}: lacks rows of its networks; make it anew: make submit RUN={run.folder.name}")
    of_rows = ("rows", "labels", "probabilities")
    return {name: array[kept] if name in of_rows else array for name, array in ensemble.items()}


def are_rows_of(rows: np.ndarray, count: int) -> bool:
    """These numbers, int (n,), are some of `count` rows, each once and in their order."""
    return len(rows) > 0 and rows[0] >= 0 and rows[-1] < count and bool((np.diff(rows) > 0).all())


def load(run: Run, member: Member) -> Logits:
    """Read the logits of a trained member.

    Raises:
        UserError: it is missing or damaged.
    """
    run.verified(member)
    oof = run.member_arrays(member, "oof.npz", rows="i1", logits="f2")
    test = run.member_arrays(member, "test.npz", logits="f2")
    return Logits(member, oof["rows"], oof["logits"], test["logits"])


def folds(members: Iterable[Logits]) -> list[int]:
    """Folds of the members, in their order."""
    return list(dict.fromkeys(logits.member.fold for logits in members))


def of_fold(members: Iterable[Logits], fold: int) -> list[Logits]:
    """Members of one fold: those that predict the same out-of-fold rows."""
    return [logits for logits in members if logits.member.fold == fold]


def _without_fold(members: Iterable[Logits], fold: int) -> list[Logits]:
    return [logits for logits in members if logits.member.fold != fold]


def calibrate(members: Sequence[Logits], targets: np.ndarray) -> Calibrated:
    """Divide the logits by the temperature of their architecture, cross-fitted over the folds.

    members: as they were loaded. targets: the class of every training row, int (n,).
    """
    architectures: dict[str, list[Logits]] = {}
    for logits in members:
        architectures.setdefault(logits.member.architecture, []).append(logits)
    overall = {name: temperature(peers, targets) for name, peers in architectures.items()}
    fitted = {
        fold: {name: temperature(_without_fold(peers, fold), targets) for name, peers in architectures.items()}
        for fold in folds(members)
    }
    scaled = [
        replace(logits, oof=logits.oof / fitted[fold][name], test=logits.test / overall[name])
        for name, peers in architectures.items()
        for fold in folds(peers)
        for logits in of_fold(peers, fold)
    ]
    return Calibrated(scaled, overall, fitted)


def temperature(members: Sequence[Logits], targets: np.ndarray) -> float:
    """Temperature fitted on the pooled out-of-fold rows of members; 1 if there are none."""
    if not members:
        return 1.0
    rows = np.concatenate([logits.rows for logits in members])
    return calibration.temperature(np.concatenate([logits.oof for logits in members]), targets[rows])


def ensemble_temperatures(
    members: Sequence[Logits], calibrated: Calibrated, targets: np.ndarray
) -> tuple[dict[int, float], float]:
    """Fit a further temperature, of the ensemble's own log-probabilities: for each fold, and from all folds.

    The mean of several softmaxes is less sure than it is right, even where each of them is calibrated. A fold's
    temperature comes from the other folds alone, whose logits are for this divided by temperatures that never saw the
    fold either.

    members: as they were loaded. calibrated: the same, calibrated. targets: the class of every training row, int (n,).
    """
    fitted = {}
    for fold, temperatures in calibrated.by_fold.items():
        others = [
            replace(logits, oof=logits.oof / temperatures[logits.member.architecture])
            for logits in _without_fold(members, fold)
        ]
        fitted[fold] = _ensemble_temperature(others, targets)
    return fitted, _ensemble_temperature(calibrated.members, targets)


def _ensemble_temperature(members: Sequence[Logits], targets: np.ndarray) -> float:
    if not members:
        return 1.0
    rows, beliefs = out_of_fold(members, BELIEFS)
    return calibration.temperature(ensembling.log_probabilities(beliefs), targets[rows])


def sharpened(
    rows: np.ndarray, beliefs: np.ndarray, members: Iterable[Logits], temperatures: Mapping[int, float]
) -> np.ndarray:
    """Apply each fold's further temperature to the probabilities float (n, c) of `rows`, int (n,) ascending."""
    divisors = np.empty((len(rows), 1))
    for logits in members:
        divisors[np.searchsorted(rows, logits.rows)] = temperatures[logits.member.fold]
    return ensembling.combine(ensembling.log_probabilities(beliefs)[None] / divisors, "logits")


def test(members: Iterable[Logits], rule: str) -> np.ndarray:
    """Probabilities of the test rows, float (m, c)."""
    return ensembling.combine(np.stack([logits.test for logits in members]), rule)


def out_of_fold(members: Sequence[Logits], rule: str) -> tuple[np.ndarray, np.ndarray]:
    """Scored training rows (n,), ascending, with the probabilities (n, c) by the members that never saw them."""
    rows, probabilities = [], []
    for fold in folds(members):
        peers = of_fold(members, fold)
        rows.append(peers[0].rows)
        probabilities.append(ensembling.combine(np.stack([logits.oof for logits in peers]), rule))
    order = np.argsort(np.concatenate(rows))
    return np.concatenate(rows)[order], np.concatenate(probabilities)[order]
