"""Digits on people's own pictures, with the ensemble that comes with the project."""

import csv
import gzip
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from command import ROOT, answer, call, digits, refuse
from digits.data.demo import demo
from digits.stages.predict import exported, stage
from digits.stages.predict.exported import Ensemble, Prediction
from handwriting import HABITS, LEFT_OUT
from handwriting import row as drawn_row

DATA = demo()
PICTURES = ROOT.parent / "shared/cases/pictures.py"


def page(digit: np.ndarray) -> np.ndarray:
    """A digit as a dark drawing, uint8 (height, width)."""
    large = cv2.resize(digit, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    return 255 - np.pad(large, 40)


def rows(output: Path) -> dict[str, dict[str, str]]:
    with (output / "predictions/predictions.csv").open(newline="") as file:
        return {Path(row["file"]).name: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """A folder of sixty drawings, their labels in their names."""
    folder = tmp_path_factory.mktemp("drawn")
    for number in range(60):
        cv2.imwrite(str(folder / f"{DATA.train_labels[number]}-{number}.png"), page(DATA.train_images[number]))
    return folder


@pytest.mark.slow
def test_it_reads_digits_of_a_data_set_that_it_was_not_trained_on(drawn, tmp_path):
    done = digits("predict", drawn, "--output", tmp_path, alone=True)
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path)
    assert len(found) == 60
    assert np.mean([row["digit"] == name[0] for name, row in found.items()]) > 0.9
    assert sum(row["status"] == "ok" for row in found.values()) > 50
    assert all(0 < float(row["confidence"]) <= 1 for row in found.values())
    assert (tmp_path / "predictions/predictions.png").stat().st_size > 10_000
    assert "out-of-fold accuracy" in done.stdout


@pytest.mark.parametrize(
    ("habits", "least_right", "most_refused"), [(sorted(HABITS.keys() - LEFT_OUT), 0.98, 0.01), (LEFT_OUT, 0.95, 0.15)]
)
def test_it_reads_the_handwriting_of_other_schools(habits, least_right, most_refused):
    """Also of habits that it did not learn; a 4 drawn as a lightning is the one that it mostly refuses."""
    draw = np.random.default_rng(3)
    labels = np.array([int(habit[0]) for habit in habits for _ in range(10)])
    images = np.stack([drawn_row(habit, 28, draw) for habit in habits for _ in range(10)])[..., None]
    ensemble = exported.load(exported.PRETRAINED)
    prediction = ensemble.predict(images)
    assert (ensemble.classes[prediction.probabilities.argmax(axis=1)] == labels).mean() >= least_right
    assert (prediction.novelty > 1).mean() <= most_refused


@pytest.mark.slow
@pytest.mark.skipif(not PICTURES.exists(), reason=f"{PICTURES} is not there")
def test_the_drawings_of_the_shared_script(tmp_path):
    subprocess.run([sys.executable, PICTURES, tmp_path / "drawn"], check=True)
    done = digits("predict", tmp_path / "drawn", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path)
    assert len(found) == 150
    assert sum(row["digit"] == name.split("__")[1] for name, row in found.items()) >= 147
    assert sum(row["status"] != "ok" for row in found.values()) <= 4  # each a line in pieces at 28x28


def test_what_is_no_digit_is_named(tmp_path):
    draw = np.random.default_rng(0)
    cross = np.full((300, 300), 255, np.uint8)
    for end in ((50, 50), (50, 250), (150, 30), (30, 150)):
        cv2.line(cross, end, (300 - end[0], 300 - end[1]), 0, 9)
    none = {
        "blank": np.full((200, 300), 240, np.uint8),
        "noise": draw.integers(0, 256, (200, 200)).astype(np.uint8),
        "asterisk": cross,
        "two": np.hstack([page(DATA.train_images[number]) for number in (3, 7)]),
    }
    for name, picture in none.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    done = digits("predict", tmp_path, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {name: row["status"] for name, row in rows(tmp_path).items()} == {f"{of}.png": "not a digit" for of in none}


def test_a_row_of_digits_is_split(drawn, tmp_path):
    numbers = [number for number in range(60) if DATA.train_labels[number] in (2, 5, 7)][:3]
    picture = np.hstack([page(DATA.train_images[number]) for number in numbers])
    cv2.imwrite(str(tmp_path / "row.png"), picture)
    digits("predict", tmp_path / "row.png", "--split", "--output", tmp_path)
    row = rows(tmp_path)["row.png"]
    assert row["digit"] == "".join(str(DATA.train_labels[number]) for number in numbers)
    assert row["status"] == "ok"


def test_what_cannot_be_read_is_a_line_each_and_the_others_are_done(drawn, tmp_path):
    whole = next(iter(sorted(drawn.iterdir())))
    bad = {
        "text.png": b"no picture",
        "empty.jpg": b"",
        "cut.png": whole.read_bytes()[:200],
        "film.heic": b"\0\0\0\x18ftypqt  ",
        "pixels.csv": b"pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n",
        "header.csv": b"a,b\n1,2\n",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    done = digits("predict", *(tmp_path / name for name in bad), tmp_path / "missing.png", whole, "--output", tmp_path)
    assert done.returncode == 0
    lines = done.stderr.strip().splitlines()
    assert all(line.startswith(f"warning: {tmp_path}") for line in lines), done.stderr
    assert all(done.stderr.count(f"{tmp_path}/{name}") == 1 for name in (*bad, "missing.png"))
    found = rows(tmp_path)
    assert found[whole.name]["status"] == "ok"
    assert found["empty.jpg"]["status"] == "the file is empty"
    assert found["missing.png"]["status"] == "No such file or directory"
    assert "2x2 pixels" in found["pixels.csv"]["status"]


def test_a_folder_of_a_phone(drawn, tmp_path):
    """A picture, what a Mac and Windows leave beside it, a film, and two pictures that cannot be read."""
    whole = next(iter(sorted(drawn.iterdir())))
    phone = tmp_path / "phone"
    phone.mkdir()
    contents = {"IMG_1.png": whole.read_bytes(), "._IMG_1.png": b"\0\5\x16\7", "IMG_4.MOV": b"\0\0\0\x14ftypqt  "}
    contents |= {".DS_Store": b"", "Thumbs.db": b""}
    contents |= dict.fromkeys(("IMG_2.HEIC", "IMG_3.HEIC"), b"\0\0\0\x18ftypheic")
    for name, content in contents.items():
        (phone / name).write_bytes(content)
    done = call("predict", phone, "--output", tmp_path)
    assert done.exit_code == 0, done.output
    assert "Passed over as no pictures: 2 (IMG_4.MOV, Thumbs.db)" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"warning: {phone}/IMG_2.HEIC, {phone}/IMG_3.HEIC: ")
    found = rows(tmp_path)
    assert list(found) == ["IMG_1.png", "IMG_2.HEIC", "IMG_3.HEIC"]
    assert found["IMG_1.png"]["status"] == "ok"


def test_where_nothing_can_be_read_the_earlier_results_stay(drawn, tmp_path):
    answer("predict", next(iter(sorted(drawn.iterdir()))), "--output", tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "predictions").iterdir()}
    assert len(before) == 2
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone/IMG_1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "phone/IMG_2.jpg").touch()
    for number in range(30):
        (tmp_path / f"phone/text-{number}.png").write_text("no picture")
    line = refuse("predict", tmp_path / "phone", "--output", tmp_path)
    assert "phone/IMG_1.heic: " in line
    assert "phone/IMG_2.jpg: the file is empty; " in line
    assert line.endswith(" and 20 more: no picture that can be read (of no known kind)")
    assert {path: path.read_bytes() for path in (tmp_path / "predictions").iterdir()} == before


def test_odd_names_are_no_crash(drawn, tmp_path):
    whole = next(iter(sorted(drawn.iterdir())))
    names = ["a $b^ c$ [red] {x}.png", "tab\tline\nbreak.png", "\udcff.png", "-r.png"]
    for name in names:
        (tmp_path / name).write_bytes(whole.read_bytes())
    done = digits("predict", tmp_path, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {row["status"] for row in rows(tmp_path).values()} == {"ok"}
    assert len(rows(tmp_path)) == len(names)


def test_a_csv_of_pixels_is_a_row_a_line(tmp_path):
    names = [f"pixel{place}" for place in range(28 * 28)]
    images = DATA.test_images[:40]
    table = np.column_stack([DATA.test_labels[:40], images.reshape(40, -1)])
    np.savetxt(tmp_path / "some.csv", table, "%d", ",", header=",".join(["label", *names]), comments="")
    digits("predict", tmp_path / "some.csv", "--output", tmp_path)
    found = list(rows(tmp_path).values())
    assert [row["file"] for row in found] == [f"{tmp_path}/some.csv#{row}" for row in range(1, 41)]
    ensemble = exported.load(exported.PRETRAINED)
    expected = ensemble.classes[ensemble.predict(images).probabilities.argmax(axis=1)]
    assert [int(row["digit"]) for row in found] == expected.tolist()
    assert (expected == DATA.test_labels[:40]).mean() > 0.85


def test_a_row_of_ones_own_needs_no_header(tmp_path):
    image = DATA.test_images[0]
    row = ";".join(map(str, image.ravel()))
    (tmp_path / "own.csv").write_text(row)
    (tmp_path / "own.csv.gz").write_bytes(gzip.compress(f"{row}\n{row}\n".encode()))
    done = digits("predict", tmp_path / "own.csv", tmp_path / "own.csv.gz", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "own.csv: read as columns without names: the pixels alone, separated by ';'" in done.stdout
    found = rows(tmp_path)
    assert list(found) == ["own.csv#1", "own.csv.gz#1", "own.csv.gz#2"]
    assert len({(row["digit"], row["confidence"], row["status"]) for row in found.values()}) == 1


def test_pictures_in_colour_are_resized_and_named_classes_are_shown(tmp_path):
    """An ensemble that looks at the middle of a picture: is it red, green or blue?"""
    classes = np.array(["deep red", "green", "blue"])

    def forward(images: np.ndarray) -> Prediction:
        chances = images[:, 16, 16].astype(np.float32) / 255
        return Prediction(chances, np.where(images.max(axis=(1, 2, 3)) < 100, 2, 0).astype(np.float32))

    ensemble = Ensemble(forward, classes, (32, 32, 3), "of the test", {"run_oof_accuracy": 0.9})
    for name, colour in {"red": (250, 0, 0), "blue": (0, 10, 240), "black": (0, 0, 9)}.items():
        Image.new("RGB", (90, 70), colour).save(tmp_path / f"{name}.png")
    stage.run(ensemble, [tmp_path], tmp_path / "predictions")
    found = rows(tmp_path)
    assert {name: row["digit"] for name, row in found.items()} == {
        "red.png": "deep red", "blue.png": "blue", "black.png": "blue",
    }  # fmt: skip
    assert [row["status"] for row in found.values()] == ["not a digit", "ok", "ok"]
    assert float(found["red.png"]["confidence"]) == pytest.approx(0.98, abs=0.01)


def test_nothing_to_predict_and_an_unknown_run_are_a_line(tmp_path):
    assert "IMAGES=" in refuse("predict", "--output", tmp_path)
    assert "no pictures in" in refuse("predict", tmp_path, "--output", tmp_path)
    assert "there is no run" in refuse("predict", tmp_path, "--run", "none", "--output", tmp_path)


def test_it_needs_no_tensorflow(drawn, tmp_path):
    picture = next(drawn.iterdir())
    code = (
        "import sys; from pathlib import Path; from digits.stages.predict import exported, stage;"
        f"stage.run(exported.load(exported.PRETRAINED), [Path({str(picture)!r})], Path({str(tmp_path)!r}));"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


def test_the_ensemble_that_comes_along_is_small_and_says_what_it_is():
    ensemble = exported.load(exported.PRETRAINED)
    assert exported.PRETRAINED.stat().st_size < 2_000_000
    assert ensemble.about["oof_accuracy"] > 0.99
    assert ensemble.about["oof_rows"] > 1000
    assert ensemble.shape == (28, 28, 1)
    assert ensemble.classes.tolist() == list(range(10))
    empty = ensemble.predict(np.zeros((0, 28, 28), np.uint8))
    assert empty.probabilities.shape == (0, 10)


def test_onnxruntime_is_told_not_to_report_what_it_runs(tmp_path):
    """It reports from C, and not where CI is at work; the number by which it knows a machine is a file."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "PYTHONPATH")}
    code = "from digits.stages.predict import exported; exported.load(exported.PRETRAINED)"
    environment = kept | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
    assert sorted(tmp_path.rglob("*")) == []
