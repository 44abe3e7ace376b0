"""How many wrong labels the label queue finds: flip some, train on them, and look how high they are ranked.

    .venv/bin/python tests/tools/planted_labels.py digit-recognizer.zip configs/fast.yaml

Takes as long as the config and resumes where it was stopped. The labels that were wrong before count as false alarms.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np

from digits import config, data
from digits.runs import Run
from digits.stages import submit, train
from digits.stages.cluster import stage as cluster

SHARE = 0.005
SEED = 1


def main(source: str, file: str) -> None:
    """Train on a copy with flipped labels, cluster it, and print what the queue found."""
    settings = config.load(file, ["cluster.maps=[]"])
    dataset = data.read(data.find(source), Path("output/cache"))
    draw = np.random.default_rng(SEED)
    rows = draw.permutation(len(dataset.train_labels))[: round(SHARE * len(dataset.train_labels))]
    labels = dataset.train_labels.copy()
    classes = len(dataset.classes)
    labels[rows] = dataset.classes[(dataset.targets[rows] + draw.integers(1, classes, len(rows))) % classes]
    flipped = dataclasses.replace(dataset, train_labels=labels)
    run = Run(Path("output") / f"planted-{Path(file).stem}", settings, flipped)
    with run.locked():
        train.run(run)
        submit.run(run, {})
        cluster.run(run)
    queue = np.loadtxt(run.clusters / "label_queue.csv", delimiter=",", skiprows=1, usecols=1, dtype=int)
    planted = np.isin(queue, rows)
    print(f"{len(rows)} labels flipped, {planted.sum()} of them among the {len(queue)} rows of the queue")
    for top in (50, 100, len(rows), 2 * len(rows)):
        found, looked = planted[:top].sum(), min(top, len(queue))
        precision, recall = found / looked, found / len(rows)
        print(f"of its first {looked}: {found} planted, precision {precision:.3f}, recall {recall:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
