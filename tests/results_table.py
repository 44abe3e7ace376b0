"""Check published results: the files of a folder under `output/published/`, and a README's table against them."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NoReturn

import numpy as np

from digits.data import submission

FILES = ["epochs.csv", "metrics.json", "submission.csv"]
CONFIG = re.compile(r"(?:\[`(?P<linked>[^`]+)`\]\(output/published/(?P<folder>[^/)]+)/?\)|`(?P<unlinked>[^`]+)`)")
ACCURACY = re.compile(r"(\d\.\d+)(?: ± (\d\.\d+)|, one fold)")
PREDICTED = re.compile(r"(\d\.\d+) \[(\d\.\d+), (\d\.\d+)\]")
TIME = re.compile(r"(?:(\d+) h )?(\d+) min")


@dataclass(frozen=True)
class Row:
    """A row of the README's table; folder: that its config's name links to, None where it is not published."""

    config: str
    folder: str | None
    accuracy: str
    predicted: str
    time: str


def table(readme: str) -> list[Row]:
    """Parse the first table of a README.

    Its first column begins with the config's name in backticks, which is a link to the config's folder under
    `output/published/` where that is published: ``[`fast`](output/published/fast/): 4 networks``.
    """
    lines = re.search(r"(?:^\|.*\n)+", readme, re.MULTILINE)[0].replace("*", "").splitlines()
    header, _, *rows = ([cell.strip() for cell in line.strip("| ").split("|")] for line in lines)
    columns = [next(at for at, cell in enumerate(header) if word in cell) for word in ("accuracy", "predicted", "time")]
    parsed = []
    for row in rows:
        config = CONFIG.match(row[0])
        assert config, f"no config's name begins the row: {row[0]}"
        name = config["linked"] or config["unlinked"]
        parsed.append(Row(name, config["folder"], *(row[column] for column in columns)))
    return parsed


def disagreements(readme: str, published: Path) -> list[str]:
    """Compare the table with the metrics of the published runs, to the digits that it shows.

    Accuracy and prediction of every published row are compared; times only where they are plain, such as `49 min` or
    `1 h 5 min`. A row without a link is not published yet, and nothing of it is compared.
    """
    found = []
    rows = {row.folder: row for row in table(readme) if row.folder}
    folders = {path.name for path in published.glob("[!.]*")}
    found += [f"{name}: linked in the table, but not published" for name in sorted(rows.keys() - folders)]
    found += [f"{name}: published, but not linked in the table" for name in sorted(folders - rows.keys())]
    for name in sorted(rows.keys() & folders):
        row, metrics = rows[name], json.loads((published / name / "metrics.json").read_text(encoding="utf-8"))
        if row.config != name:
            found.append(f"{name}: the link to it is named {row.config}")
        cells = [
            (row.accuracy, ACCURACY, ("oof_accuracy", "oof_accuracy_std")),
            (row.predicted, PREDICTED, ("predicted_score", "predicted_low", "predicted_high")),
        ]
        for cell, pattern, keys in cells:
            numbers = pattern.fullmatch(cell)
            if not numbers:
                found.append(f"{name}: '{cell}' is not of the form {pattern.pattern}")
                continue
            for key, shown in zip(keys, numbers.groups("0.0000"), strict=True):  # one fold has no deviation
                measured = f"{metrics[key]:.{len(shown.partition('.')[2])}f}"
                if shown != measured:
                    found.append(f"{name}: {key} is {measured}, the table shows {shown}")
        time = TIME.fullmatch(row.time)
        minutes = round(sum(metrics["seconds"].values()) / 60)
        if time and 60 * int(time[1] or 0) + int(time[2]) != minutes:
            found.append(f"{name}: took {minutes} min, the table shows {row.time}")
    return found


def problems(folder: Path, rows: int, classes: list[int]) -> list[str]:
    """Check the files of a published run by themselves and against each other.

    Args:
        folder: of the published run.
        rows: test rows of the competition.
        classes: its labels.
    """
    names = sorted(path.name for path in folder.iterdir())
    if names != FILES:
        return [f"holds {names}"]
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"), parse_constant=_refuse)
    found = submission.check(folder / "submission.csv", rows, np.array(classes)).problems
    if (metrics["test_rows"], metrics["classes"]) != (rows, classes):
        found.append(f"metrics.json is of {metrics['test_rows']} test rows with the labels {metrics['classes']}")
    records, epochs = metrics["member_records"], _epochs(folder / "epochs.csv")
    if list(epochs) != [record["member"] for record in records]:
        found.append("epochs.csv and metrics.json hold different members")
        return found
    if not len(records) == metrics["members"] <= metrics["members_planned"]:
        found.append(f"{len(records)} records of {metrics['members']} members, {metrics['members_planned']} planned")
    for record, lines in zip(records, epochs.values(), strict=True):
        if [line["epoch"] for line in lines] != [str(epoch) for epoch in range(1, len(lines) + 1)]:
            found.append(f"{record['member']}: its epochs are not 1, 2, 3, ...")
        if not math.isclose(sum(float(line["seconds"]) for line in lines), record["seconds"], rel_tol=1e-3):
            found.append(f"{record['member']}: its epochs do not add up to {record['seconds']} seconds")
    return found


def _epochs(path: Path) -> dict[str, list[dict[str, str]]]:
    """Read `epochs.csv`: the lines of each member, members in their order."""
    with path.open(encoding="utf-8", newline="") as file:
        groups = [(name, list(lines)) for name, lines in groupby(csv.DictReader(file), lambda line: line["member"])]
    assert len(dict(groups)) == len(groups), f"{path}: a member's epochs do not stand together"
    return dict(groups)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
