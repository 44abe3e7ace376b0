"""Publish a finished run: write the few files of it that are committed, `output/published/<name>/`."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from digits import runs
from digits.__main__ import OUTPUT, OutputOption, named_run
from digits.config import Config
from digits.data import submission
from digits.errors import UserError, one_line_errors
from digits.files import arrays, records
from digits.files.atomic import TEMPORARY, replacing
from digits.runs import Member, Run

FIGURES = {  # keys without which metrics.json is no basis for a row of a results table
    "members": int,
    "oof_rows": int,
    "oof_accuracy": float,
    "oof_accuracy_std": float,
    "oof_log_loss": float,
    "predicted_score": float,
    "predicted_low": float,
    "predicted_high": float,
    "core_seconds": float,
    "seconds": dict,
}


def run(config: Config, run: Run, folder: Path) -> None:
    """Write `submission.csv`, `metrics.json` and `epochs.csv` of a run; an earlier folder of the name is replaced.

    The folder is complete or absent. The same run gives the same bytes.

    Args:
        config: of the run.
        run: finished; the caller holds its lock.
        folder: where the three files go.

    Raises:
        UserError: a member is damaged, or members, metrics and submission do not belong together.
    """
    planned = runs.members(config)
    members = _trained(run, planned)
    metrics = _metrics(run, len(members), len(planned))
    record = records.read_twice(run.origin, config=dict, data=dict, versions=dict, machine=dict)
    oof, test = _probabilities(run, record["data"])
    _check_scores(run, metrics, oof)
    _check_submission(run, test)
    about = {
        "run": run.folder.name,
        **metrics,
        "members_planned": len(planned),
        "test_rows": len(test["probabilities"]),
        "classes": test["classes"].tolist(),
        **_origin(record),
        "member_records": [_member_record(run, member, record["versions"]) for member in members],
    }
    _write(run, folder, _json(about, run), *_epochs(run, members))
    print(
        f"Written: {folder}/ (submission.csv, metrics.json, epochs.csv) of run {run.folder.name}, "
        f"{len(members)} of {len(planned)} members, on {record['data']['name']}. Commit these files."
    )


def _write(run: Run, folder: Path, metrics: str, header: list[str], epochs: list[list[str]]) -> None:
    """Write the three files under a temporary name, and rename their folder."""
    unfinished = folder.with_name(f"{TEMPORARY}{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a call that was killed
    try:
        with replacing(unfinished / "submission.csv") as temporary:
            shutil.copyfile(run.submission, temporary)
        with replacing(unfinished / "metrics.json") as temporary:
            temporary.write_text(metrics, encoding="utf-8")
        records.write_csv(unfinished / "epochs.csv", header, epochs)
        records.publish(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _trained(run: Run, planned: list[Member]) -> list[Member]:
    """Select the members that the run holds; every file of them matches its checksum.

    Raises:
        UserError: there are none, or one is damaged.
    """
    members = [member for member in planned if run.member(member).exists()]
    if not members:
        raise _unfit(run, f"run {run.folder} is not finished, it has no trained member")
    for member in members:
        run.whole(member)
    return members


def _metrics(run: Run, trained: int, planned: int) -> dict[str, Any]:
    """Read the run's metrics.

    Args:
        run: whose metrics.
        trained: members that the run holds.
        planned: members of its config; metrics of fewer must say so in `members_planned`.

    Raises:
        UserError: they are missing, incomplete, or of other members.
    """
    if not run.metrics.exists():
        raise _unfit(run, f"run {run.folder} is not finished, {trained} of {planned} members are trained")
    metrics = records.read_json(run.metrics, **FIGURES)
    if metrics["members"] != trained:
        raise _unfit(run, f"{run.metrics}: of {metrics['members']} members, but the run holds {trained}")
    if metrics.get("members_planned", trained) != planned:
        raise _unfit(run, f"{run.metrics}: of {trained} members of {planned}, but members_planned does not say so")
    return metrics


def _probabilities(run: Run, data: dict[str, str]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Read the probabilities of the out-of-fold rows and of the test rows.

    Args:
        run: whose probabilities.
        data: name and fingerprints of its data, as `run.json` has them.

    Raises:
        UserError: they are missing, damaged or of other rows.
    """
    try:
        oof, test = arrays.read_probabilities(run.oof), arrays.read_probabilities(run.test)
    except ValueError as error:
        raise _unfit(run, str(error)) from None
    if (str(oof["fingerprint"]), str(test["fingerprint"])) != (data.get("train"), data.get("test")):
        raise _unfit(run, f"run {run.folder}: its probabilities are of other rows than {run.origin.name} says")
    return oof, test


def _check_scores(run: Run, metrics: dict[str, Any], oof: dict[str, np.ndarray]) -> None:
    """Check the metrics against the out-of-fold probabilities that they were computed from.

    Raises:
        UserError: they do not agree.
    """
    right = oof["classes"][oof["probabilities"].argmax(axis=1)] == oof["labels"]
    low, score, high = (metrics[f"predicted_{name}"] for name in ("low", "score", "high"))
    if (metrics["oof_rows"], metrics["oof_accuracy"]) != (len(right), right.mean()) or not low <= score <= high:
        raise _unfit(run, f"{run.metrics}: does not agree with {run.oof.name}")


def _check_submission(run: Run, test: dict[str, np.ndarray]) -> None:
    """Check the submission by its format, and against the test probabilities that it was made from.

    Raises:
        UserError: it is missing or not valid.
    """
    if not run.submission.exists():
        raise _unfit(run, f"run {run.folder} has no {run.submission.name}")
    verdict = submission.check(run.submission, len(test["probabilities"]), test["classes"])
    if verdict.valid:
        chosen = test["classes"][test["probabilities"].argmax(axis=1)]
        submission.compare(verdict, chosen, run.folder.name, own=True)
    if not verdict.valid:
        raise _unfit(run, f"{run.submission}: not valid: {verdict.problems[0]}")


def _unfit(run: Run, problem: str) -> UserError:
    return UserError(f"{problem}; make it whole, then publish it: make submit RUN={run.folder.name}")


def _epochs(run: Run, members: list[Member]) -> tuple[list[str], list[list[str]]]:
    """Collect the columns and the rows of `epochs.csv`: of each member in turn what its `history.csv` holds.

    Raises:
        UserError: a history cannot be read, or has other columns than the first one.
    """
    header: list[str] = []
    lines = []
    for member in members:
        path = run.member(member) / "history.csv"
        try:
            columns, *epochs = csv.reader(path.read_text(encoding="utf-8").splitlines(), strict=True)
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None
        header = header or columns
        if columns != header or any(len(epoch) != len(header) for epoch in epochs):
            raise UserError(f"{path}: has other columns than the history of {members[0].name}")
        lines += [[member.name, *epoch] for epoch in epochs]
    return ["member", *header], lines


def _origin(record: dict[str, Any]) -> dict[str, Any]:
    """Select what `run.json` says of how the run was made, its seeds among the config.

    Of the system its name alone: the build of a kernel tells nothing of a result.
    """
    origin = {key: record[key] for key in ("config", "data", "versions", "backend") if key in record}
    system = str(record["machine"].get("system", "")).partition("-")[0]
    return origin | {"machine": record["machine"] | {"system": system}}


def _member_record(run: Run, member: Member, versions: dict[str, str]) -> dict[str, Any]:
    """Describe a member: what it is, and what was recorded when it was trained.

    That is its seconds, processor and precision, and the versions where they are not the run's.
    """
    recorded = records.read_json(run.member(member) / "member.json", seconds=float)
    recorded.pop("sha256")
    if recorded.get("versions") == versions:
        recorded.pop("versions")
    identity = {"member": member.name, "architecture": member.architecture, "seed": member.seed, "fold": member.fold}
    return identity | recorded


def _json(values: dict[str, Any], run: Run) -> str:
    """Format JSON with null for NaN.

    Raises:
        UserError: a number is infinite.
    """
    try:
        return json.dumps(records.with_nulls(values), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError:
        raise UserError(f"{run.metrics}: holds an infinite number, which JSON does not know") from None


@one_line_errors
def main(
    run_name: Annotated[str, typer.Option("--run", help="A finished run.")] = "default",
    name: Annotated[str | None, typer.Option(help="Name of the folder; by default the run's.")] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Write the files of a run that are committed: submission, metrics and a log of the epochs."""
    published, folder = named_run(output, run_name), named_run(output / "published", name or run_name).folder
    with published.locked():
        run(published.config(), published, folder)


if __name__ == "__main__":
    typer.run(main)
