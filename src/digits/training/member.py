"""One member of a run: trained without the rows of its fold, saved, and run on those rows and on the test rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digits import data, models
from digits.config import Config
from digits.data import Dataset, Rows
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.runs import Member
from digits.seeds import derive
from digits.training import backend, cost
from digits.training.callback import Callback

CHECKPOINT = ".checkpoint.npz"


@dataclass(frozen=True, eq=False)
class Tables:
    """Arrays that all members share.

    rows: of the training table. folds: of each of them, int64 (n,). test_images: uint8 (m, height, width, channels).
    """

    rows: Rows
    folds: np.ndarray
    test_images: np.ndarray

    @property
    def form(self) -> tuple[tuple[int, int, int], int]:
        """Height, width and channels of an image, and the number of classes."""
        return self.rows.images.shape[1:], self.rows.classes

    @classmethod
    def of(cls, config: Config, dataset: Dataset) -> Tables:
        """Split the rows of a dataset into the folds of a config."""
        folds = data.assign(dataset.train_images, dataset.train_labels, config.folds.count, config.seed)
        return cls(dataset.rows, folds, dataset.test_images)


def train_member(config: Config, member: Member, tables: Tables, folder: Path, callback: Callback) -> None:
    """Train one member in a folder and seal it. Resume from the checkpoint there, and leave it.

    folder: of the unfinished member. callback: is called after every epoch, and within it.
    """
    backend.start(config.training.threads)
    from digits.training import loop

    architecture = next(net for net in config.architectures if net.label == member.architecture)
    split = tables.rows.hold_out(tables.folds, member.fold)
    seed = derive(config.seed, "member", member.architecture, member.seed, member.fold)
    network = loop.train(architecture, config, split, seed, folder / CHECKPOINT, callback)
    with replacing(folder / "history.csv") as temporary:
        header = ",".join(loop.HISTORY)
        np.savetxt(temporary, network.history, fmt="%.6g", delimiter=",", header=header, comments="")
    with replacing(folder / "model.keras") as temporary:
        network.model.save(temporary)
    held_out = tables.rows.images[split.held_out]
    for name, images, numbers in (("oof", held_out, {"rows": split.held_out}), ("test", tables.test_images, {})):
        logits, features = loop.predict_with(network.predict, images, config.tta)
        arrays.write(folder / f"{name}.npz", **numbers, logits=logits, features=features)
    images = len(network.history) * cost.images_per_epoch(len(split.learned), config.training)
    record = {
        "precision": network.precision,
        "seconds": float(network.history[:, loop.HISTORY.index("seconds")].sum()),
        "training_macs": float(cost.PASSES * models.multiply_adds(network.model) * images),
        "versions": backend.versions(),
        "processor": backend.processor(),
        "device": backend.device() or backend.processor(),
        "deterministic": backend.is_deterministic(),
    }
    records.seal(folder, record)


def epochs_done(folder: Path) -> int:
    """Epochs that the checkpoint of an unfinished member holds; 0 where there is none that training will accept."""
    try:
        return len(arrays.read(folder / CHECKPOINT)["history"])
    except (ValueError, KeyError, TypeError):
        return 0


def publish_member(folder: Path, finished: Path) -> None:
    """Move a sealed member to its final folder; from then on it is complete."""
    records.publish(folder, finished)
    (finished / CHECKPOINT).unlink(missing_ok=True)  # last: a kill before this line costs no training


def is_complete(folder: Path) -> bool:
    """A finished member is there, and every file of it has its checksum."""
    if not records.is_whole(folder):
        return False
    (folder / CHECKPOINT).unlink(missing_ok=True)  # of a call that was killed just before it did so
    return True
