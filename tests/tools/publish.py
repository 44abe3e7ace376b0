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
from digits.__main__ import OUTPUT, OutputOption
from digits.data import submission
from digits.errors import UserError, one_line_errors
from digits.files import arrays, records
from digits.files.atomic import TEMPORARY, replacing
from digits.runs import Member, RunFolder

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


def run(run: RunFolder, folder: Path) -> None:
    """Write `submission.csv`, `metrics.json` and `epochs.csv` of a run; an earlier folder of the name is replaced.

    The folder is complete or absent. The same run gives the same bytes.

    Args:
        run: finished; the caller holds its lock.
        folder: where the three files go.

    Raises:
        UserError: a member is damaged, or members, metrics and submission do not belong together.
    """
    planned = runs.members(run.recorded_config())
    members = _trained(run, planned)
    metrics = _metrics(run, len(members), len(planned))
    record = records.read_twice(run.origin, config=dict, data=dict, versions=dict, machine=dict)
    test = _checked_probabilities(run, metrics, record["data"])
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


def _unfit(run: RunFolder, problem: str) -> UserError:
    return UserError(f"{problem}; make it whole, then publish it: make submit RUN={run.folder.name}")


def _trained(run: RunFolder, planned: list[Member]) -> list[Member]:
    """Members that the run holds, all of them whole."""
    members = [member for member in planned if run.member(member).exists()]
    if not members:
        raise _unfit(run, f"run {run.folder} is not finished, it has no trained member")
    for member in members:
        run.verified(member)
    return members


def _metrics(run: RunFolder, trained: int, planned: int) -> dict[str, Any]:
    """Metrics of a run with so many trained and planned members; those of fewer must say so in `members_planned`."""
    if not run.metrics.exists():
        raise _unfit(run, f"run {run.folder} is not finished, {trained} of {planned} members are trained")
    metrics = records.read_json(run.metrics, **FIGURES)
    if metrics["members"] != trained:
        raise _unfit(run, f"{run.metrics}: of {metrics['members']} members, but the run holds {trained}")
    if metrics.get("members_planned", trained) != planned:
        raise _unfit(run, f"{run.metrics}: of {trained} members of {planned}, but members_planned does not say so")
    return metrics


def _checked_probabilities(run: RunFolder, metrics: dict[str, Any], data: dict[str, str]) -> dict[str, np.ndarray]:
    """Probabilities of the test rows, once those of the out-of-fold rows agree with the metrics.

    data: name and fingerprints, as `run.json` has them.
    """
    try:
        oof, test = arrays.read_probabilities(run.oof), arrays.read_probabilities(run.test)
    except ValueError as error:
        raise _unfit(run, str(error)) from None
    if (str(oof["fingerprint"]), str(test["fingerprint"])) != (data.get("train"), data.get("test")):
        raise _unfit(run, f"run {run.folder}: its probabilities are of other rows than {run.origin.name} says")
    right = oof["classes"][oof["probabilities"].argmax(axis=1)] == oof["labels"]
    low, score, high = (metrics[f"predicted_{name}"] for name in ("low", "score", "high"))
    if (metrics["oof_rows"], metrics["oof_accuracy"]) != (len(right), right.mean()) or not low <= score <= high:
        raise _unfit(run, f"{run.metrics}: does not agree with {run.oof.name}")
    return test


def _check_submission(run: RunFolder, test: dict[str, np.ndarray]) -> None:
    """Check the submission by its format, and against the test probabilities that it was made from."""
    if not run.submission.exists():
        raise _unfit(run, f"run {run.folder} has no {run.submission.name}")
    verdict = submission.check(run.submission, len(test["probabilities"]), test["classes"])
    if verdict.valid:
        labels = test["classes"][test["probabilities"].argmax(axis=1)]
        submission.compare_own(verdict, labels, run.folder.name)
    if not verdict.valid:
        raise _unfit(run, f"{run.submission}: not valid: {verdict.problems[0]}")


def _epochs(run: RunFolder, members: list[Member]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of `epochs.csv`: of each member in turn what its `history.csv` holds."""
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
    """What `run.json` says of how the run was made; of the system its name alone, not the build of its kernel."""
    system = str(record["machine"].get("system", "")).partition("-")[0]
    origin = {key: record[key] for key in ("config", "data", "versions", "backend") if key in record}
    return origin | {"machine": record["machine"] | {"system": system}}


def _member_record(run: RunFolder, member: Member, versions: dict[str, str]) -> dict[str, Any]:
    """What a member is, and what was recorded of its training; its versions where they are not the run's."""
    recorded = records.read_json(run.member(member) / "member.json", seconds=float)
    recorded.pop("sha256")
    if recorded.get("versions") == versions:
        recorded.pop("versions")
    identity = {"member": member.name, "architecture": member.architecture, "seed": member.seed, "fold": member.fold}
    return identity | recorded


def _json(values: dict[str, Any], run: RunFolder) -> str:
    """Format JSON with null for NaN."""
    try:
        return json.dumps(records.with_nulls(values), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    except ValueError:
        raise UserError(f"{run.metrics}: holds an infinite number, which JSON does not know") from None


def _write(run: RunFolder, folder: Path, metrics: str, header: list[str], epochs: list[list[str]]) -> None:
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


app = typer.Typer(add_completion=False)


@app.command()
@one_line_errors
def main(
    run_name: Annotated[str, typer.Option("--run", help="A finished run.")] = "default",
    name: Annotated[str | None, typer.Option(help="Name of the folder; by default the run's.")] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Write the files of a run that are committed: submission, metrics and a log of the epochs."""
    published, folder = RunFolder.named(output, run_name), RunFolder.named(output / "published", name or run_name)
    published.recorded_config()  # is refused where there is no such run, before the lock makes its folder
    with published.locked():
        run(published, folder.folder)


if __name__ == "__main__":
    app()
