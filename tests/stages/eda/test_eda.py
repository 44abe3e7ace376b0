"""`make eda`: the exploration of a data set."""

import csv
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from digits.config import Config
from digits.data import Dataset
from digits.data.demo import demo
from digits.files import records
from digits.stages.eda import stage as eda

FIGURES = {
    f"{name}.png"
    for name in (
        "labels",
        "samples",
        "intensities",
        "means",
        "blank",
        "ink_slant",
        "duplicates",
        "drift",
        "augmentation",
    )
}
ALL = FIGURES | {"metrics.json", "duplicates.csv"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Explored in a process of its own, which says whether it has imported TensorFlow."""
    folder = tmp_path_factory.mktemp("output") / "eda/demo"
    code = (
        "import sys; from pathlib import Path; from digits.config import Config; from digits.data.demo import demo; "
        "from digits.stages.eda import stage; stage.run(Config(), demo(), Path(sys.argv[1])); "
        "print('imported:', sorted({'tensorflow', 'keras', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (folder.parent / "said.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="module")
def said(folder) -> str:
    return (folder.parent / "said.txt").read_text()


@pytest.fixture(scope="module")
def metrics(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def few(rows: int = 120) -> Dataset:
    """The first rows of the demo set."""
    data = demo()
    return dataclasses.replace(
        data,
        train_images=data.train_images[:rows],
        train_labels=data.train_labels[:rows],
        test_images=data.test_images[:rows],
        test_labels=data.test_labels[:rows],
    )


def planted() -> Dataset:
    """Few rows with copies: training rows 1 and 5 (of other digits) are the same, and test row 3 is training row 2."""
    data = few()
    train, test = data.train_images.copy(), data.test_images.copy()
    assert data.train_labels[1] != data.train_labels[5]
    train[5] = train[1]
    test[3] = train[2]
    return dataclasses.replace(data, train_images=train, test_images=test)


def listed(folder) -> list[dict[str, str]]:
    with (folder / "duplicates.csv").open() as file:
        return list(csv.DictReader(file))


def test_exactly_these_files_are_written(folder):
    assert {path.name for path in folder.iterdir()} == ALL


def test_tensorflow_is_not_imported(said):
    assert "imported: []" in said


def test_it_tells_its_steps_and_where_the_results_are(said, folder):
    for words in ("duplicates:", "train against test:", "1,078 to train, 719 to predict", "AUC"):
        assert words in said
    assert f"Written: {folder}" in said.splitlines()


def test_the_metrics_are_those_of_the_data(metrics):
    data = demo()
    assert metrics["data"] == {"name": "demo", "train": data.fingerprint, "test": data.test_fingerprint}
    assert metrics["rows"] == {"train": 1078, "test": 719}
    assert metrics["side"] == 28
    assert [digit["rows"] for digit in metrics["digits"]] == np.bincount(data.train_labels).tolist()
    assert sum(digit["share"] for digit in metrics["digits"]) == pytest.approx(1)
    blank = ~data.train_images.any(axis=0), ~data.test_images.any(axis=0)
    assert metrics["blank"]["train"] == blank[0].sum()
    assert metrics["blank"]["both"] == (blank[0] & blank[1]).sum()
    assert metrics["blank"]["train"] == metrics["blank"]["both"] + metrics["blank"]["train_only"]


def test_the_demo_set_has_no_copies_and_no_drift(metrics, folder):
    none = {"train": 0, "test": 0, "across": 0, "conflicting": 0}
    assert metrics["duplicates"]["exact"] == metrics["duplicates"]["near"] == none
    assert metrics["duplicates"]["pairs"] == []
    assert metrics["drift"]["auc_interval"][0] < 0.5
    assert not metrics["drift"]["differ"]
    lines = listed(folder)
    assert {line["kind"] for line in lines} == {"alike"}
    closest = metrics["duplicates"]["closest_other_ratio"]
    assert float(lines[0]["ratio"]) == pytest.approx(closest, abs=1e-4)
    assert closest > metrics["duplicates"]["limit"]


def test_every_figure_has_a_caption(metrics):
    assert metrics["captions"].keys() == FIGURES
    assert all(len(text) > 40 and "\n" not in text for text in metrics["captions"].values())
    assert "1,797 images, no two are the same or near duplicates" in metrics["captions"]["duplicates.png"]


def test_planted_copies_are_listed_with_their_rows_and_labels(tmp_path):
    data = planted()
    record = eda.run(Config(), data, tmp_path)
    assert record["duplicates"]["exact"] == {"train": 1, "test": 0, "across": 1, "conflicting": 1}
    lines = {(line["first_table"], line["first_row"], line["second_table"], line["second_row"]): line
             for line in listed(tmp_path) if line["kind"] == "exact"}  # fmt: skip
    assert lines.keys() == {("train", "1", "train", "5"), ("train", "2", "test", "3")}
    conflict = lines["train", "1", "train", "5"]
    assert [int(conflict[key]) for key in ("first_label", "second_label")] == data.train_labels[[1, 5]].tolist()
    assert lines["train", "2", "test", "3"]["second_label"] == ""
    assert [pair["second_row"] for pair in record["duplicates"]["pairs"][:2]] == [5, 3]
    told = record["captions"]["duplicates.png"]
    assert "2 pairs are the same" in told
    assert "the labels of 1 contradict each other" in told


def test_planted_drift_is_seen(tmp_path, capsys):
    data = few(400)
    darker = (data.test_images * 0.7).astype(np.uint8)
    record = eda.run(Config(), dataclasses.replace(data, test_images=darker), tmp_path)
    assert record["drift"]["differ"]
    assert record["drift"]["auc"] > 0.8
    assert record["drift"]["ink_difference"] < -0.5
    assert abs(record["drift"]["slant_difference"]) < 0.2
    assert "can be told apart: AUC" in capsys.readouterr().out


def test_known_test_labels_change_nothing(tmp_path):
    data = few()
    shuffled = dataclasses.replace(data, test_labels=data.test_labels[::-1])
    hidden = dataclasses.replace(data, test_labels=None)
    for name, of in (("a", shuffled), ("b", hidden)):
        eda.run(Config(), of, tmp_path / name)
    assert _without_seconds(tmp_path / "a") == _without_seconds(tmp_path / "b")


def test_the_same_data_give_the_same_files_and_another_seed_other_samples(tmp_path):
    data = few()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        eda.run(Config(seed=seed), data, tmp_path / name)
    for file in FIGURES | {"duplicates.csv"}:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert (tmp_path / "a/samples.png").read_bytes() != (tmp_path / "c/samples.png").read_bytes()


def _without_seconds(folder) -> dict:
    values = records.read_json(folder / "metrics.json")
    del values["seconds"]
    return values


def test_what_an_earlier_call_wrote_is_gone(tmp_path, capsys):
    eda.run(Config(), few(), tmp_path)
    (tmp_path / "of_another_time.png").write_bytes(b"")
    data = few(8)
    record = eda.run(Config(), data, tmp_path)
    assert record["drift"] is None
    assert {path.name for path in tmp_path.iterdir()} == ALL - {"drift.png"}
    assert record["captions"].keys() == FIGURES - {"drift.png"}
    assert "too few rows" in capsys.readouterr().out


def test_the_shape_comes_from_the_data(tmp_path):
    data = few()
    some = np.isin(data.train_labels, [3, 7])
    small = dataclasses.replace(
        data,
        train_images=data.train_images[some][:, 4:24, 4:24],
        train_labels=data.train_labels[some],
        test_images=data.test_images[:, 4:24, 4:24],
    )
    record = eda.run(Config(), small, tmp_path)
    assert record["side"] == 20
    assert [digit["digit"] for digit in record["digits"]] == [3, 7]
    assert {path.name for path in tmp_path.iterdir()} == ALL


def test_one_row_of_a_class_and_one_to_predict_are_enough(tmp_path):
    data = few(40)
    rare = np.append(np.flatnonzero(data.train_labels != 4), np.flatnonzero(data.train_labels == 4)[:1])
    lonely = dataclasses.replace(
        data,
        train_images=data.train_images[rare],
        train_labels=data.train_labels[rare],
        test_images=data.test_images[:1],
        test_labels=None,
    )
    record = eda.run(Config(), lonely, tmp_path)
    assert record["digits"][4]["rows"] == 1
    assert record["drift"] is None


def test_augmentation_that_is_off_shows_the_originals(tmp_path):
    off = Config.model_validate({"augmentation": {"rotation": 0.0, "shift": 0.0, "zoom": 0.0, "shear": 0.0}})
    told = eda.run(off, few(), tmp_path)["captions"]["augmentation.png"]
    assert "nothing is on" in told
    assert "differs from it by 0%" in told
