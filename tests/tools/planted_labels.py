"""How many wrong labels the label queue and cleanlab find: plant some, train on them, and look how they are ranked.

    uv pip install cleanlab==2.9.0      # or pip; it is no dependency of ours
    .venv/bin/python tests/tools/planted_labels.py digit-recognizer.zip configs/fast.yaml

Plants 0.5 % and 2 % of the labels, drawn at random from the other classes, and between look-alikes: the class that the
small ensemble holds for the next most probable. Takes four times as long as the config in four folds, and resumes where
it was stopped. Labels that were wrong before count as false alarms.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues

from digits import config, data
from digits.data import Dataset
from digits.files import arrays
from digits.runs import Run
from digits.stages import submit, train
from digits.stages.cluster import stage as cluster
from digits.stages.predict import exported

SHARES = (0.005, 0.02)
SEED = 1


def main(source: str, file: str) -> None:
    """Train on copies with planted labels, and print a row of Markdown for each and for both rankings."""
    settings = config.load(file, ["cluster.maps=[]", "folds.count=4", "folds.limit=null"])  # every row is judged
    dataset = data.read(data.find(source), Path("output/cache"))
    print("| labels planted | by | rows listed | planted ones among them | among as many as were planted |")
    print("|---|---|---|---|---|")
    for plant in (at_random, look_alikes):
        for share in SHARES:
            draw = np.random.default_rng(SEED)
            rows = draw.permutation(len(dataset.targets))[: round(share * len(dataset.targets))]
            targets = dataset.targets.copy()
            targets[rows] = plant(dataset, rows, draw)
            copy = dataclasses.replace(dataset, train_labels=dataset.classes[targets])
            run = Run(Path("output") / f"planted-{plant.__name__}-{share}-{Path(file).stem}", settings, copy)
            for name, ranked in rankings(run).items():
                planted = np.isin(ranked, rows)
                cells = (f"{len(rows)} {plant.__name__.replace('_', ' ')}", name, len(ranked))
                print(f"| {' | '.join(map(str, (*cells, planted.sum(), planted[: len(rows)].sum())))} |", flush=True)


def at_random(dataset: Dataset, rows: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Another class for each of some rows, int (r,)."""
    classes = len(dataset.classes)
    return (dataset.targets[rows] + draw.integers(1, classes, len(rows))) % classes


def look_alikes(dataset: Dataset, rows: np.ndarray, _draw: np.random.Generator) -> np.ndarray:
    """The most probable class but its own, for each of some rows: int (r,)."""
    probabilities = exported.load(exported.PRETRAINED).predict(dataset.train_images[rows]).probabilities
    probabilities[np.arange(len(rows)), dataset.targets[rows]] = -1
    return probabilities.argmax(axis=1)


def rankings(run: Run) -> dict[str, np.ndarray]:
    """Rows whose label may be wrong, the most suspicious first: by our queue and by cleanlab."""
    with run.locked():
        train.run(run)
        submit.run(run, {})
        cluster.run(run)
    queue = np.loadtxt(run.clusters / "label_queue.csv", delimiter=",", skiprows=1, usecols=1, dtype=int)
    stored = arrays.read_probabilities(run.oof)
    labels = np.searchsorted(stored["classes"], stored["labels"])
    issues = find_label_issues(labels, stored["probabilities"], return_indices_ranked_by="self_confidence")
    return {"the label queue": queue, "cleanlab": stored["rows"][issues]}


if __name__ == "__main__":
    main(*sys.argv[1:])
