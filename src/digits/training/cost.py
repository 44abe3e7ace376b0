"""Cost of training in multiply-adds (MACs), the same on any machine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from digits.config import Config, Training
from digits.runs import Member, training_order

PASSES = 3  # forward multiply-adds that training an image takes: forward, and backward for inputs and for weights


@dataclass(frozen=True)
class Work:
    """Training that is left of one member.

    images: trained on in an epoch. epochs: to train. scored: images predicted after each epoch. predicted: images
    predicted in the end. macs: forward multiply-adds of an image; 0 where the network cannot be built.
    """

    images: int
    epochs: int
    scored: int
    predicted: int
    macs: int

    @property
    def training_macs(self) -> float:
        return float(PASSES * self.macs * self.images * self.epochs)


def works(config: Config, macs: Mapping[str, int], rows: int, test_rows: int) -> dict[Member, Work]:
    """Work of every member of a config, in the order of training.

    macs: forward multiply-adds by architecture. rows, test_rows: of the two tables.
    """
    settings, held_out = config.training, rows // config.folds.count
    images = images_per_epoch(rows - held_out, settings)
    scored = min(settings.monitor_rows or held_out, held_out)
    predicted = held_out + test_rows
    return {
        member: Work(images, settings.epochs, scored, predicted, macs[member.architecture])
        for member in training_order(config)
    }


def images_per_epoch(rows: int, settings: Training) -> int:
    """Images that an epoch trains on: the rows of whole batches, without those of the inner split."""
    if settings.watches:
        rows -= math.ceil(settings.early_stopping.inner_split * rows)
    batch = min(settings.batch_size, rows)
    return rows // batch * batch


def training_macs(works: Iterable[Work]) -> float:
    """Training MACs of members together."""
    return sum(work.training_macs for work in works)


def networks(count: int) -> str:
    """Such as `1 network` or `20 networks`."""
    return f"{count} network{'s' * (count != 1)}"


def short(macs: float) -> str:
    """Such as `7.5e14`."""
    mantissa, exponent = f"{macs:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"
