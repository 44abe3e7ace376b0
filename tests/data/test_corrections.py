"""Corrected labels: what networks learn, and what they are scored with."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits import config, data
from digits.data import Dataset, corrections
from digits.data.dataset import LEFT_OUT
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Run
from digits.stages import submit, train
from digits.stages.tune import space
from digits.stages.tune.search import Search
from digits.workers.budget import Resources

IMAGES = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
NUMBERS = Dataset("made", "made.zip", IMAGES, np.repeat([3, 5, 7], 4), IMAGES)
NAMES = dataclasses.replace(NUMBERS, train_labels=np.repeat(["cat", "dog", "owl"], 4))
MARK = NUMBERS.fingerprint


def write(folder: Path, *lines: str, columns: str = "row,label,fingerprint", mark: str = MARK) -> Path:
    path = folder / "c.csv"
    path.write_text("".join(f"{line}\n" for line in (columns, *(f"{line},{mark}" for line in lines))))
    return path


def test_networks_learn_what_was_corrected_and_are_scored_as_given(tmp_path):
    rows = data.corrected(NUMBERS, str(write(tmp_path, "0,5", "1,drop", "2,3", "11,7"))).rows
    split = rows.hold_out(np.arange(12) % 2, 0)
    assert split.learned.tolist() == [3, 5, 7, 9, 11]
    assert split.rows.targets[split.learned].tolist() == [0, 1, 1, 2, 2]
    assert split.rows.targets[split.held_out].tolist() == [0, 0, 1, 1, 2, 2]
    split = rows.hold_out(np.arange(12) % 2, 1)
    assert split.rows.targets[split.learned].tolist() == [1, 0, 1, 1, 2, 2]
    part = rows.take(np.array([0, 1, 4])).hold_out(np.zeros(3, int), 1)
    assert part.learned.tolist() == [0, 2]
    assert part.rows.targets[part.learned].tolist() == [1, 1]


def test_without_corrections_a_fold_is_held_out_of_the_table_itself():
    assert data.corrected(NUMBERS, None) is NUMBERS
    split = NUMBERS.rows.hold_out(np.arange(12) % 3, 2)
    assert split.held_out.tolist() == [2, 5, 8, 11]
    assert len(split.learned) == 8
    assert split.rows.targets is NUMBERS.targets


@pytest.mark.parametrize("dataset", [NUMBERS, NAMES], ids=["numbers", "names"])
def test_what_is_written_is_read(dataset, tmp_path):
    targets = {7: 2, 0: LEFT_OUT, 3: 0}
    corrections.write(tmp_path / "c.csv", targets, dataset)
    assert corrections.read(tmp_path / "c.csv", dataset) == targets
    dropped = data.corrected(dataset, str(tmp_path / "c.csv"))
    assert corrections.sentence(dropped).startswith("1 corrected and 1 dropped of 12 labels that networks learn")
    assert dropped.targets.tolist() == dataset.targets.tolist()


def test_a_file_of_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(f'\ufeff"label","row",note,"fingerprint"\r\n 5 ,"0","a, b",{MARK}\r\n'.encode())
    assert corrections.read(path, NUMBERS) == {0: 1}


def test_the_fingerprint_is_of_what_is_learned_and_not_of_the_file(tmp_path):
    texts = ("0,5", "1,drop"), ("1,drop", "0,5", "2,3"), ("0,5", "1,7")
    one, same, other = (data.corrected(NUMBERS, str(write(tmp_path, *lines))).fingerprints for lines in texts)
    assert one == same
    assert one["corrections"] != other["corrections"]
    assert NUMBERS.fingerprints == {key: one[key] for key in ("train", "test")}


MISTAKES = {
    "12,5": "line 2: '12' is no training row; they are counted from 0 to 11",
    "-1,5": "line 2: '-1' is no training row",
    "1.0,5": "line 2: '1.0' is no training row",
    ",5": "line 2: '' is no training row",
    "1,4": "line 2: '4' is no label of the training rows, nor 'drop'",
    "1,": "line 2: '' is no label",
    "1,5,5": "line 2: has more or fewer cells than the first line",
    "1": "line 2: has more or fewer cells than the first line",
    f"1,5,{MARK}\n2,7,{MARK}\n1,3": "line 4: row 1 stands twice",
}


@pytest.mark.parametrize(("line", "words"), MISTAKES.items())
def test_a_mistake_in_a_line_is_named(line, words, tmp_path):
    with pytest.raises(UserError) as refused:
        data.corrected(NUMBERS, str(write(tmp_path, line)))
    assert f"c.csv: {words}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_rows_of_another_table_are_refused(tmp_path):
    write(tmp_path, "0,5", mark=NAMES.fingerprint)
    with pytest.raises(UserError, match=f"line 2: of another table than made.zip, whose fingerprint is {MARK}"):
        data.corrected(NUMBERS, str(tmp_path / "c.csv"))
    (tmp_path / "c.csv").write_text("row,label\n0,5\n")
    with pytest.raises(UserError, match=f"if they are of made.zip, add a column 'fingerprint' with {MARK} in every"):
        data.corrected(NUMBERS, str(tmp_path / "c.csv"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no column 'row'; expected a CSV of row, label, fingerprint"),
        (b"row;label;fingerprint\n0;5;x\n", "has no column 'row'"),
        (b"row,label,verdict\n0,3,5\n", "has no column 'fingerprint'; expected"),
        (b"row,label,fingerprint\n", "holds no rows; leave data.corrections out of the config"),
        (b"\xff\xfer\0o\0w\0", "can't decode"),
        (b'row,label,fingerprint\n"0,5', "unexpected end of data, after line 1"),
        (b"row,label,fingerprint\n" + b"0" * 2_000_000, "is no corrections file but a file of more than"),
    ],
)
def test_what_is_no_table_of_corrections_is_refused(content, words, tmp_path):
    (tmp_path / "c.csv").write_bytes(content)
    with pytest.raises(UserError) as refused:
        data.corrected(NUMBERS, str(tmp_path / "c.csv"))
    assert words in str(refused.value)


@pytest.mark.parametrize(("name", "words"), [("none.csv", "No such file"), (".", "Is a directory"), ("a\0b", "null")])
def test_what_is_no_file_is_refused(name, words, tmp_path):
    with pytest.raises(UserError, match=words):
        data.corrected(NUMBERS, str(tmp_path / name))


def test_a_class_without_rows_is_refused(tmp_path):
    path = write(tmp_path, "0,drop", "1,drop", "2,5", "3,7")
    with pytest.raises(UserError, match="leaves no row of class 3 to learn"):
        data.corrected(NUMBERS, str(path))


@given(content=st.one_of(st.binary(), st.text('row,label,fingerprint\n0123456789"- \r').map(str.encode)))
def test_any_file_is_read_or_refused(tmp_path, content):
    (tmp_path / "c.csv").write_bytes(content)
    try:
        corrections.read(tmp_path / "c.csv", NUMBERS)
    except UserError as error:
        assert "\n" not in str(error)


@pytest.fixture
def swapped(tmp_path) -> Dataset:
    """The demo set whose networks learn threes as eights, and the other way round."""
    dataset = demo()
    swap = {3: 8, 8: 3}
    targets = {row: swap[label] for row, label in enumerate(dataset.train_labels.tolist()) if label in swap}
    corrections.write(tmp_path / "c.csv", targets, dataset)
    return data.corrected(dataset, str(tmp_path / "c.csv"))


RECIPE = {"folds": {"count": 2}, "training": {"epochs": 8}, "architectures": ["mlp"]}


def test_a_run_learns_them_scores_without_them_and_records_them(swapped, tmp_path):
    settings = config.parse(RECIPE | {"data": {"corrections": "c.csv"}}, "test")
    run = Run(tmp_path / "output/r", settings, swapped)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        train.run(run, Resources(workers=1))
        submit.run(run, {})
    oof = arrays.read_probabilities(run.oof)
    assert oof["labels"].tolist() == demo().train_labels.tolist()
    chosen = oof["classes"][oof["probabilities"].argmax(axis=1)]
    for label, learned in ((3, 8), (8, 3), (5, 5)):
        assert (chosen[oof["labels"] == label] == learned).mean() > 0.5
    assert records.read_json(run.metrics)["oof_accuracy"] == (chosen == oof["labels"]).mean() < 0.9
    assert "corrected and 0 dropped of 1,078 labels" in printed.getvalue()
    assert records.read_json(run.origin)["data"] == {"name": "demo"} | swapped.fingerprints
    changed = swapped.corrected.copy()
    changed[0] = LEFT_OUT
    with pytest.raises(UserError, match=r"made otherwise: data\.corrections \(\w+ -> \w+\); choose another RUN="):
        dataclasses.replace(run, dataset=dataclasses.replace(swapped, corrected=changed)).claim()
    both = r"config\.data\.corrections \(c\.csv -> None\), data\.corrections \(\w+ -> None\)"
    with pytest.raises(UserError, match=both):
        Run(run.folder, config.parse(RECIPE, "test"), demo()).claim()


def test_a_run_and_a_search_of_before_there_were_corrections_resume(tmp_path):
    settings = config.parse(RECIPE, "test")
    ranges = {"training.epochs": {"int": [2, 5]}}
    search = Search(space.parse(ranges, settings, "test"), tmp_path / "s.yaml", demo(), tmp_path / "search")
    run = Run(tmp_path / "run", settings, demo())
    for begun, path in ((run, run.origin), (search, search.folder / "search.json")):
        begun.claim()
        record = records.read_json(path)
        del record["config"]["data"]
        record.pop("corrections", None)
        records.write_twice(path, record)
        begun.claim()


def test_a_search_learns_them_and_is_not_resumed_with_others(swapped, tmp_path):
    settings = config.parse(RECIPE | {"data": {"corrections": "c.csv"}}, "test")
    search = Search(space.parse({"training.epochs": {"int": [2, 5]}}, settings, "test"), tmp_path, swapped, tmp_path)
    search.claim()
    rows, folds = search.rows()
    split = rows.hold_out(folds, 0)
    assert (rows.targets == demo().targets).all()
    assert (split.rows.targets[split.learned] == swapped.corrected[split.learned]).all()
    changed = swapped.corrected.copy()
    changed[0] = LEFT_OUT
    with pytest.raises(UserError, match=r"begun otherwise: corrections \(\w+ -> \w+\)"):
        dataclasses.replace(search, dataset=dataclasses.replace(swapped, corrected=changed)).claim()
