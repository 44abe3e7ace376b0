"""Callback of the training loop."""

from __future__ import annotations


class Callback:
    """Called during one network's training; this one does nothing. Whatever a method raises ends the training."""

    def within_epoch(self, epoch: int, share: float) -> None:
        """Share of an epoch, 0..1, is done; epochs count from 0."""

    def after_epoch(self, row: dict[str, float], images: int) -> None:
        """Epoch is done: its row of the history, and the number of images that were trained on."""
