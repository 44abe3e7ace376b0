"""Data sets that are not the competition's: their names, ids and truth, from the files to the submission."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from command import answer, call
from digits import data, pipeline
from digits.competition import COMPETITION
from digits.data.demo import demo
from digits.files import arrays, records
from digits.stages import submit
from finished_run import finish
from kaggle_form import write_competition

TRAIN, TEST = 200, 60
IDS = np.random.default_rng(0).permutation(1000)[:TEST]


@pytest.fixture
def kannada(tmp_path) -> Path:
    """A folder with 200 and 60 of the demo set's rows."""
    rows = demo()
    labels, test = rows.train_labels[:TRAIN], rows.test_images[:TEST]
    return write_competition(tmp_path / "kannada", rows.train_images[:TRAIN], labels, test)


def prepend(table: Path, name: str, values: np.ndarray) -> None:
    """Give a table another first column."""
    header, *lines = table.read_text().splitlines()
    lines = [f"{value},{line}" for value, line in zip(values, lines, strict=True)]
    table.write_text("\n".join([f"{name},{header}", *lines]) + "\n")


def submission_of(folder: Path, output: Path) -> Path:
    run = finish(output / "mine", data.read(data.find(str(folder)), output / "cache"))
    submit.run(run, {})
    return run.submission


def test_a_submission_has_the_ids_of_the_test_table(kannada, tmp_path, capsys):
    prepend(kannada / "test.csv", "id", IDS)
    file = submission_of(kannada, tmp_path / "output")
    header, *lines = file.read_text().splitlines()
    assert header == "ImageId,Label"
    assert [int(line.split(",")[0]) for line in lines] == IDS.tolist()
    assert "If Kaggle scores kannada: make submit-kaggle RUN=mine COMPETITION=<its name>" in capsys.readouterr().out
    validate = ("validate", file, "--data", kannada, "--output", tmp_path / "output")
    assert "Tables read as: test.csv: ids in 'id'." in answer(*validate)
    file.write_text("\n".join([header, *(f"{row},{line.split(',')[1]}" for row, line in enumerate(lines, start=1))]))
    done = call(*validate)
    assert done.exit_code == 2
    assert f"ImageId {min(set(IDS.tolist()) - set(range(1, TEST + 1)))} is missing" in done.stdout


def test_labels_of_the_test_table_are_scored_and_never_learned(kannada, tmp_path, capsys):
    truth = demo().test_labels[:TEST]
    unlabelled = data.read(data.find(str(kannada)), tmp_path / "cache")
    prepend(kannada / "test.csv", "label", truth)
    labelled = data.read(data.find(str(kannada)), tmp_path / "cache")
    assert (labelled.fingerprint, labelled.test_fingerprint) == (unlabelled.fingerprint, unlabelled.test_fingerprint)
    file = submission_of(kannada, tmp_path / "output")
    metrics = json.loads((tmp_path / "output/mine/metrics.json").read_text())
    predicted = np.loadtxt(file, int, delimiter=",", skiprows=1)[:, 1]
    assert metrics["true_score"] == pytest.approx((predicted == truth).mean())
    assert "make submit-kaggle" not in capsys.readouterr().out


def test_the_rows_may_have_moved_since_the_run_was_made(kannada, tmp_path):
    run = finish(tmp_path / "output/mine", data.read(data.find(str(kannada)), tmp_path / "cache"))
    record = records.read_twice(run.origin)
    assert record["data"]["name"] == "kannada"
    records.write_twice(run.origin, record | {"data": record["data"] | {"name": "digit-recognizer"}})
    run.claim()
    assert records.read_twice(run.origin)["data"]["name"] == "kannada"


def test_as_many_rows_as_the_competition_has_are_taken_for_its_own(tmp_path):
    train, test = COMPETITION.rows
    folder = write_competition(
        tmp_path / "any", np.zeros((train, 1), int), np.arange(train) % 2, np.zeros((test, 1), int)
    )
    assert [data.read(data.find(str(folder)), tmp_path / "cache").name for _ in range(2)] == [COMPETITION.name] * 2


def test_explorations_of_data_sets_of_one_name_lie_side_by_side(kannada, tmp_path):
    rows = data.read(data.find(str(kannada)), tmp_path / "cache")
    other = dataclasses.replace(rows, test_images=rows.test_images[1:])
    output, folders = tmp_path / "output", []
    for explored in (rows, other, rows, other):
        folder = pipeline.explored_folder(output, explored)
        record = {"data": {"name": explored.name, "train": explored.fingerprint, "test": explored.test_fingerprint}}
        records.write_json(folder / "metrics.json", record)
        folders.append(folder)
    assert folders[:2] == folders[2:]
    assert folders[0] == output / "eda/kannada"
    assert folders[1].parent == output / "eda" and folders[1].name.startswith("kannada-")
    (folders[0] / "metrics.json").write_text("damaged")
    assert pipeline.explored_folder(output, other) == folders[0]


def test_ids_that_are_not_those_of_the_rows_are_damage(kannada, tmp_path):
    prepend(kannada / "test.csv", "id", IDS)
    submission_of(kannada, tmp_path / "output")
    path = tmp_path / "output/mine/test.npz"
    stored = arrays.read_probabilities(path)
    np.testing.assert_array_equal(stored["ids"], IDS)
    for wrong in (IDS[:-1], IDS.astype(float)):
        arrays.write(path, **stored | {"ids": wrong})
        with pytest.raises(ValueError, match="damaged"):
            arrays.read_probabilities(path)
