"""The whole pipeline on a tiny competition, as a user runs it, and what must hold after anything that goes wrong."""

from __future__ import annotations

import csv
import dataclasses
import html
import json
import os
import random
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from PIL import Image

from command import start
from digits.data.demo import demo
from digits.data.submission import check
from digits.files import arrays, records
from digits.files.atomic import TEMPORARY
from digits.stages.predict import exported
from kaggle_form import write_competition

RUN = "r"
EARLIER = "ImageId,Label\n" + "".join(f"{number},{number % 10}\n" for number in range(1, 121))  # submission of before
RECIPE = ("architectures=[mlp]", "folds.count=2", "training.epochs=8", "training.batch_size=16", "cluster.maps=[]")
SPACE = """
set:
  architectures: [mlp]
  training: {epochs: 4, batch_size: 16, ema: 0.9}
  tune: {folds: 2, trials: 4, median_rule: false, tuner: random}
search:
  training.optimizer.learning_rate: {float: [0.0003, 0.03], log: true}
  augmentation.rotation: {float: [0.0, 25.0]}
"""
# One thread each: more of them spin against each other where two commands share two cores.
ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
UNEQUAL = ("checksum", "core_seconds", "machine", "oof", "seconds", "sha256", "versions")  # keys of JSON, see `content`


def write_data(folder: Path) -> Path:
    """A competition of 300 and 120 rows of 14x14 handwriting."""
    images, labels = demo().train_images[:, ::2, ::2], demo().train_labels
    return write_competition(folder, images[:300], labels[:300], images[300:420])


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder of all runs, and the data that they are made of."""

    output: Path
    data: Path

    @property
    def run(self) -> Path:
        return self.output / RUN

    def arguments(self, stage: str) -> list[str | Path]:
        return [stage, *STAGES[stage](self), "--output", self.output]

    def copy(self, to: Path) -> Place:
        """All of it elsewhere; the data stay, whose paths and times name their entry of the cache."""
        shutil.copytree(self.output, to, symlinks=True)
        return Place(to, self.data)


def _of_config(place: Place) -> list[str | Path]:
    recipe = [word for setting in RECIPE for word in ("--set", setting)]
    return ["--data", place.data, "--config", "configs/demo.yaml", "--run", RUN, *recipe]


def _of_run(place: Place) -> list[str | Path]:
    return ["--data", place.data, "--run", RUN]


def _predict(place: Place) -> list[str | Path]:
    return [place.data / "test.csv", *_of_run(place)]


def _tune(place: Place) -> list[str | Path]:
    space = place.data / "space.yaml"
    space.write_text(SPACE)
    return ["--data", place.data, "--config", "configs/demo.yaml", "--space", space, "--run", RUN, "--workers", "1"]


STAGES: dict[str, Callable[[Place], list[str | Path]]] = {
    "submit": lambda place: [*_of_config(place), "--workers", "2"],
    "cluster": _of_run,
    "evaluate": _of_run,
    "eda": lambda place: ["--data", place.data, "--config", "configs/demo.yaml"],
    "export": _of_run,
    "predict": _predict,
    "tune": _tune,
    "report": _of_run,  # the last: it shows what the others left
}
WRITES = {  # what each stage leaves below the folder of all runs, and what must be the same ever after
    "submit": ("submission.csv", f"{RUN}/*.*", f"{RUN}/members/*/*"),
    "cluster": (f"{RUN}/clusters/*",),
    "evaluate": (f"{RUN}/evaluation/*",),
    "eda": ("eda/*/*",),
    "report": (f"{RUN}/report.html",),
    "export": (f"{RUN}/ensemble.onnx",),
    "predict": ("predictions/*",),
    "tune": (f"tune/{RUN}/leaderboard.csv", f"tune/{RUN}/best.yaml"),
}
OF_OTHERS = ("report.html", "ensemble.onnx")  # files of the run's folder that `submit` does not write


# --- running a stage ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Done:
    """How a command ended. said: all that it printed, both streams."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        return self.out + self.err


def begin(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """A command in a session of its own, so that all its processes can be found and killed."""
    environment = os.environ | ENVIRONMENT | options.pop("env", {})
    return start(*arguments, start_new_session=True, env=environment, **options)


def end(process: subprocess.Popen[str], seconds: float = 600) -> Done:
    """Wait for a command; one that hangs is killed, and that is a failure."""
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill(process.pid, "group", random.Random(0))
        raise AssertionError(f"hangs: {process.args}\n{process.communicate()}") from None
    return Done(process.returncode, out, err, time.monotonic() - began)


def execute(place: Place, stage: str, *more: str | Path, **options: Any) -> Done:
    return end(begin(*place.arguments(stage), *more, **options))


def finish(place: Place, stage: str, check: bool = True, **options: Any) -> Done:
    """Run a stage that must end well, and whose results must be whole; `check`: all others too."""
    done = execute(place, stage, **options)
    assert done.status == 0, done.said
    if check:
        check_whole(place, finished=True)
    return done


def refuse(place: Place, stage: str, *more: str | Path, status: int = 2, **options: Any) -> str:
    """Run a stage that must end in one line; the line."""
    return line_of(execute(place, stage, *more, **options), status)


def line_of(done: Done, status: int = 2) -> str:
    """The one line in which a command refused, after the warnings that led to it."""
    assert done.status == status, (done.status, done.said)
    lines = [line for line in done.err.strip().splitlines() if not line.startswith("WARNING: ")]
    assert len(lines) == 1, done.said
    assert lines[0].startswith("error: "), done.said
    return lines[0]


def processes(group: int) -> list[int]:
    """The living processes of a session, the one that leads it first."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            found.append(int(status.parent.name))
    return sorted(found, key=lambda pid: (pid != group, pid))


def kill(group: int, victim: str, draw: random.Random) -> None:
    """SIGKILL a whole session at once, its first process alone, or one of the others."""
    living = processes(group)
    others = [pid for pid in living if pid != group]
    chosen = {"group": living, "launcher": [group], "worker": [draw.choice(others or [group])]}[victim]
    for pid in chosen:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def gone(group: int, seconds: float = 30) -> bool:
    """Whether every process of a session ends in that time."""
    until = time.monotonic() + seconds
    while processes(group) and time.monotonic() < until:
        time.sleep(0.1)
    return not processes(group)


# --- what must hold ----------------------------------------------------------------------------------------


def check_whole(place: Place, finished: bool = False) -> None:
    """Nothing under a final name is a half: every file reads back, every sealed folder is as it was sealed, and the
    newest submission is either the one of before or a valid one.

    finished: the last command ended well, so that no temporary file is left either.
    """
    for path in sorted(place.output.rglob("*")):
        if path.name.startswith(TEMPORARY):
            assert not finished, path
        elif path.is_file() and path.suffix in READS_BACK:
            READS_BACK[path.suffix](path)
    for member in place.output.glob("*/members/[!.]*"):
        assert records.is_whole(member), member
    for record in (*place.output.glob("*/*/metrics.json"), *place.output.glob("eda/*/metrics.json")):
        assert records.is_whole(record.parent, record.name), record
    for submission in place.output.rglob("submission.csv"):
        if submission.read_text() != EARLIER:
            assert check(submission, 120, np.arange(10)).valid, submission


def _csv(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    assert content.endswith("\n"), path
    assert len({len(line) for line in csv.reader(content.splitlines())}) == 1, path


def _png(path: Path) -> None:
    with Image.open(path) as picture:
        picture.verify()


def _json(path: Path) -> None:
    assert "checksum" in json.loads(path.read_text()), path
    records.read_json(path)


def _keras(path: Path) -> None:
    with zipfile.ZipFile(path) as packed:
        assert packed.testzip() is None, path


def _html(path: Path) -> None:
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path


READS_BACK: dict[str, Callable[[Path], object]] = {
    ".csv": _csv,
    ".html": _html,
    ".json": _json,
    ".keras": _keras,
    ".npz": arrays.read,
    ".npy": lambda path: list(_arrays_of(path)),
    ".onnx": exported.load,
    ".png": _png,
    ".yaml": lambda path: yaml.safe_load(path.read_text()),
}


def _arrays_of(path: Path) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        for _ in range(4):
            yield np.load(file, allow_pickle=False)


def assert_same(place: Place, reference: Place, stage: str) -> None:
    """What a stage wrote is what it wrote in the reference, byte for byte but for `content`."""
    expected, found = (_written(of, stage) for of in (reference, place))
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == expected[name], f"{name} of {stage} differs"


def _written(place: Place, stage: str) -> dict[str, Any]:
    paths = [path for pattern in WRITES[stage] for path in place.output.glob(pattern) if path.is_file()]
    if stage == "submit":
        paths = [path for path in paths if path.name not in OF_OTHERS]
    visible = [path for path in paths if not path.name.startswith(".")]
    assert visible, stage
    return {str(path.relative_to(place.output)): content(path) for path in visible}


def content(path: Path) -> Any:
    """What must be the same in every run of one recipe, for comparison.

    Not the same, and left out: how long it took (`seconds`; the last column of history.csv; the report's line of
    training time and its figures of the search) and so the checksums of files that say it, the time within .keras (a
    zip: its weights are compared), and the order of nodes in .onnx, which changes from conversion to conversion (what
    it predicts is compared).
    """
    if path.suffix == ".json":
        return _without_seconds(records.read_json(path))
    if path.name == "history.csv":
        return [line.rpartition(",")[0] for line in path.read_text().splitlines()]
    if path.name == "leaderboard.csv":
        with path.open(newline="") as file:
            timed = ("seconds", "wall", "began", "ended")
            return [{key: cell for key, cell in row.items() if key not in timed} for row in csv.DictReader(file)]
    if path.name == "best.yaml":
        return yaml.safe_load(path.read_text())
    if path.suffix == ".keras":
        return _weights(path)
    if path.suffix == ".onnx":
        images = np.random.default_rng(0).integers(0, 256, (50, 14, 14, 1), dtype=np.uint8)
        return exported.load(path).predict(images).probabilities.round(5).tolist()
    if path.suffix == ".html":
        said = html.unescape(path.read_text()).splitlines()
        timed = ("core time", " of one core's time", 'alt="Tuning')
        return [line for line in said if not any(words in line for words in timed)]
    return path.read_bytes()


def _without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_seconds(part) for key, part in value.items() if key not in UNEQUAL}
    return [_without_seconds(part) for part in value] if isinstance(value, list) else value


def _weights(path: Path) -> dict[str, list[float]]:
    weights: dict[str, list[float]] = {}
    with zipfile.ZipFile(path) as packed, packed.open("model.weights.h5") as file, h5py.File(file) as stored:
        stored.visititems(
            lambda name, of: weights.update({name: of[()].tolist()}) if isinstance(of, h5py.Dataset) else None
        )
    return weights
