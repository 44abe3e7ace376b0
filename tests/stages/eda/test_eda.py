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
from digits.seeds import derive
from digits.stages.eda import stage as eda

NAMES = ["labels", "samples", "intensities", "means", "blank", "ink_slant", "duplicates", "drift", "augmentation"]
FIGURES = {f"{name}.png" for name in NAMES}
ALL = FIGURES | {"metrics.json", "duplicates.csv"}
DATA = demo()


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(eda, "_figures", lambda *_: ())


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
    columns = ("train_images", "train_labels", "test_images", "test_labels")
    return dataclasses.replace(DATA, **{name: getattr(DATA, name)[:rows] for name in columns})


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


def test_it_tells_its_steps_and_where_the_results_are(said, folder, metrics):
    for words in ("duplicates:", "train against test:", "1,078 to train, 719 to predict", *metrics["findings"]):
        assert words in " ".join(said.split())
    assert f"Written: {folder}" in said.splitlines()


def test_the_metrics_are_those_of_the_data(metrics):
    assert metrics["data"] == {"name": "demo", "train": DATA.fingerprint, "test": DATA.test_fingerprint}
    assert metrics["rows"] == {"train": 1078, "test": 719}
    assert metrics["shape"] == [28, 28, 1]
    assert [row["class"] for row in metrics["classes"]] == list(range(10))
    assert [row["rows"] for row in metrics["classes"]] == np.bincount(DATA.train_labels).tolist()
    assert sum(row["share"] for row in metrics["classes"]) == pytest.approx(1)
    blank = ~DATA.train_images.any(axis=0), ~DATA.test_images.any(axis=0)
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
    texts = {name: caption["text"] for name, caption in metrics["captions"].items()}
    assert all(len(text) > 40 and "\n" not in text for text in texts.values())
    assert all(5 < len(caption["title"]) < 80 for caption in metrics["captions"].values())
    labels, duplicates, drift = metrics["findings"]
    assert labels in texts["labels.png"]
    assert duplicates in texts["duplicates.png"]
    assert drift in texts["drift.png"]
    assert "No two of 1,797 images are the same or near duplicates" in duplicates
    assert drift.startswith("A classifier cannot tell")


def test_planted_copies_are_listed_with_their_rows_and_labels(tmp_path, no_figures):
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
    assert record["findings"][1].startswith("Pairs of images that are the same: 2;")
    assert record["findings"][1].endswith("pairs whose labels contradict each other: 1.")


def test_planted_drift_is_seen(tmp_path, no_figures):
    data = few(400)
    darker = (data.test_images * 0.7).astype(np.uint8)
    record = eda.run(Config(), dataclasses.replace(data, test_images=darker), tmp_path)
    assert record["drift"]["differ"]
    assert record["drift"]["auc"] > 0.8
    assert record["drift"]["ink_difference"] < -0.5
    assert abs(record["drift"]["slant_difference"]) < 0.2
    assert record["findings"][2].startswith("A classifier can tell test rows from training rows: AUC")


def test_known_test_labels_change_nothing(tmp_path, no_figures):
    data = few()
    shuffled = dataclasses.replace(data, test_labels=data.test_labels[::-1])
    hidden = dataclasses.replace(data, test_labels=None)
    for name, of in (("a", shuffled), ("b", hidden)):
        eda.run(Config(), of, tmp_path / name)
    assert _without_seconds(tmp_path / "a") == _without_seconds(tmp_path / "b")


def test_the_same_data_give_the_same_files_and_another_seed_other_samples(folder, tmp_path):
    eda.run(Config(), DATA, tmp_path)
    for file in FIGURES | {"duplicates.csv"}:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes(), file
    one, other = (eda._samples(DATA, 3, derive(seed, "eda")) for seed in (1, 2))
    assert not np.array_equal(one, other)


def _without_seconds(folder) -> dict:
    values = records.read_json(folder / "metrics.json")
    del values["seconds"]
    return values


def test_what_an_earlier_call_wrote_is_gone(tmp_path):
    (tmp_path / "of_another_time.png").write_bytes(b"")
    off = Config.model_validate({"augmentation": {"rotation": 0.0, "shift": 0.0, "zoom": 0.0, "shear": 0.0}})
    record = eda.run(off, few(8), tmp_path)
    assert record["drift"] is None
    assert "too few rows" in record["findings"][2]
    assert {path.name for path in tmp_path.iterdir()} == ALL - {"drift.png"}
    assert record["captions"].keys() == FIGURES - {"drift.png"}
    assert "nothing is on" in record["captions"]["augmentation.png"]["text"]
    assert "differs from it by 0%" in record["captions"]["augmentation.png"]["text"]


def test_named_classes_in_colour_of_another_shape(tmp_path):
    data = few()
    some = np.isin(data.train_labels, [3, 7])
    images, test = (of[:, 4:24, 2:26].repeat(3, axis=-1) for of in (data.train_images[some], data.test_images))
    labels = np.where(data.train_labels[some] == 3, "tree", "bird")
    images[1], test[0] = images[0], images[0]
    images[..., 1] //= 2
    record = eda.run(
        Config(), dataclasses.replace(data, train_images=images, train_labels=labels, test_images=test), tmp_path
    )
    assert record["shape"] == [20, 24, 3]
    assert [row["class"] for row in record["classes"]] == ["bird", "tree"]
    assert record["duplicates"]["pairs"][0]["second_label"] == labels[1]
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
    assert record["classes"][4]["rows"] == 1
    assert record["drift"] is None
