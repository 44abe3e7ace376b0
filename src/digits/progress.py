"""One line an epoch: live on a terminal, plain elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from digits import training


class EpochLines:
    """Tells how one member's training goes; give it to `training.fit` as `report`.

    Args:
        name: of the member.
        place: such as `2/5`.
        to_come: members that this process still has to train after this one.
        live: draw a bar within the epoch; needs a terminal of our own.
    """

    def __init__(self, name: str, place: str, to_come: float, live: bool) -> None:
        self.title = f"{name} [{place}]"
        self.to_come = to_come
        self.seconds: list[float] = []
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            TextColumn("{task.percentage:3.0f} %"),
        )
        self.bar = Progress(*columns, transient=True, disable=not live)
        self.task = self.bar.add_task(self.title, total=1.0)

    def __enter__(self) -> EpochLines:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, now: training.Progress) -> None:
        title = f"{self.title} epoch {now.epoch + 1}/{now.epochs}"
        self.bar.update(self.task, completed=now.share, description=title)
        if now.row is None:
            return
        self.seconds.append(now.row["seconds"])
        mean = sum(self.seconds) / len(self.seconds)
        left = mean * (now.epochs - now.epoch - 1 + now.epochs * self.to_come)
        line = (
            f"{title}  loss {now.row['loss']:.4f}  held-out accuracy {now.row['held_out_accuracy']:.4f}"
            f"  {now.images / now.row['seconds']:,.0f} images/s  {duration(left)} left"
        )
        if self.bar.disable:
            print(line, flush=True)
        else:
            self.bar.console.print(line, highlight=False, markup=False)


def is_terminal() -> bool:
    return sys.stdout.isatty()


def duration(seconds: float) -> str:
    """Seconds as people say them: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
