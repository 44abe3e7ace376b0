"""A finished run without any training: each member's features are the same shape in a space of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.special import softmax
from scipy.stats import ortho_group

from digits import config, data
from digits.data import Dataset
from digits.files import arrays, records
from digits.runs import Run

HISTORY = ("epoch", "loss", "accuracy", "held_out_loss", "held_out_accuracy")


def finish(
    folder: Path,
    dataset: Dataset,
    seeds: int = 1,
    limit: int | None = None,
    architectures: Sequence[str] = ("small",),
    spread: float = 0.0,
) -> Run:
    """Write a run of three folds whose members tell the classes of most rows apart.

    Features are the logits of an imagined network turned, scaled and moved at random, with a little noise. The logits
    of all members are the same, but for noise of this spread.
    """
    settings = config.parse(
        {"folds": {"count": 3, "limit": limit}, "seeds": seeds, "architectures": list(architectures)}, "test"
    )
    run = Run(folder, settings, dataset)
    run.claim()
    draw = np.random.default_rng(0)
    folds = data.assign(dataset.train_images, dataset.train_labels, 3, settings.seed)
    train, test = _imagined(dataset, draw)
    everything = np.zeros((len(train), train.shape[1]))
    for member in run.members:
        own = run.member(member)
        own.mkdir(parents=True)
        rows = np.flatnonzero(folds == member.fold)
        turn, scale, shift = ortho_group.rvs(train.shape[1], random_state=draw), draw.uniform(1, 5), draw.normal(0, 9)
        for name, logits, more in (("oof", train[rows], {"rows": rows}), ("test", test, {})):
            noise = draw.normal(0, 0.02, logits.shape)
            features = ((logits + noise) @ turn * scale + shift).astype(np.float32)
            said = logits + draw.normal(0, spread, logits.shape) if spread else logits
            arrays.write(own / f"{name}.npz", logits=said.astype(np.float32), features=features, **more)
        records.write_csv(
            own / "history.csv", HISTORY, [(epoch, *(1 / epoch, 1 - 0.1 / epoch) * 2) for epoch in (1, 2)]
        )
        records.seal(own, {"seconds": 1.0})
        everything[rows] = train[rows]
    scored = np.flatnonzero(np.isin(folds, settings.folds.trained))
    arrays.write(
        run.oof,
        rows=scored,
        labels=dataset.train_labels[scored],
        probabilities=softmax(everything[scored], axis=1),
        classes=dataset.classes,
        fingerprint=np.array(dataset.fingerprint),
    )
    return run


def forge(path: Path, change: Callable[[dict], object]) -> None:
    """Change a JSON object as who crafts a run would: without the checksum, and without the copy that would serve."""
    values = json.loads(path.read_text())
    values.pop("checksum", None)
    change(values)
    path.write_text(json.dumps(values))
    path.with_name(f".{path.name}").unlink(missing_ok=True)


def _imagined(dataset: Dataset, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the training and the test rows: near the right class, a few far off."""
    classes = len(dataset.classes)
    train = 6 * np.eye(classes)[dataset.targets]
    wrong = draw.permutation(len(train))[: len(train) // 50]
    train[wrong] = 6 * np.eye(classes)[draw.integers(0, classes, len(wrong))]
    test = 6 * np.eye(classes)[draw.integers(0, classes, len(dataset.test_images))]
    return train + draw.normal(0, 0.5, train.shape), test + draw.normal(0, 0.5, test.shape)
