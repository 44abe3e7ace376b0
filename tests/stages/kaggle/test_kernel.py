"""`kaggle_kernel.py`, alone in an empty folder, with the versions of Kaggle's image and without network."""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from command import ROOT, no_network, refuse
from digits import config
from digits.data.demo import demo
from digits.data.submission import check
from digits.errors import UserError
from digits.stages.kaggle import kernel
from kaggle_form import write_competition

PYTHON = Path(os.environ.get("KAGGLE_PYTHON", ROOT / ".venv/kaggle/bin/python"))
LEFT_TO_OTHERS = {  # that `pipeline` imports for other commands
    *("digits.stages.explore", "digits.stages.predict"),
    *("digits.stages.tune", "digits.stages.tune.search", "digits.stages.tune.space"),
}
SHORT = """# A short recipe for the tests.
folds: {count: 3}
architectures: [mlp]
training: {epochs: 3, batch_size: 32, ema: 0.9}
"""
LEFT = {
    "submission.csv",
    "oof.npz",
    "test.npz",
    "history.png",
    "confusion.png",
    "map_pca.png",
    "report.html",
    "log.txt",
    "eda",
    "short",
}


def on_kaggle(test: Callable[..., None]) -> Callable[..., None]:
    """A test that runs kernels, with Kaggle's versions."""
    skip = pytest.mark.skipif(not PYTHON.exists(), reason="no environment like Kaggle's; make kernel-test")
    return pytest.mark.slow(skip(test))


@pytest.fixture(scope="session")
def mounted(tmp_path_factory) -> Path:
    """A folder like /kaggle/input with the demo set in the competition's form, read-only."""
    data = demo()
    folder = tmp_path_factory.mktemp("input")
    rows = folder / "competitions/digit-recognizer"
    write_competition(rows, data.train_images, data.train_labels, data.test_images)
    for path in (*rows.iterdir(), rows):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def _write(folder: Path, recipe: str = SHORT, **settings: object) -> Path:
    """The kernel of a recipe, alone in a folder, with other settings in its head."""
    written = folder.parent / f"{folder.name}-config"
    written.mkdir(exist_ok=True)
    (written / "short.yaml").write_text(recipe)
    text = kernel.text(written / "short.yaml")
    for name, value in settings.items():
        before = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
        text = text.replace(before, f"{name} = {value!r}", 1)
    (folder / "kaggle_kernel.py").write_text(text)
    return folder / "kaggle_kernel.py"


def _environment(folder: Path, mounted: Path) -> dict[str, str]:
    working = folder / "working"
    working.mkdir(exist_ok=True)
    names = ("PATH", "HOME", "LANG", "TMPDIR", "ASKED", "LOKY_MAX_CPU_COUNT")
    kept = {name: value for name, value in os.environ.items() if name in names}
    own = {"DIGITS_INPUT": str(mounted), "DIGITS_WORKING": str(working), "PYTHONPATH": str(ROOT / "tests/offline")}
    return kept | own


def _run(script: Path, mounted: Path, **more: str) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True, "text": True, "timeout": 600, "check": False, "cwd": script.parent}
    return subprocess.run([*no_network(), PYTHON, script], env=_environment(script.parent, mounted) | more, **options)


def _labels(working: Path) -> np.ndarray:
    """The labels of a submission that is valid."""
    data = demo()
    verdict = check(working / "submission.csv", len(data.test_images), data.classes)
    assert verdict.valid, verdict
    return np.loadtxt(working / "submission.csv", int, delimiter=",", skiprows=1)[:, 1]


def test_the_committed_kernel_is_that_of_the_package():
    assert (ROOT / "kaggle_kernel.py").read_text() == kernel.text(Path("configs/default.yaml")), "run `make kernel`"


def test_its_head_says_what_it_is_and_how_to_change_it():
    head = (ROOT / "kaggle_kernel.py").read_text()[:3000]
    for words in (
        "Measured:",
        "predicted leaderboard score",
        "MAX_HOURS = 8.5",
        "OVERRIDES = []",
        'CONFIG = "default"',
    ):
        assert words in head


def test_a_source_that_cannot_be_embedded_is_named():
    with pytest.raises(UserError, match=r"x\.py"):
        kernel._embed("x.py", "text = '''three quotes'''")


def test_it_holds_every_module_that_it_imports(tmp_path):
    """Also those that functions import, which a run without a certain option would not notice."""
    files = runpy.run_path(str(_write(tmp_path)))["FILES"]
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    imported = {name for source in files.values() for name in re.findall(r"^ *from (digits\S*) import", source, re.M)}
    assert imported - modules == LEFT_TO_OTHERS
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    imports = "\n".join(f"import {name.replace('/', '.')[:-3]}" for name in files if name.endswith(".py"))
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-c", imports], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_config_that_is_not_there_writes_no_kernel(tmp_path):
    assert "nothing.yaml" in refuse("kernel", "--config", tmp_path / "nothing.yaml", "--out", tmp_path / "k.py")
    assert not (tmp_path / "k.py").exists()


@pytest.fixture(scope="module")
def script(tmp_path_factory, mounted) -> tuple[Path, str]:
    """A kernel that has run, with two networks at a time, and what it printed."""
    path = _write(tmp_path_factory.mktemp("alone"))
    done = _run(path, mounted, LOKY_MAX_CPU_COUNT="2")
    assert done.returncode == 0, done.stdout + done.stderr
    return path, done.stdout


@on_kaggle
def test_the_script_leaves_what_it_promises(script):
    path, printed = script
    working = path.parent / "working"
    assert {entry.name for entry in working.iterdir()} == LEFT
    assert (working / "log.txt").read_text().splitlines() == [
        line for line in printed.splitlines() if "In " not in line[:3]
    ]
    for words in ("OOF accuracy, ensemble", "predicted leaderboard score", "purity", " of 3 members", "All in"):
        assert words in printed
    data = demo()
    assert (_labels(working) == data.test_labels).mean() > 0.8
    with np.load(working / "oof.npz", allow_pickle=False) as oof:
        assert oof["probabilities"].shape == (len(data.train_labels), 10)


@on_kaggle
def test_a_notebook_cell_shows_the_figures_and_a_member_that_fails_costs_itself_alone(tmp_path, mounted):
    recipe = SHORT.replace("[mlp]", "[{net: default, name: broken, options: {kernel: 0}}, mlp]")
    source = _write(tmp_path, recipe).read_text()
    cell = {"cell_type": "code", "id": "a", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    (tmp_path / "kernel.ipynb").write_text(json.dumps(notebook))
    command = (
        "import sys; from nbclient.cli import main; sys.argv = ['jupyter-execute', 'kernel.ipynb', '--inplace']; main()"
    )
    options = {"capture_output": True, "text": True, "timeout": 600, "check": False, "cwd": tmp_path}
    done = subprocess.run([PYTHON, "-c", command], env=_environment(tmp_path, mounted), **options)
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = json.loads((tmp_path / "kernel.ipynb").read_text())["cells"][0]["outputs"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    for words in ("predicted leaderboard score", "3 of 6 members failed", "purity"):
        assert words in printed
    _labels(tmp_path / "working")


@on_kaggle
def test_killed_in_the_middle_it_leaves_a_valid_submission_and_goes_on(script, tmp_path, mounted):
    path = _write(tmp_path, SHORT.replace("epochs: 3", "epochs: 12"))
    process = subprocess.Popen(
        [PYTHON, path],
        env=_environment(tmp_path, mounted), cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    working = tmp_path / "working"
    while not (working / "submission.csv").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _labels(working)
    done = _run(path, mounted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained already" in done.stdout
    assert {entry.name for entry in working.iterdir()} == LEFT


@on_kaggle
def test_with_little_time_it_trains_what_fits(tmp_path, mounted):
    recipe = SHORT.replace("count: 3", "count: 20").replace("epochs: 3", "epochs: 9")
    done = _run(_write(tmp_path, recipe, MAX_HOURS=0.006), mounted)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No time for" in done.stdout
    assert "of 20 members" in done.stdout
    _labels(tmp_path / "working")


@on_kaggle
def test_without_the_competition_it_says_what_is_mounted(tmp_path):
    (tmp_path / "input/titanic").mkdir(parents=True)
    done = _run(_write(tmp_path), tmp_path / "input")
    assert done.returncode
    assert "holds: titanic" in done.stdout
    assert "Add Input" in done.stdout
    assert "log.txt says why" in done.stderr


@on_kaggle
def test_a_tpu_is_declined(tmp_path, mounted):
    done = _run(_write(tmp_path), mounted, TPU_ACCELERATOR_TYPE="v3-8")
    assert done.returncode
    assert "no use for a TPU" in done.stdout


@on_kaggle
def test_a_working_folder_that_cannot_be_written_is_said(tmp_path, mounted):
    done = _run(_write(tmp_path), mounted, DIGITS_WORKING="/proc")
    assert done.returncode
    assert "the working folder /proc cannot be written" in done.stderr


def test_the_short_recipe_is_a_config(tmp_path):
    (tmp_path / "short.yaml").write_text(SHORT)
    assert config.load(tmp_path / "short.yaml").folds.count == 3
