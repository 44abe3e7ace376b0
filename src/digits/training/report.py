"""Progress of training, as a network reports it."""

from __future__ import annotations


class Report:
    """Listener of one network's training; this one ignores everything. Whatever a method raises ends the training."""

    def within(self, epoch: int, share: float) -> None:
        """A share of an epoch, 0..1, is done; epochs count from 0."""

    def after(self, row: dict[str, float], images: int) -> None:
        """An epoch is done: its row of the history, and the number of images that were trained on."""
