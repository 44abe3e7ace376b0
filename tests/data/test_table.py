import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits.data import csv, read
from digits.data.dataset import Dataset
from digits.data.layout import Layout
from digits.data.source import Source, find, locate
from digits.errors import UserError
from kaggle_form import make_zip, write_competition

REAL = Path(__file__).parents[3] / "shared" / "digit-recognizer.zip"
PIXELS = np.random.default_rng(0).integers(0, 256, (14, 3, 3, 1), dtype=np.uint8)
LABELS = np.array([3, 5, 8, 3, 5, 8, 3, 5, 8, 3])
HEADER = b"label,pixel0,pixel1,pixel2,pixel3"
TEST_HEADER = b"pixel0,pixel1,pixel2,pixel3"


@pytest.fixture
def competition(tmp_path):
    return write_competition(tmp_path / "made", PIXELS[:10], LABELS, PIXELS[10:])


def write_tables(folder, train, test):
    folder.mkdir(exist_ok=True)
    (folder / "train.csv").write_bytes(train)
    (folder / "test.csv").write_bytes(test)
    return Source(folder, "")


def test_a_competition_is_read_as_written(competition, tmp_path):
    archive = make_zip(competition, tmp_path / "digit-recognizer.zip")
    for path in (competition, archive):
        data = read(find(str(path)), tmp_path / "cache")
        assert data.name == ("made" if path == competition else "digit-recognizer")
        assert data.source == str(path)
        assert data.shape == (3, 3, 1)
        assert data.train_images.dtype == data.test_images.dtype == np.uint8
        assert data.train_labels.dtype == data.classes.dtype == np.int64
        assert data.test_labels is None
        assert data.test_ids is None
        assert data.note == ""
        assert data.classes.tolist() == [3, 5, 8]
        np.testing.assert_array_equal(data.train_images, PIXELS[:10])
        np.testing.assert_array_equal(data.train_labels, LABELS)
        np.testing.assert_array_equal(data.test_images, PIXELS[10:])


def test_the_fingerprints_follow_shapes_pixels_and_labels():
    def fingerprints(images=PIXELS[:10], labels=LABELS, test=PIXELS[10:]):
        data = Dataset("x", "y", images, labels, test)
        return data.fingerprint, data.test_fingerprint

    train, test = fingerprints()
    assert len(train) == len(test) == 64
    assert fingerprints(images=PIXELS[:10].reshape(10, 9, 1, 1)) != (train, test)
    assert fingerprints(images=PIXELS[:10][::-1])[0] != train
    assert fingerprints(labels=LABELS[::-1])[0] != train
    changed_train, changed_test = fingerprints(test=PIXELS[9:])
    assert changed_train == train and changed_test != test


def test_reading_loads_no_heavy_library(competition, tmp_path):
    code = f"""if True:
        import sys
        from pathlib import Path
        from digits.data import find, read
        read(find({str(competition)!r}), Path({str(tmp_path / "cache")!r}))
        print(*sorted({{"pandas", "sklearn", "tensorflow"}} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_table_of_many_blocks_is_read_whole(competition, monkeypatch):
    monkeypatch.setattr(csv, "BLOCK_BYTES", 50)
    layout = Layout.read(locate(competition)["train.csv"])
    for fast, careful in zip(csv.parse_fast(layout), csv.parse_carefully(layout), strict=True):
        np.testing.assert_array_equal(fast, careful)
        assert fast.dtype == careful.dtype


GOOD = HEADER + b"\n1,0,1,2,3\n2,4,5,6,7\n"
GOOD_TEST = TEST_HEADER + b"\n0,1,2,3\n"
BAD_TRAIN = {
    "empty": (b"", "train.csv: is empty"),
    "web page": (b"<!DOCTYPE html><html>", "web page"),
    "binary": (b"\x89PNG\r\n\x1a\n\x00\x00", "not a CSV"),
    "NUL bytes": (b"label,pix\x00el0\n", "not a CSV"),
    "UTF-16": ("label,pixel0\n1,2\n".encode("utf-16"), "UTF-16"),
    "latin-1": (b"label,pixel\xe9\n", "not a CSV"),
    "endless number": (b"label," + b"9" * 10**6 + b"x\n", "999999999999...' is neither pixel, label, id"),
    "endless line": (b"1" * 2**21, "not a CSV"),
    "no header": (b"1,0,1,2,3,4\n2,4,5,6,7,8\n", "add the header line label,pixel0,pixel1,..."),
    "no header, a gap": (b"1,0,0,,3\n2,4,5,6,7\n", "line 1 is neither whole numbers nor a header; add the header line"),
    "no header, standardised": (b"1,-0.42,0.31,-0.42,-0.42\n", "line 1 is neither whole numbers nor a header"),
    "no header, scaled": (b"1,0.42,0.31,0.0,0.0\n", "line 1, column 2: '0.42' is a fraction"),
    "no header, no labels": (b"0,1,2,3\n4,5,6,7\n", "has no header, and 4 columns are pixels alone; put the label"),
    "blank header": (b"\n1,0,1,2,3\n", "line 1 is blank"),
    "no label": (GOOD_TEST, "train.csv: has no 'label' column"),
    "no rows": (HEADER + b"\n", "no rows"),
    "header only": (HEADER, "no rows"),
    "missing pixel": (b"label,pixel0,pixel2,pixel3\n1,0,0,0\n", "column 'pixel1' is missing"),
    "missing first pixels": (b"label,pixel2,pixel3\n1,0,0\n", "column 'pixel1' is missing"),
    "a far pixel": (b"label,pixel0,pixel9999999\n1,0,0\n", "column 'pixel1' is missing"),
    "extra column": (
        b"label,pixel0,user,pixel1,pixel2,pixel3\n1,0,0,0,0,0\n",
        "'user' is neither pixel, label, id nor index; rename or remove it",
    ),
    "extra columns": (
        HEADER + b",weight,time,place,tool\n1,0,0,0,0,0,0,0,0\n",
        "'weight', 'time', 'place' and 1 more are neither pixel, label, id nor index; rename or remove them",
    ),
    "doubled column": (b"label,pixel0,pixel1,pixel1,pixel3\n1,0,0,0,0\n", "'pixel1' appears twice"),
    "doubled label": (b"label,label,pixel0\n1,1,0\n", "columns 'label', 'label' mean the same; keep one of them"),
    "two labels": (b"label,pixel0,Class\n1,1,0\n", "columns 'label', 'Class' mean the same"),
    "two ids": (b"id,label,pixel0,ImageId\n1,1,1,0\n", "columns 'id', 'ImageId' mean the same"),
    "misnamed column": (b"label,pixel0,pixel1,pixle2,pixel3\n1,0,0,0,0\n", "'pixle2' is neither pixel, label, id"),
    "no square": (b"label,pixel0,pixel1\n1,0,0\n", "2 pixel columns make no square"),
    "no grid": (b"label,1x1,1x2,2x1,2x3\n1,0,0,0,0\n", "are neither pixel, label, id nor index"),
    "no pixels": (b"label\n1\n", "no pixel columns"),
    "another size": (b"label,pixel0\n1,0\n", "2x2 pixels"),
    "empty cell": (GOOD + b"3,1,,3,4\n", "line 4 (the header is line 1), column pixel1: the cell is empty"),
    "NaN": (GOOD + b"3,1,2,nan,4\n", "line 4 (the header is line 1), column pixel2: 'nan' is missing"),
    "text": (GOOD + b"3,1,2,3,x\n", "column pixel3: 'x' is not a number"),
    "hexadecimal": (GOOD + b"3,0x1F,2,3,4\n", "column pixel0: '0x1F' is not a number"),
    "long text": (GOOD + b"3,%s,2,3,4\n" % (b"z" * 200), "zzz...' is not a number"),
    "negative": (GOOD + b"3,-1,2,3,4\n", "line 4 (the header is line 1), column pixel0: '-1' is negative"),
    "too bright": (GOOD + b"3,1,256,3,4\n", "column pixel1: '256' is over 255"),
    "huge": (GOOD + b"3,1,%s,3,4\n" % (b"9" * 60), "is over 255"),
    "fraction": (GOOD + b"3,0.5,2,3,4\n", "column pixel0: '0.5' is a fraction"),
    "digits in groups": (GOOD + b"3,1,2,1_0,4\n", "column pixel2: '1_0' is not written in plain digits"),
    "foreign digits": (GOOD + "3,1,2,٣,4\n".encode(), "not written in plain digits"),
    "NUL cell": (GOOD + b"3,1,\x00,3,4\n", "column pixel1: '\\x00' is not a number"),
    "signed label": (GOOD + b"+3,1,2,3,4\n", "column label: '+3' is not written in plain digits; a label is"),
    "endless label": (GOOD + b"1e999,1,2,3,4\n", "column label: '1e999' is over"),
    "fraction label": (GOOD + b"3.5,1,2,3,4\n", "column label: '3.5' is a fraction"),
    "negative label": (GOOD + b"-3,1,2,3,4\n", "column label: '-3' is negative"),
    "empty label": (GOOD + b",1,2,3,4\n", "column label: the cell is empty"),
    "text label": (GOOD + b"three,1,2,3,4\n", "column label: 'three' is not a number"),
    "huge label": (GOOD + b"99999999999999999999999,1,2,3,4\n", "column label"),
    "one class": (HEADER + b"\n7,0,0,0,0\n7,1,1,1,1\n", "every label is 7"),
    "short line": (GOOD + b"3,1,2,3\n", "line 4 has 4 cells, line 1 has 5"),
    "long line": (GOOD + b"3,1,2,3,4,5\n", "line 4 has 6 cells"),
    "endless row": (GOOD + b"1," * 10**6, "line 4 is too long"),
    "cut off": (GOOD[:-4], "line 3 has 4 cells"),
    "open quote": (GOOD + b'3,"1,2,3,4\n', "line 4 has misplaced quotes"),
}


@pytest.mark.parametrize(("train", "expected"), BAD_TRAIN.values(), ids=BAD_TRAIN.keys())
def test_a_bad_train_file_is_named(tmp_path, train, expected):
    check_complaint(tmp_path, train, GOOD_TEST, expected)


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        pytest.param(GOOD, GOOD, "test.csv: holds the rows of", id="copied"),
        pytest.param(GOOD, HEADER + b"\n3,0,1,2,3\n", "label 3 does not occur in", id="another label in test"),
        pytest.param(GOOD, b"id," + TEST_HEADER + b"\n7,0,1,2,3\n7,4,5,6,7\n", "id 7 appears twice", id="ids"),
        pytest.param(GOOD, b"id," + TEST_HEADER + b"\nx1,0,1,2,3\n", "column id: 'x1' is not a number", id="text ids"),
        pytest.param(GOOD_TEST, GOOD, "swap the two files", id="swapped"),
        pytest.param(GOOD, TEST_HEADER + b"\n", "test.csv: has a header but no rows", id="no test rows"),
        pytest.param(GOOD, b"", "test.csv: is empty", id="empty test"),
        pytest.param(GOOD, b"pixel0\n1\n", "test.csv: has 1x1 pixels", id="another size"),
        pytest.param(GOOD, GOOD_TEST + b"1,2,300,4\n", "test.csv: line 3", id="bad test pixel"),
    ],
)
def test_a_bad_pair_is_named(tmp_path, train, test, expected):
    check_complaint(tmp_path, train, test, expected)


def check_complaint(folder, train, test, expected):
    with pytest.raises(UserError) as caught:
        read(write_tables(folder / "in", train, test), folder / "cache")
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message and len(message) < 400 + len(str(folder))
    assert not (folder / "cache").exists()


edits = st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 3), st.binary(max_size=4)), max_size=4)


def edited(text, edit_list):
    for place, removed, added in edit_list:
        text = text[:place] + added + text[place + removed :]
    return text


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    train=st.one_of(
        st.binary(),
        st.binary().map(lambda rows: HEADER + b"\n" + rows),
        st.text('0123456789,.-+e"x \t\r\nN').map(lambda rows: GOOD + rows.encode()),
        edits.map(lambda edit_list: edited(GOOD, edit_list)),
    )
)
def test_any_bytes_are_read_or_refused(tmp_path, train):
    try:
        data = read(write_tables(tmp_path / "in", train, GOOD_TEST), tmp_path / "cache")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert data.train_images.shape == (len(data.train_labels), 2, 2, 1)


@pytest.mark.skipif(not REAL.exists(), reason=f"the competition's zip is not at {REAL}")
def test_the_real_competition(tmp_path):
    data = read(find(str(REAL)), tmp_path / "cache")
    assert data.train_images.shape == (42000, 28, 28, 1)
    assert data.test_images.shape == (28000, 28, 28, 1)
    assert data.classes.tolist() == list(range(10))
    assert data.train_labels[:10].tolist() == [1, 0, 1, 4, 0, 0, 7, 3, 5, 3]
    again = read(find(str(REAL)), tmp_path / "cache")
    assert (again.fingerprint, again.test_fingerprint) == (data.fingerprint, data.test_fingerprint)
