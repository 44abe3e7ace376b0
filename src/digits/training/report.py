"""What hears how training goes."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Hears of the progress of one network; whatever it raises ends the training."""

    def within(self, epoch: int, share: float) -> None:
        """A share of an epoch, 0..1, is done; epochs count from 0."""

    def after(self, row: dict[str, float], images: int) -> None:
        """An epoch is done: its row of the history, and how many images were trained on."""


class Silent:
    """A report that tells nothing."""

    def within(self, epoch: int, share: float) -> None:
        pass

    def after(self, row: dict[str, float], images: int) -> None:
        pass
