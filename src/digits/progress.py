"""What people see while they wait and when it is done: live on a terminal, plain elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class EpochLines:
    """Tells how one member's training goes; a `training.Report`.

    Args:
        title: such as `default-s0-f1 [2/5]`.
        epochs: that a member trains.
        to_come: members that are still to be trained after this one, over the workers that share them.
        live: draw a bar within the epoch; needs a terminal of our own.
    """

    def __init__(self, title: str, epochs: int, to_come: float, live: bool) -> None:
        self.title = title
        self.epochs = epochs
        self.to_come = to_come
        self.seconds: list[float] = []
        percentage = TextColumn("{task.percentage:3.0f} %")
        columns = (TextColumn("{task.description}", markup=False), BarColumn(24), percentage)
        self.bar = Progress(*columns, transient=True, disable=not live)
        self.task = self.bar.add_task(title, total=1.0)

    def __enter__(self) -> EpochLines:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def within(self, epoch: int, share: float) -> None:
        self.bar.update(self.task, completed=share, description=f"{self.title} epoch {epoch + 1}/{self.epochs}")

    def after(self, row: dict[str, float], images: int) -> None:
        self.seconds.append(row["seconds"])
        mean = sum(self.seconds) / len(self.seconds)
        done = int(row["epoch"])
        left = mean * (self.epochs - done + self.epochs * self.to_come)
        self.bar.console.print(
            f"{self.title} epoch {done}/{self.epochs}  loss {row['loss']:.4f}"
            f"  held-out accuracy {row['held_out_accuracy']:.4f}"
            f"  {images / row['seconds']:,.0f} images/s  {duration(left)} left",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


class Steps:
    """Times the steps of a stage and tells each when it is done; on a terminal also the one at work.

    seconds: by step.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        out, started = console(), time.perf_counter()
        with out.status(f"{name} ..."):
            yield
        self.seconds[name] = time.perf_counter() - started
        out.print(f"  {name}: {duration(self.seconds[name])}")


def is_terminal() -> bool:
    """Whether people read what is printed, as it is printed."""
    return sys.stdout.isatty()


def console() -> Console:
    """For tables: as wide as the terminal, or as a table needs where there is none."""
    return Console(width=None if is_terminal() else 120, highlight=False, markup=False)


def duration(seconds: float) -> str:
    """Seconds as people say them: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
