"""The installed command line, on real runs of the demo set and on everything users get wrong."""

import json
import os
import random
import resource
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from command import REAL_DATA, ROOT, complain, digits, refuse, start, succeed
from digits.data.demo import demo
from digits.data.submission import check
from digits.files.atomic import TEMPORARY
from kaggle_form import make_zip, write_competition

SHORT = ["--set", "folds.count=2", "--set", "training.epochs=8", "--set", "architectures=[default]"]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def said(output) -> str:
    """What a whole two-fold run of the demo set printed, without a network."""
    return succeed("submit", "--output", output, "--run", "whole", *SHORT, alone=True)


@pytest.fixture(scope="module")
def whole(output, said) -> Path:
    """Its run folder."""
    return output / "whole"


def test_a_run_ends_with_the_table_and_the_next_step(said, output):
    assert "the embedded demo set" in said
    assert said.count("held-out accuracy") == 16
    for words in (
        "demo: 1,078 training rows, 719 test rows",
        "OOF accuracy, single default",
        "OOF accuracy, ensemble",
        "between the folds",
        "OOF log loss",
        "predicted leaderboard score",
        "95 % interval",
        "true score",
        "wall time",
    ):
        assert words in said
    assert "Next: the real competition: make data" in said


def test_the_run_folder_holds_what_the_readme_says(whole, output):
    names = {path.name for path in whole.iterdir() if not path.name.startswith(".")}
    assert names == {
        "run.json",
        "members",
        "oof.npz",
        "test.npz",
        "metrics.json",
        "history.png",
        "confusion.png",
        "submission.csv",
    }
    members = {path.name for path in (whole / "members").iterdir() if path.is_dir()}
    assert members == {"default-s0-f0", "default-s0-f1"}
    member = {path.name for path in (whole / "members/default-s0-f0").iterdir()}
    assert member == {"model.keras", "history.csv", "oof.npz", "test.npz", "member.json"}
    assert (output / "submission.csv").read_bytes() == (whole / "submission.csv").read_bytes()


def test_the_metrics_are_those_of_the_files(whole):
    metrics = json.loads((whole / "metrics.json").read_text())
    data = demo()
    oof = np.load(whole / "oof.npz", allow_pickle=False)
    assert np.array_equal(oof["rows"], np.arange(len(data.train_labels)))
    right = oof["probabilities"].argmax(axis=1) == data.train_labels
    assert metrics["oof_accuracy"] == pytest.approx(right.mean())
    assert metrics["oof_accuracy"] > 0.9
    assert metrics["oof_accuracy_by_architecture"].keys() == {"default"}
    assert metrics["members"] == 2
    assert metrics["predicted_low"] < metrics["predicted_score"] < metrics["predicted_high"]
    lines = (whole / "submission.csv").read_text().splitlines()
    labels = np.array([int(line.split(",")[1]) for line in lines[1:]])
    assert metrics["true_score"] == pytest.approx((labels == data.test_labels).mean())
    assert metrics["seconds"].keys() == {"read", "train", "submit"}
    assert metrics["oof_log_loss"] < 0.5


def test_every_oof_row_was_predicted_by_a_network_that_never_saw_it(whole):
    rows = [np.load(path, allow_pickle=False)["rows"] for path in sorted((whole / "members").glob("*/oof.npz"))]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(1078))


def test_a_finished_run_is_only_ensembled_again(whole, output):
    before = {path: path.stat().st_mtime_ns for path in whole.glob("members/*/*")}
    said = succeed("submit", "--output", output, "--run", "whole", *SHORT, "--set", "ensemble.rule=vote")
    assert "2 of 2 members are trained already" in said
    assert "held-out accuracy" not in said
    assert before == {path: path.stat().st_mtime_ns for path in whole.glob("members/*/*")}
    succeed("submit", "--output", output, "--run", "whole", *SHORT)


def test_two_runs_are_compared_row_by_row(whole, output):
    other = ["--set", "architectures=[mlp]", "--set", "folds.count=2", "--set", "training.epochs=4"]
    succeed("submit", "--output", output, "--run", "other", *other)
    said = succeed("compare", "other", "whole", "--output", output)
    assert "1,078 out-of-fold rows" in said
    assert "McNemar's exact test: p = " in said
    rows = np.loadtxt(output / "compare/other-whole.csv", delimiter=",", skiprows=1, dtype=int)
    labels = demo().train_labels
    assert np.array_equal(rows[:, 1], labels[rows[:, 0]])
    assert ((rows[:, 2] == rows[:, 1]) != (rows[:, 3] == rows[:, 1])).all()
    assert "no readable out-of-fold" in refuse("compare", "other", "none", "--output", output)


def test_two_workers_give_the_same_bytes(whole, output):
    succeed("submit", "--output", output, "--run", "two", "--workers", "2", *SHORT)
    for name in ("submission.csv", "test.npz", "oof.npz"):
        assert (output / "two" / name).read_bytes() == (whole / name).read_bytes()


def test_killed_at_random_moments_it_ends_in_the_same_bytes(whole, tmp_path):
    arguments = ["submit", "--output", tmp_path, "--run", "killed", *SHORT]
    moments = random.Random(5)
    for epochs, workers in ((0, 1), (3, 2), (5, 1)):  # of the 16; each goes on where the one before was killed
        process = start(*arguments, "--workers", workers, process_group=0)
        printed = 0
        while printed < epochs:
            printed += "held-out accuracy" in process.stdout.readline()
            assert process.poll() is None
        time.sleep(moments.uniform(0, 0.5) if epochs else 2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        if (tmp_path / "submission.csv").exists():  # of the first member
            assert check(tmp_path / "submission.csv", 719, np.arange(10)).valid
    succeed(*arguments)
    for name in ("submission.csv", "test.npz", "oof.npz"):
        assert (tmp_path / "killed" / name).read_bytes() == (whole / name).read_bytes()


def test_workers_do_not_outlive_the_process_that_started_them(tmp_path):
    short = ["--set", "folds.count=2", "--set", "architectures=[mlp]", "--set", "training.epochs=30"]
    arguments = ["train", "--output", tmp_path, "--run", "orphans", *short]
    process = start(*arguments, "--workers", "2")
    while "epoch 2/30" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()  # it alone, as the system does when memory runs out
    process.communicate(timeout=60)  # ends only when its workers have let go of its output
    said = succeed(*arguments)
    assert said.count("held-out accuracy") <= 58  # it went on where the killed call was
    for member in ("mlp-s0-f0", "mlp-s0-f1"):
        history = np.loadtxt(tmp_path / "orphans/members" / member / "history.csv", delimiter=",", skiprows=1)
        assert np.array_equal(history[:, 0], np.arange(1, 31))


def test_ctrl_c_is_one_line_and_a_second_process_is_refused(tmp_path):
    arguments = ["train", "--output", tmp_path, "--run", "busy", "--workers", "2", "--set", "training.epochs=500"]
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a background job ignores it
    process = start(*arguments, process_group=0, **heed)
    try:
        while "epoch 1/500" not in process.stdout.readline():
            assert process.poll() is None
        assert "another process is working on it" in refuse(*arguments)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].startswith("interrupted; the same command goes on")
    assert "Traceback" not in err


def test_a_damaged_member_is_trained_anew_to_the_same_bytes(whole, output):
    expected = (whole / "test.npz").read_bytes()
    model = whole / "members/default-s0-f1/test.npz"
    model.write_bytes(model.read_bytes()[:-9] + b"corrupted")
    done = digits("submit", "--output", output, "--run", "whole", *SHORT)
    assert done.returncode == 0
    assert "member default-s0-f1 is damaged and is trained anew" in done.stderr
    assert (whole / "test.npz").read_bytes() == expected


@pytest.mark.skipif(not REAL_DATA.exists(), reason="needs the competition's zip in ../shared")
def test_a_short_run_on_the_real_data(tmp_path):
    short = ["--set", "folds.limit=1", "--set", "training.epochs=1", "--set", "architectures=[small]"]
    short += ["--set", "training.ema=0.0"]
    said = succeed("submit", "--data", REAL_DATA, "--output", tmp_path, "--run", "real", *short)
    assert "42,000 training rows, 28,000 test rows" in said
    assert f"Next: kaggle competitions submit -c digit-recognizer -f {tmp_path / 'submission.csv'} -m" in said
    assert json.loads((tmp_path / "real/metrics.json").read_text())["oof_accuracy"] > 0.95
    said = succeed("validate", tmp_path / "submission.csv", "--data", REAL_DATA, "--output", tmp_path)
    assert "agrees with run 'real' on 100.00% of the rows" in said


class TestValidate:
    def test_own_file(self, whole, output):
        said = succeed("validate", whole / "submission.csv", "--output", output)
        assert "agrees with run 'whole' on 100.00% of the rows" in said or "agrees" not in said

    def test_scrambled_file(self, whole, output, tmp_path):
        lines = (whole / "submission.csv").read_text().splitlines()
        labels = [line.split(",")[1] for line in lines[1:]]
        by_name = sorted(range(len(labels)), key=lambda i: str(i + 1))
        scrambled = [f"{i + 1},{labels[j]}" for i, j in enumerate(by_name)]
        (tmp_path / "s.csv").write_text("\n".join([lines[0], *scrambled]) + "\n")
        done = digits("validate", tmp_path / "s.csv", "--output", output)
        assert done.returncode == 2
        assert "file-name order" in done.stdout
        assert "NOT valid" in done.stdout

    def test_short_file(self, whole, output, tmp_path):
        (tmp_path / "s.csv").write_text("".join((whole / "submission.csv").open().readlines()[:-1]))
        done = digits("validate", tmp_path / "s.csv", "--output", output)
        assert done.returncode == 2
        assert "718 rows after the header, the test set has 719" in done.stdout

    def test_missing_file_and_run(self, output):
        assert "none.csv: No such file" in refuse("validate", "none.csv", "--output", output)
        assert "has no test probabilities" in refuse("validate", "x.csv", "--run", "none", "--output", output)


PIXELS = np.random.default_rng(0).integers(0, 256, (30, 4, 4))
LABELS = np.arange(20) % 2


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def rewrite(path: Path, edit) -> None:
    path.write_text("\n".join(edit(lines_of(path))) + "\n")


def cell(row: int, column: int, value: str):
    def edit(lines):
        cells = lines[row].split(",")
        cells[column] = value
        return [*lines[:row], ",".join(cells), *lines[row + 1 :]]

    return edit


def column(drop: int | None = None, add: str | None = None, rename: tuple[int, str] | None = None):
    def edit(lines):
        rows = [line.split(",") for line in lines]
        for number, row in enumerate(rows):
            if drop is not None:
                del row[drop]
            if add is not None:
                row.append(add if number == 0 else "0")
            if rename is not None and number == 0:
                row[rename[0]] = rename[1]
        return [",".join(row) for row in rows]

    return edit


def bad_zip(kind: str):
    def make(folder: Path) -> Path:
        archive = make_zip(folder, folder.parent / "bad.zip")
        if kind == "truncated":
            archive.write_bytes(archive.read_bytes()[:-400])
        elif kind == "bomb":
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
                packed.write(folder / "test.csv", "test.csv")
                with packed.open("train.csv", "w", force_zip64=True) as member:
                    for _ in range(300):
                        member.write(bytes(2**20))
        else:
            with zipfile.ZipFile(archive, "a") as packed:
                packed.writestr({"absolute": "/etc/cron.d/x", "parent": "../../x"}[kind], "x")
        return archive

    return make


def edited(name: str, edit):
    def make(folder: Path) -> Path:
        rewrite(folder / name, edit)
        return folder

    return make


def swapped(folder: Path) -> Path:
    (folder / "train.csv").rename(folder / "x")
    (folder / "test.csv").rename(folder / "train.csv")
    (folder / "x").rename(folder / "test.csv")
    return folder


def emptied(folder: Path) -> Path:
    (folder / "train.csv").write_text("")
    return folder


def binary(folder: Path) -> Path:
    (folder / "train.csv").write_bytes(bytes(range(256)) * 9)
    return folder


def without_test(folder: Path) -> Path:
    (folder / "test.csv").unlink()
    return folder


BAD_DATA = {
    "no such folder": (lambda folder: folder / "none", "no such file or folder"),
    "missing file": (without_test, "has train.csv but no test.csv"),
    "empty file": (emptied, "train.csv: is empty"),
    "not a csv": (binary, "not a CSV file"),
    "truncated zip": (bad_zip("truncated"), "not a whole zip file"),
    "absolute path in zip": (bad_zip("absolute"), "unsafe path '/etc/cron.d/x'"),
    "parent path in zip": (bad_zip("parent"), "unsafe path '../../x'"),
    "zip bomb": (bad_zip("bomb"), "a zip bomb?"),
    "label missing": (edited("train.csv", column(drop=0)), "has no 'label' column"),
    "label in test": (edited("test.csv", column(add="label")), "test.csv: has a 'label' column"),
    "swapped": (swapped, "swap the two files"),
    "missing pixel": (edited("train.csv", column(drop=3)), "column 'pixel2' is missing"),
    "extra pixel": (edited("train.csv", column(add="pixel16")), "17 pixel columns make no square image"),
    "extra column": (edited("train.csv", column(add="id")), "unexpected column 'id'"),
    "misnamed pixel": (edited("train.csv", column(rename=(3, "pix2"))), "column 'pix2' stands where 'pixel2'"),
    "no square": (edited("test.csv", column(drop=15)), "15 pixel columns make no square image"),
    "nan pixel": (edited("train.csv", cell(7, 5, "nan")), "line 8 (the header is line 1), column pixel4: 'nan'"),
    "empty pixel": (edited("train.csv", cell(7, 5, "")), "column pixel4: the cell is empty"),
    "text pixel": (edited("train.csv", cell(7, 5, "ink")), "column pixel4: 'ink' is not a number"),
    "negative pixel": (edited("test.csv", cell(3, 5, "-1")), "line 4 (the header is line 1), column pixel5: '-1'"),
    "pixel over 255": (edited("train.csv", cell(7, 5, "256")), "'256' is over 255"),
    "fractional pixel": (edited("train.csv", cell(7, 5, "0.5")), "'0.5' is a fraction"),
    "fractional label": (edited("train.csv", cell(7, 0, "1.5")), "column label: '1.5' is a fraction"),
    "text label": (edited("train.csv", cell(7, 0, "one")), "column label: 'one' is not a number"),
    "ragged": (edited("train.csv", lambda lines: [*lines[:5], lines[5][:9], *lines[6:]]), "line 6 has"),
    "no rows": (edited("train.csv", lambda lines: lines[:1]), "has a header but no rows"),
    "one class": (
        edited("train.csv", lambda lines: [lines[0], *("1" + line[1:] for line in lines[1:])]),
        "every label is 1",
    ),
    "too few of a class": (
        edited("train.csv", lambda lines: [lines[0], *("1" + line[1:] for line in lines[1:-2]), *lines[-2:]]),
        "too few for 10 folds; lower folds.count",
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_one_line_and_loses_nothing(name, tmp_path):
    folder = write_competition(tmp_path / "made", PIXELS[:20], LABELS, PIXELS[20:])
    output = tmp_path / "output"
    output.mkdir()
    (output / "submission.csv").write_text("an earlier result")
    make, expected = BAD_DATA[name]
    said = refuse("submit", "--data", make(folder), "--output", output)
    assert expected in said
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
    if name == "unknown option":
        arguments = [*arguments, "--config", "configs/default.yaml"]
    assert expected in refuse("train", "--output", tmp_path, *arguments)


def test_other_labels_and_another_side_from_end_to_end(tmp_path):
    """Labels 3, 7, 9 on 12x12 images: three strokes that any net tells apart."""
    draw = np.random.default_rng(1)
    labels = draw.choice([3, 7, 9], 260)
    pixels = draw.integers(0, 40, (260, 12, 12))
    for image, label in zip(pixels, labels, strict=True):
        image[label] = 255
    folder = write_competition(tmp_path / "made", pixels[:200], labels[:200], pixels[200:])
    recipe = ["--set", "architectures=[mlp]", "--set", "tta=shifts", "--set", "training.early_stopping.patience=9"]
    recipe += ["--set", "training.epochs=8", "--set", "augmentation.shift=0.01", "--config", "configs/demo.yaml"]
    arguments = ["--data", folder, "--output", tmp_path, "--run", "strokes"]
    for rule in ("mean", "logits", "geometric", "vote"):
        succeed("submit", *arguments, *recipe, "--set", f"ensemble.rule={rule}")
        lines = (tmp_path / "submission.csv").read_text().splitlines()[1:]
        assert np.mean([int(line.split(",")[1]) for line in lines] == labels[200:]) > 0.9
    fewer = write_competition(tmp_path / "fewer", pixels[:200], np.where(labels == 9, 7, labels)[:200], pixels[200:])
    done = digits("validate", tmp_path / "submission.csv", "--data", fewer, "--output", tmp_path)
    assert done.returncode == 2
    assert "label '9' is not a label seen in training" in done.stdout


def test_another_config_or_other_data_on_a_run_is_refused(whole, output, tmp_path):
    expected = (whole / "submission.csv").read_bytes()
    other = refuse("submit", "--output", output, "--run", "whole", *SHORT, "--set", "seed=1")
    assert "config.seed (2026 -> 1); choose another RUN=" in other
    folder = write_competition(tmp_path / "made", PIXELS[:20], LABELS, PIXELS[20:])
    config = ["--config", "configs/demo.yaml"]
    said = refuse("submit", "--output", output, "--run", "whole", *config, *SHORT, "--data", folder)
    assert "data.train" in said
    assert (whole / "submission.csv").read_bytes() == expected


def test_an_output_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "a file stands where a folder is needed" in refuse("train", "--output", tmp_path / "file")


def test_a_disk_that_refuses_is_one_line_and_keeps_what_was_there(whole, output):
    """A limit on file sizes stands for a full disk: writing fails half way through a file."""
    expected = (whole / "submission.csv").read_bytes()
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))}
    said = complain("submit", "--output", output, "--run", "whole", *SHORT, **limit)
    assert f"{whole}" in said
    assert "File too large; raise the limit" in said
    assert (whole / "submission.csv").read_bytes() == expected
    assert not [path for path in whole.rglob("*") if path.name.startswith(TEMPORARY)]
    succeed("submit", "--output", output, "--run", "whole", *SHORT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    assert "make it writable, or choose another folder" in refuse("train", "--output", tmp_path / "x")


def test_help_is_fast_to_read_and_complete():
    said = succeed("--help")
    for command in ("submit", "train", "validate", "compare", "data", "bench"):
        assert command in said


def make(*arguments: str) -> str:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", *arguments], cwd=ROOT, env=outside, capture_output=True, text=True, check=True)
    return done.stdout


def test_make_alone_lists_every_target():
    said = make()
    for target in ("submit", "train", "validate", "compare", "data", "bench", "test", "lint", "lock", "clean", "help"):
        assert f"\n  {target} " in said
    for variable in ("CONFIG", "DATA", "RUN", "WORKERS", "SET", "FILE", "A, B", "PYTHON"):
        assert f"\n  {variable} " in said


def test_make_hands_its_variables_on(tmp_path):
    variables = ["CONFIG=a b.yaml", "DATA=it's.zip", "RUN=r", "WORKERS=2", "SET=training.epochs=3 folds.count=2"]
    (tmp_path / "installed").touch()
    said = make("-n", "submit", f"VENV={tmp_path}", "-o", f"{tmp_path}/installed", *variables)
    shown = "printf '%s|' " + said.strip().split(" submit ", 1)[1].replace("\\\n", " ")
    words = subprocess.run(["sh", "-c", shown], capture_output=True, text=True, check=True).stdout.split("|")[:-1]
    assert words == [
        *("--data", "it's.zip", "--config", "a b.yaml", "--run", "r", "--workers", "2"),
        *("--set", "training.epochs=3", "--set", "folds.count=2"),
    ]
