"""A fork for another competition: colour images of named classes, another header, macro F1.

It replaces competition.py and data/table.py and brings a config and a space; see docs/fork.md.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import digits

pytestmark = pytest.mark.slow

SPECIES = ("bee eater", "crane", "heron", "kite", "robin", "wren", "yellowhammer")
COMPETITION = """
COMPETITION = Competition(
    name="seven-birds",
    title="Seven Birds",
    train="labels.csv",
    test="to_label.csv",
    label="species",
    submission=("photo", "species"),
    first_id=0,
    metric="macro_f1",
    noun="bird",
    nouns="birds",
    prose="Seven Birds asks for the species on each of its photos.",
)
"""
READING = '''
"""Read the photos of two CSVs that name them."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from digits.competition import COMPETITION
from digits.data.dataset import Dataset


def read(source, cache):
    train, test = (_lines(source.path / name) for name in (COMPETITION.train, COMPETITION.test))
    labels = np.array([line["species"] for line in train])
    return Dataset(COMPETITION.name, str(source.path), _photos(source.path, train), labels, _photos(source.path, test))


def read_images(path, side):
    raise NotImplementedError


def _lines(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _photos(folder, lines):
    return np.stack([np.asarray(Image.open(folder / line["file"]).convert("RGB")) for line in lines])
'''
CONFIG = """
folds: {count: 2}
architectures: [mlp, small]
training: {epochs: 6, batch_size: 16, ema: 0.9, label_smoothing: 0.0}
cluster: {maps: []}
"""
SPACE = """
set:
  architectures: [mlp]
  training: {epochs: 2, batch_size: 32}
  tune: {folds: 2}
search:
  training.optimizer.learning_rate: {float: [0.0003, 0.03], log: true}
"""


@dataclass(frozen=True)
class Fork:
    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "output" / "fork"

    def command(self, stage: str, *arguments: str | Path) -> str:
        path = os.pathsep.join([str(self.folder / "src"), os.environ["PYTHONPATH"]])
        command = [sys.executable, "-m", "digits", stage, "--data", "birds", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, env=os.environ | {"PYTHONPATH": path}, **RECORDED)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def metrics(self, stage: str = "") -> dict:
        return json.loads((self.run / stage / "metrics.json").read_text())


RECORDED = {"capture_output": True, "text": True, "timeout": 600}


@pytest.fixture(scope="module")
def fork(tmp_path_factory) -> Fork:
    """A fork with its data and a run of it."""
    fork = Fork(tmp_path_factory.mktemp("fork"))
    source = fork.folder / "src/digits"
    shutil.copytree(Path(digits.__file__).parent, source, ignore=shutil.ignore_patterns("__pycache__"))
    ours = (source / "competition.py").read_text()
    (source / "competition.py").write_text(ours[: ours.index("COMPETITION = ")] + COMPETITION.lstrip())
    (source / "data/table.py").write_text(READING)
    (fork.folder / "fork.yaml").write_text(CONFIG)
    (fork.folder / "space.yaml").write_text(SPACE)
    _photograph(fork.folder / "birds")
    fork.command("submit", "--config", "fork.yaml")
    return fork


def _photograph(folder: Path) -> None:
    """Photos 32x32 in a colour and with a stripe of their species' own, and the two CSVs."""
    draw = np.random.default_rng(0)
    folder.mkdir()
    for name, copies in (("labels.csv", 36), ("to_label.csv", 10)):
        classes = draw.permutation(np.repeat(np.arange(len(SPECIES)), copies))
        lines = []
        for number, chosen in enumerate(classes):
            pixels = draw.integers(0, 60, (32, 32, 3))
            pixels[:, :, chosen % 3] += 60 + 20 * (chosen // 3)
            pixels[4 * chosen : 4 * chosen + 4, 8:24] += 90
            file = f"{Path(name).stem}-{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / file)
            lines.append([file, SPECIES[chosen]] if name == "labels.csv" else [file])
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([["file", "species"][: len(lines[0])], *lines])


def test_submit_writes_names_under_the_forks_header(fork):
    with (fork.run / "submission.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["photo", "species"]
    assert [line[0] for line in lines] == list(map(str, range(70)))
    assert {line[1] for line in lines} == set(SPECIES)
    metrics = fork.metrics()
    assert metrics["metric"] == "macro_f1"
    assert 0.9 < metrics["oof_metric"] == metrics["predicted_score"] <= 1.0
    assert metrics["predicted_low"] <= metrics["predicted_score"] <= metrics["predicted_high"]
    assert "valid" in fork.command("validate", "output/fork/submission.csv")


def test_evaluate_names_the_classes(fork):
    assert "bee eater" in fork.command("evaluate", "--run", "fork")
    assert (fork.run / "evaluation/classes.csv").read_text().splitlines()[1].startswith("bee eater,")


def test_cluster_finds_the_species(fork):
    fork.command("cluster", "--run", "fork")
    assert fork.metrics("clusters")["purity"] > 0.8


def test_the_report_speaks_of_birds(fork):
    fork.command("report", "--run", "fork")
    page = (fork.run / "report.html").read_text()
    assert all(name in page for name in SPECIES)
    assert "Seven Birds asks for the species" in page
    assert "digit" not in page


def test_tune_searches(fork):
    printed = fork.command("tune", "--config", "fork.yaml", "--space", "space.yaml", "--trials", "2")
    assert "2 trials" in printed
    best = next((fork.folder / "output/tune").glob("*/best.yaml"))
    assert "learning_rate" in best.read_text()
