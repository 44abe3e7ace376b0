"""Tables in the forms that people have end in the images and labels of Kaggle's own form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command import ROOT
from digits.data import Dataset, read, read_images
from digits.data.source import Source
from digits.errors import UserError

SCRIPT = ROOT.parent / "shared/cases/tables.py"
TRAIN, TEST = 10, 4
PIXELS = np.random.default_rng(0).integers(0, 256, (TRAIN + TEST, 9))
LABELS = np.array([3, 5, 8, 3, 5, 8, 3, 5, 8, 3, 8, 3, 5, 3])
IDS = np.array([70, 40, 90, 10])
FROM_0 = [f"pixel{number}" for number in range(9)]
FROM_1 = [f"pixel{number}" for number in range(1, 10)]
GRID = [f"{row}x{column}" for row in (1, 2, 3) for column in (1, 2, 3)]
PADDED = [f"px_{number:04}" for number in range(9)]
BY_NAME = sorted(range(9), key=lambda number: str(2 * number))  # as text sorts 0, 10, 12, 14, 16, 2, 4, ...
SHUFFLED = [FROM_0[number] for number in BY_NAME]


def table(header: list[str] | None, *columns: np.ndarray, separator: str = ",", end: str = "\n") -> bytes:
    rows = np.column_stack([column.reshape(len(column), -1).astype(object) for column in columns])
    lines = [*([header] if header else []), *rows.tolist()]
    return "".join(separator.join(map(str, line)) + end for line in lines).encode()


def tables(
    pixels: list[str] | None = FROM_0, label: str = "label", form: type = int, **options: str
) -> tuple[bytes, bytes]:
    """Both tables with these names of the columns, and the labels in the form that a type has."""
    train = table(pixels and [label, *pixels], LABELS[:TRAIN].astype(form), PIXELS[:TRAIN], **options)
    return train, table(pixels, PIXELS[TRAIN:], **options)


def numbered(names: list[str], *columns: np.ndarray) -> bytes:
    """A table with pandas' index in front."""
    return table(names, np.arange(len(columns[0])), *columns)


KAGGLE = tables()
LABELLED = table(["label", *FROM_0], LABELS[TRAIN:], PIXELS[TRAIN:])
TRUTH = "labels of test.csv: for the true score alone"
FORMS = {  # both tables, and what is said
    "kaggle": (KAGGLE, ""),
    "pixels from 1": (tables(FROM_1), "pixels 'pixel1' to 'pixel9'"),
    "row by column": (tables(GRID), "pixels '1x1' to '3x3'"),
    "row by column from 0": (tables([f"{i}X{j}" for i in range(3) for j in range(3)]), "pixels '0X0' to '2X2'"),
    "other names": (tables(PADDED), "pixels 'px_0000' to 'px_0008'"),
    "bare numbers": (tables([str(number) for number in range(9)]), "train.csv: pixels '0' to '8'"),
    "bare numbers, of the labels too": (
        (table([str(number) for number in range(10)], LABELS[:TRAIN], PIXELS[:TRAIN]), tables(None)[1]),
        "the label, then the pixels",
    ),
    "unsorted": (
        (
            table(["label", *SHUFFLED], LABELS[:TRAIN], PIXELS[:TRAIN, BY_NAME]),
            table(SHUFFLED, PIXELS[TRAIN:, BY_NAME]),
        ),
        "pixel columns put in order",
    ),
    "no header": (
        tables(None),
        "train.csv: columns without names: the label, then the pixels; "
        "test.csv: columns without names: the pixels alone",
    ),
    "Label": (tables(label="Label"), "train.csv: labels in 'Label'"),
    "class": (tables(label="class"), "train.csv: labels in 'class'"),
    "TARGET": (tables(label="TARGET"), "train.csv: labels in 'TARGET'"),
    "labels as floats": (tables(form=float), ""),
    "label last": ((table([*FROM_0, "label"], PIXELS[:TRAIN], LABELS[:TRAIN]), KAGGLE[1]), ""),
    "pixels as floats": (
        (table(["label", *FROM_0], LABELS[:TRAIN], PIXELS[:TRAIN].astype(float)), table(FROM_0, PIXELS[TRAIN:])),
        "",
    ),
    "index of pandas": (
        (numbered(["", "label", *FROM_0], LABELS[:TRAIN], PIXELS[:TRAIN]), numbered(["", *FROM_0], PIXELS[TRAIN:])),
        "index column left out",
    ),
    "index of pandas, saved twice": (
        (
            numbered(["Unnamed: 0.1", "Unnamed: 0", "label", *FROM_0], LABELS[:TRAIN], LABELS[:TRAIN], PIXELS[:TRAIN]),
            KAGGLE[1],
        ),
        "train.csv: index column left out",
    ),
    "semicolons": (tables(separator=";"), "separated by ';'"),
    "tabs": (tables(separator="\t"), "separated by tabs"),
    "carriage returns": (tables(end="\r"), ""),
    "carriage returns, no header": (tables(None, end="\r"), "columns without names"),
    "Windows, no header, byte-order mark": (
        tuple(b"\xef\xbb\xbf" + text for text in tables(None, end="\r\n")),
        "columns without names",
    ),
    "quoted": ((KAGGLE[0].replace(b"pixel1", b'"pixel1"').replace(b"\n5,", b'\n"5",'), KAGGLE[1]), ""),
    "text in the training table's ids": (
        (
            table(["id", "label", *FROM_0], np.array([f"x{i}" for i in range(TRAIN)]), LABELS[:TRAIN], PIXELS[:TRAIN]),
            KAGGLE[1],
        ),
        "train.csv: ids in 'id'",
    ),
}


def write(folder: Path, train: bytes, test: bytes) -> Source:
    folder.mkdir()
    (folder / "train.csv").write_bytes(train)
    (folder / "test.csv").write_bytes(test)
    return Source(folder, "")


def read_twice(folder: Path, train: bytes, test: bytes) -> Dataset:
    """Read tables, from the cache too."""
    source = write(folder / "in", train, test)
    first, again = (read(source, folder / "cache") for _ in range(2))
    assert (again.note, again.fingerprint, again.test_fingerprint) == (
        first.note, first.fingerprint, first.test_fingerprint,
    )  # fmt: skip
    for name in ("test_labels", "test_ids"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    return again


@pytest.mark.parametrize(("both", "note"), FORMS.values(), ids=FORMS.keys())
def test_every_form_is_read_to_the_same_rows_and_says_so_in_a_line(tmp_path, both, note):
    data = read_twice(tmp_path, *both)
    np.testing.assert_array_equal(data.train_images, PIXELS[:TRAIN].reshape(-1, 3, 3, 1))
    np.testing.assert_array_equal(data.test_images, PIXELS[TRAIN:].reshape(-1, 3, 3, 1))
    np.testing.assert_array_equal(data.train_labels, LABELS[:TRAIN])
    assert data.test_labels is None and data.test_ids is None
    assert note in data.note
    assert bool(data.note) == bool(note)
    assert "\n" not in data.note


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (KAGGLE[0], LABELLED),
        (tables(None)[0], table(None, LABELS[TRAIN:], PIXELS[TRAIN:])),
        (KAGGLE[0], LABELLED.replace(b"label", b"Class")),
    ],
)
def test_the_labels_of_a_test_table_are_the_truth(tmp_path, train, test):
    data = read_twice(tmp_path, train, test)
    np.testing.assert_array_equal(data.test_labels, LABELS[TRAIN:])
    np.testing.assert_array_equal(data.test_images, PIXELS[TRAIN:].reshape(-1, 3, 3, 1))
    assert len(data.train_labels) == TRAIN
    assert TRUTH in data.note


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("name", ["id", "ImageId", "ID"])
def test_the_ids_of_a_test_table_are_kept(tmp_path, name, first):
    names, columns = ([name, *FROM_0], (IDS, PIXELS[TRAIN:])) if first else ([*FROM_0, name], (PIXELS[TRAIN:], IDS))
    data = read_twice(tmp_path, KAGGLE[0], table(names, *columns))
    np.testing.assert_array_equal(data.test_ids, IDS)
    np.testing.assert_array_equal(data.test_images, PIXELS[TRAIN:].reshape(-1, 3, 3, 1))
    assert data.note == f"Tables read as: test.csv: ids in '{name}'."


@pytest.mark.parametrize("has_header", [True, False])
@pytest.mark.parametrize("side", [28, 32])
def test_three_colours(tmp_path, side, has_header):
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3))
    names = [f"pixel{number}" for number in range(3 * side**2)]
    train = table(["label", *names] if has_header else None, np.array([0, 1, 1]), images)
    data = read_twice(tmp_path, train, table(names if has_header else None, images))
    np.testing.assert_array_equal(data.train_images, images)
    np.testing.assert_array_equal(data.test_images, images)
    assert "the three colours of a pixel side by side" in data.note
    np.testing.assert_array_equal(read_images(tmp_path / "in/test.csv", (side, side, 3))[0], images)


@pytest.mark.parametrize("form", ["no header", "kaggle", "pixels from 1", "semicolons"])
def test_one_row_of_ones_own(tmp_path, form):
    (_, test), _ = FORMS[form]
    *header, row = test.splitlines()[:-3]
    (tmp_path / "own.csv").write_bytes(b"\n".join([*header[:1], row]))
    expected = PIXELS[TRAIN + len(header) - (form != "no header")].reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(read_images(tmp_path / "own.csv", (3, 3, 1))[0], expected)
    with pytest.raises(UserError, match="has 3x3 pixels an image, the networks were trained on 28x28"):
        read_images(tmp_path / "own.csv", (28, 28, 1))


def test_labels_and_ids_of_ones_own_rows_do_not_matter(tmp_path):
    text = table(["id", "label", *FROM_0], np.array(["a", "b"]), np.array(["?", "seven"]), PIXELS[:2])
    (tmp_path / "own.csv").write_bytes(text)
    np.testing.assert_array_equal(read_images(tmp_path / "own.csv", (3, 3, 1))[0], PIXELS[:2].reshape(-1, 3, 3, 1))


@pytest.mark.skipif(not SCRIPT.exists(), reason=f"{SCRIPT} is not there")
def test_the_forms_of_the_shared_script(tmp_path):
    forms = tmp_path / "forms"
    subprocess.run([sys.executable, SCRIPT, forms], check=True)
    found = {form.name: read(Source(form, ""), tmp_path / "cache") for form in forms.iterdir() if form.is_dir()}
    kaggle = found["kaggle"]
    assert len(found) == 11
    for data in found.values():
        assert (data.fingerprint, data.test_fingerprint) == (kaggle.fingerprint, kaggle.test_fingerprint)
    np.testing.assert_array_equal(read_images(forms / "one-own-row.csv", (28, 28, 1))[0], kaggle.test_images[:1])
    assert found["mnist-in-csv"].test_labels.tolist() == found["no-header-both-labelled"].test_labels.tolist()
    assert found["id-column"].test_ids.tolist() == list(range(60))
