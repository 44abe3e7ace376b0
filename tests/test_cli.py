"""The command line, on real runs of the demo set and on everything users get wrong."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from command import REAL_DATA, TINY, answer, call, complain, digits, refuse, start, succeed
from digits.data.demo import demo
from digits.data.submission import check
from digits.ensemble.rules import RULES
from digits.files import records
from digits.files.atomic import TEMPORARY
from digits.stages import submit
from finished_run import finish
from kaggle_form import make_zip, write_competition

RESULTS = ("submission.csv", "test.npz", "oof.npz")
MLP = ("--data", "demo", "--set", "folds.count=2", "--set", "architectures=[mlp]")


def submission_of(run) -> list[str | Path]:
    """The command that made a run."""
    return ["submit", "--output", run.folder.parent, "--run", run.folder.name, *TINY]


def test_help_names_every_command():
    text = answer("--help")
    for command in ("submit", "train", "validate", "compare", "data", "tune", "cluster", "report"):
        assert command in text


def test_a_finished_run_is_only_ensembled_again(trained_run_copy):
    before = {path: path.stat().st_mtime_ns for path in trained_run_copy.folder.glob("members/*/*")}
    text = answer(*submission_of(trained_run_copy), "--set", "ensemble.rule=vote")
    assert "2 of 2 members are trained already" in text
    assert "held-out accuracy" not in text
    assert before == {path: path.stat().st_mtime_ns for path in trained_run_copy.folder.glob("members/*/*")}


def test_two_runs_are_compared_row_by_row(trained_run_copy):
    output = trained_run_copy.folder.parent
    submit.run(finish(output / "other", demo()), {})
    text = answer("compare", "other", "trained", "--output", output)
    assert "1,078 out-of-fold rows" in text
    assert "McNemar's exact test: p = " in text
    rows = np.loadtxt(output / "compare/other-trained.csv", delimiter=",", skiprows=1, dtype=int)
    labels = demo().train_labels
    assert np.array_equal(rows[:, 1], labels[rows[:, 0]])
    assert ((rows[:, 2] == rows[:, 1]) != (rows[:, 3] == rows[:, 1])).all()
    (output / "other/oof.npz").unlink()
    assert "is not finished; finish it" in refuse("compare", "other", "trained", "--output", output)


OF_A_RUN = {  # commands that need one, and how they are given its name
    **{name: ["--data", "demo", "--run"] for name in ("evaluate", "cluster", "report", "explore", "export")},
    "predict": ["x.png", "--run"],
    "validate": ["x.csv", "--data", "demo", "--run"],
    "submit-kaggle": ["--run"],
    "compare": ["trained"],
}


@pytest.mark.parametrize("command", OF_A_RUN)
def test_a_mistyped_run_is_guessed_and_the_others_are_listed(command, tmp_path):
    for name in ("trained", *(f"other-{number}" for number in range(9))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    line = refuse(command, *OF_A_RUN[command], "trianed", "--output", tmp_path)
    assert f"there is no run {tmp_path / 'trianed'}; did you mean trained? there are other-0, other-1, " in line
    assert "other-7, ...; or make it: make submit RUN=trianed" in line
    assert not (tmp_path / "trianed").exists()


def test_without_any_run_it_says_how_to_make_it(tmp_path):
    line = refuse("evaluate", "--data", "demo", "--run", "mine", "--output", tmp_path)
    assert line.endswith("mine; make it: make submit RUN=mine")


@pytest.mark.parametrize("command", ["train", "submit"])
def test_a_new_run_is_called_new(command, trained_run_copy):
    output, known = trained_run_copy.folder.parent, submission_of(trained_run_copy)[1:]
    wrong = ("--set", "augmentation.grid={probability: 1.0, steps: 100}")  # which stops it before any training
    new = call(command, "--data", "demo", "--run", "trianed", "--output", output, *wrong).stdout
    assert f"New run {output / 'trianed'}, of configs/demo.yaml" in new
    assert f"\nRun {output / 'trained'}, of" in answer(command, *known)


@pytest.mark.torture
def test_killed_at_random_moments_it_ends_in_the_same_bytes(trained_run, tmp_path):
    arguments = ["submit", "--output", tmp_path, "--run", "killed", *TINY]
    moments = random.Random(5)
    for epochs, workers in ((0, 1), (3, 2), (5, 1)):  # of the 16; each resumes where the one before was killed
        process = start(*arguments, "--workers", workers, process_group=0)
        printed = 0
        while printed < epochs:
            printed += "held-out accuracy" in process.stdout.readline()
            assert process.poll() is None
        time.sleep(moments.uniform(0, 0.1) if epochs else 2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        if (tmp_path / "submission.csv").exists():  # of the first member
            assert check(tmp_path / "submission.csv", 719, np.arange(10)).valid
    succeed(*arguments)
    for name in RESULTS:
        assert (tmp_path / "killed" / name).read_bytes() == (trained_run.folder / name).read_bytes()


@pytest.mark.torture
def test_workers_do_not_outlive_the_process_that_started_them(tmp_path):
    arguments = ["train", "--output", tmp_path, "--run", "orphans", *MLP, "--set", "training.epochs=30"]
    process = start(*arguments, "--workers", "2")
    while "epoch 2/30" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()  # it alone, as the system does when memory runs out
    process.communicate(timeout=60)  # ends only when its workers have let go of its output
    assert succeed(*arguments).count("held-out accuracy") <= 58  # it resumed where the killed call was
    for member in ("mlp-s0-f0", "mlp-s0-f1"):
        history = np.loadtxt(tmp_path / "orphans/members" / member / "history.csv", delimiter=",", skiprows=1)
        assert np.array_equal(history[:, 0], np.arange(1, 31))


def test_ctrl_c_is_one_line_and_a_second_process_is_refused(tmp_path):
    arguments = ["train", "--output", tmp_path, "--run", "busy", *MLP, "--set", "training.epochs=5000"]
    process = start(*arguments, "--workers", "1", process_group=0)
    try:
        while "epoch 1/5000" not in process.stdout.readline():
            assert process.poll() is None
        assert "another process is working on it" in refuse(*arguments)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("interrupted; the same command resumes")
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_damaged_member_is_trained_anew_to_the_same_bytes(trained_run, trained_run_copy):
    path = trained_run_copy.folder / "members/mlp-s0-f1/test.npz"
    path.write_bytes(path.read_bytes()[:-9] + b"corrupted")
    done = digits(*submission_of(trained_run_copy))
    assert done.returncode == 0
    assert "member mlp-s0-f1 is damaged and is trained anew" in done.stderr
    assert trained_run_copy.test.read_bytes() == trained_run.test.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.exists(), reason="needs the competition's zip in ../shared")
def test_a_short_run_on_the_real_data(tmp_path):
    short = ["--set", "folds.limit=1", "--set", "training.epochs=1", "--set", "architectures=[small]"]
    short += ["--set", "training.ema=0.0"]
    text = succeed("submit", "--data", REAL_DATA, "--output", tmp_path, "--run", "real", *short)
    assert "42,000 training rows, 28,000 test rows" in text
    assert f"Next: kaggle competitions submit -c digit-recognizer -f {tmp_path / 'submission.csv'} -m" in text
    assert records.read_json(tmp_path / "real/metrics.json")["oof_accuracy"] > 0.95
    text = answer("validate", tmp_path / "submission.csv", "--data", REAL_DATA, "--output", tmp_path)
    assert "agrees with run 'real' on 100.00% of the rows" in text


class TestValidate:
    @pytest.fixture
    def judge(self, trained_run, tmp_path) -> Callable[[list[str]], str]:
        """What is said of a file of these lines, which is not valid."""

        def judge(lines: list[str]) -> str:
            (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
            done = call("validate", tmp_path / "s.csv", "--data", "demo", "--output", trained_run.folder.parent)
            assert done.exit_code == 2
            assert "NOT valid" in done.stdout
            return done.stdout

        return judge

    def test_own_file(self, trained_run):
        text = answer("validate", trained_run.submission, "--data", "demo", "--output", trained_run.folder.parent)
        assert "agrees with run 'trained' on 100.00% of the rows" in text
        assert ": valid" in text

    def test_scrambled_file(self, trained_run, judge):
        header, *lines = trained_run.submission.read_text().splitlines()
        labels = [line.split(",")[1] for line in lines]
        by_name = sorted(range(len(labels)), key=lambda row: str(row + 1))
        scrambled = [f"{row + 1},{labels[other]}" for row, other in enumerate(by_name)]
        assert "file-name order" in judge([header, *scrambled])

    def test_short_file(self, trained_run, judge):
        lines = trained_run.submission.read_text().splitlines()
        assert "718 rows after the header, the test set has 719" in judge(lines[:-1])

    def test_missing_file_and_run(self, tmp_path):
        shared = ("--data", "demo", "--output", tmp_path)
        assert "none.csv: No such file" in refuse("validate", "none.csv", *shared)
        (tmp_path / "begun").mkdir()
        (tmp_path / "begun/run.json").write_text("{}")
        assert "is not finished; finish it" in refuse("validate", "x.csv", "--run", "begun", *shared)


PIXELS = np.random.default_rng(0).integers(0, 256, (30, 4, 4))
LABELS = np.arange(20) % 2


def changed(change: Callable[[pd.DataFrame], pd.DataFrame], name: str = "train.csv"):
    """Data with a table that went through `change`; its cells are texts."""

    def make(folder: Path) -> Path:
        change(pd.read_csv(folder / name, dtype=str)).to_csv(folder / name, index=False)
        return folder

    return make


def cell(column: str, value: str, name: str = "train.csv"):
    """Data with another value in one cell of line 8."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[6, column] = value
        return table

    return changed(change, name)


def written(content: bytes):
    """Data with another content of train.csv."""

    def make(folder: Path) -> Path:
        (folder / "train.csv").write_bytes(content)
        return folder

    return make


def ragged(folder: Path) -> Path:
    lines = (folder / "train.csv").read_text().splitlines()
    lines[5] = lines[5][:9]
    return written("\n".join(lines).encode())(folder)


def swapped(folder: Path) -> Path:
    (folder / "train.csv").rename(folder / "x")
    (folder / "test.csv").rename(folder / "train.csv")
    (folder / "x").rename(folder / "test.csv")
    return folder


def without_test(folder: Path) -> Path:
    (folder / "test.csv").unlink()
    return folder


def truncated_zip(folder: Path) -> Path:
    archive = make_zip(folder, folder.parent / "bad.zip")
    archive.write_bytes(archive.read_bytes()[:-400])
    return archive


def zip_with(name: str):
    """A zip with a file of that name besides."""

    def make(folder: Path) -> Path:
        archive = make_zip(folder, folder.parent / "bad.zip")
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr(name, "x")
        return archive

    return make


def bomb(folder: Path) -> Path:
    archive = make_zip(folder, folder.parent / "bad.zip", ("test.csv",))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as packed, packed.open("train.csv", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    return archive


BAD_DATA = {
    "no such folder": (lambda folder: folder / "none", "no such file or folder"),
    "missing file": (without_test, "has train.csv but no test.csv"),
    "empty file": (written(b""), "train.csv: is empty"),
    "not a csv": (written(bytes(range(256)) * 9), "not a CSV file"),
    "truncated zip": (truncated_zip, "not a whole zip file"),
    "absolute path in zip": (zip_with("/etc/cron.d/x"), "unsafe path '/etc/cron.d/x'"),
    "parent path in zip": (zip_with("../../x"), "unsafe path '../../x'"),
    "zip bomb": (bomb, "a zip bomb?"),
    "label missing": (changed(lambda table: table.drop(columns="label")), "has no 'label' column"),
    "swapped": (swapped, "swap the two files"),
    "missing pixel": (changed(lambda table: table.drop(columns="pixel2")), "column 'pixel2' is missing"),
    "extra pixel": (changed(lambda table: table.assign(pixel16="0")), "17 pixel columns make no square image"),
    "misnamed pixel": (
        changed(lambda table: table.rename(columns={"pixel2": "pix2"})),
        "'pix2' is neither pixel, label, id nor index",
    ),
    "no square": (
        changed(lambda table: table.drop(columns="pixel15"), "test.csv"),
        "15 pixel columns make no square image",
    ),
    "nan pixel": (cell("pixel4", "nan"), "line 8 (the header is line 1), column pixel4: 'nan'"),
    "empty pixel": (cell("pixel4", ""), "column pixel4: the cell is empty"),
    "text pixel": (cell("pixel4", "ink"), "column pixel4: 'ink' is not a number"),
    "negative pixel": (cell("pixel5", "-1", "test.csv"), "line 8 (the header is line 1), column pixel5: '-1'"),
    "pixel over 255": (cell("pixel4", "256"), "'256' is over 255"),
    "fractional pixel": (cell("pixel4", "0.5"), "'0.5' is a fraction"),
    "fractional label": (cell("label", "1.5"), "column label: '1.5' is a fraction"),
    "text label": (cell("label", "one"), "column label: 'one' is not a number"),
    "ragged": (ragged, "line 6 has"),
    "no rows": (changed(lambda table: table.head(0)), "has a header but no rows"),
    "one class": (changed(lambda table: table.assign(label="1")), "every label is 1"),
    "too few of a class": (
        changed(lambda table: table.assign(label=["1"] * 18 + ["0", "1"])),
        "class 0 has 1 distinct training image, too few for 10 folds; add rows of it, or leave it out",
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_one_line_and_loses_nothing(name, tmp_path):
    folder = write_competition(tmp_path / "made", PIXELS[:20], LABELS, PIXELS[20:])
    output = tmp_path / "output"
    output.mkdir()
    (output / "submission.csv").write_text("an earlier result")
    make, expected = BAD_DATA[name]
    assert expected in refuse("submit", "--data", make(folder), "--output", output)
    assert (output / "submission.csv").read_text() == "an earlier result"


BAD_USE = {
    "unknown key": (["--set", "training.epoch=3"], "did you mean 'training.epochs'?"),
    "wrong type": (["--set", "training.epochs=x"], "training.epochs: input should be a valid integer"),
    "impossible value": (["--set", "folds.count=1"], "folds.count: input should be greater than or equal to 2"),
    "unknown architecture": (["--set", "architectures=[lenet]"], "unknown architecture 'lenet'; known: default"),
    "unknown option": (["--set", "architectures.0={net: mlp, options: {depth: 3}}"], "'mlp' has no option 'depth'"),
    "missing config": (["--config", "none.yaml"], "config none.yaml: No such file"),
    "run outside": (["--run", "../x"], "use letters, digits"),
    "run on a file": (["--run", "submission.csv"], "use letters, digits and . _ + - (not bench, cache, compare"),
    "run too long": (["--run", "x" * 300], "use letters, digits"),
    "augmentation that cannot be": (
        ["--set", "augmentation.grid={probability: 1.0, steps: 100}"],
        "augmentation of 28x28 images",
    ),
}


@pytest.mark.parametrize("name", BAD_USE)
def test_a_mistake_on_the_command_line_is_one_line(name, tmp_path):
    arguments, expected = BAD_USE[name]
    config = ["--config", "configs/default.yaml"] if name == "unknown option" else []
    assert expected in refuse("train", "--data", "demo", "--output", tmp_path, *arguments, *config)


@pytest.mark.slow
def test_other_labels_and_another_side_from_end_to_end(tmp_path):
    """Labels 3, 7, 9 on 12x12 images: three strokes that any net tells apart."""
    draw = np.random.default_rng(1)
    labels = draw.choice([3, 7, 9], 260)
    pixels = draw.integers(0, 40, (260, 12, 12))
    for image, label in zip(pixels, labels, strict=True):
        image[label] = 255
    folder = write_competition(tmp_path / "made", pixels[:200], labels[:200], pixels[200:])
    settings = ("architectures=[mlp]", "folds.count=2", "tta=shifts", "training.early_stopping.patience=9")
    settings += ("training.epochs=8", "augmentation.shift=0.01")
    arguments = ["submit", "--data", folder, "--output", tmp_path, "--run", "strokes", "--config", "configs/demo.yaml"]
    arguments += [f"--set={setting}" for setting in settings]
    succeed(*arguments)
    for rule in RULES:
        answer(*arguments, "--set", f"ensemble.rule={rule}")
        lines = (tmp_path / "submission.csv").read_text().splitlines()[1:]
        assert np.mean([int(line.split(",")[1]) for line in lines] == labels[200:]) > 0.9
    fewer = write_competition(tmp_path / "fewer", pixels[:200], np.where(labels == 9, 7, labels)[:200], pixels[200:])
    done = call("validate", tmp_path / "submission.csv", "--data", fewer, "--output", tmp_path)
    assert done.exit_code == 2
    assert "label '9' is not a label seen in training" in done.stdout


def test_another_config_or_other_data_on_a_run_is_refused(trained_run, trained_run_copy, tmp_path):
    command = submission_of(trained_run_copy)
    assert "config.seed (2026 -> 1); choose another RUN=" in refuse(*command, "--set", "seed=1")
    folder = write_competition(tmp_path / "made", PIXELS[:20], LABELS, PIXELS[20:])
    assert "data.train" in refuse(*command, "--data", folder, "--config", "configs/demo.yaml")
    assert trained_run_copy.submission.read_bytes() == trained_run.submission.read_bytes()


def test_an_output_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    line = refuse("train", "--data", "demo", "--output", tmp_path / "file")
    assert "a file stands where a folder is needed" in line


def test_a_disk_that_refuses_is_one_line_and_keeps_what_was_there(trained_run, trained_run_copy):
    """A limit on file sizes stands for a full disk: writing fails half way through a file."""
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))}
    line = complain(*submission_of(trained_run_copy), **limit)
    assert f"{trained_run_copy.folder}" in line
    assert "File too large; raise the limit" in line
    assert trained_run_copy.submission.read_bytes() == trained_run.submission.read_bytes()
    assert not [path for path in trained_run_copy.folder.rglob("*") if path.name.startswith(TEMPORARY)]
    answer(*submission_of(trained_run_copy))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    line = refuse("train", "--data", "demo", "--output", tmp_path / "x")
    assert "make it writable, or choose another folder" in line
