"""Console output of work that takes a while: live on a terminal, plain elsewhere."""

from __future__ import annotations

import heapq
import json
import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

WINDOW = 120.0  # seconds of training whose speed predicts the time left: what slowed it down before is forgotten
SILENCE = 60.0  # seconds without a line, at most


@dataclass(frozen=True)
class Task:
    """A network whose training is shown.

    title: such as `default-s0-f1 [2/5]`. epochs: of the whole training. done: of them, before this call. images: of an
    epoch. macs: training multiply-adds of an image.
    """

    title: str
    epochs: int
    done: int
    images: int
    macs: float = 1.0


class TimeLeft:
    """Time left for networks trained side by side, from their speed over the last `WINDOW` seconds.

    The speed is that of a busy worker, so that it stays right when fewer networks than workers are left. What happens
    between two networks, such as predictions and the start of the next one, counts as time of a busy worker too.

    tasks: by name, in the order of training. workers: networks at a time.
    """

    def __init__(self, tasks: Mapping[str, Task], workers: int) -> None:
        self.workers = workers
        self._tasks = tasks
        self._images = {name: float((task.epochs - task.done) * task.images) for name, task in tasks.items()}
        self._total = sum(self._macs_left())
        self._samples: deque[tuple[float, np.ndarray]] = deque()  # time; MACs, images and busy seconds until then

    def update(self, now: float, name: str, epochs: float) -> None:
        """Set the trained epochs of a network, those of earlier calls included."""
        task = self._tasks[name]
        left = max(0.0, (task.epochs - epochs) * task.images)
        trained = max(0.0, self._images[name] - left)  # none if a network restarts from an earlier epoch
        work = self._work(now) + np.array([trained * task.macs, trained, 0.0])
        self._images[name] = left
        self._samples.append((now, work))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    def end(self, now: float, name: str) -> None:
        """End the training of a network, whatever is left of it."""
        self._samples.append((now, self._work(now)))
        self._images[name] = 0.0

    def share(self) -> float:
        """Share of the training that was left at the start and is done, 0..1."""
        return 1 - sum(self._macs_left()) / self._total if self._total else 1.0

    def images_per_second(self, now: float) -> float | None:
        """Speed of all workers together; None before anything is trained."""
        _, images, busy = self._recent(now)
        return images / busy * self._busy() if images else None

    def seconds(self, now: float) -> float | None:
        """Seconds until the last network is trained; None before anything is trained."""
        macs, _, busy = self._recent(now)
        return makespan([left * busy / macs for left in self._macs_left()], self.workers) if macs else None

    def _recent(self, now: float) -> np.ndarray:
        """MACs, images and busy seconds of the last `WINDOW` seconds."""
        return self._work(now) - self._samples[0][1] if self._samples else np.zeros(3)

    def _work(self, now: float) -> np.ndarray:
        """MACs, images and busy seconds since the first sample."""
        before, work = self._samples[-1] if self._samples else (now, np.zeros(3))
        return work + np.array([0.0, 0.0, (now - before) * self._busy()])

    def _busy(self) -> int:
        return min(self.workers, sum(images > 0 for images in self._images.values()))

    def _macs_left(self) -> list[float]:
        return [self._images[name] * task.macs for name, task in self._tasks.items()]


def makespan(seconds: Iterable[float], workers: int) -> float:
    """Time that workers need for tasks of these lengths: each takes the next one when it is free."""
    free = [0.0] * workers
    for taken in seconds:
        heapq.heapreplace(free, free[0] + taken)
    return max(free)


class TrainingLines:
    """Shows the training of a run's networks: a line an epoch, with the time left for all of them.

    On a terminal also a bar for the whole run; elsewhere a line a minute if no epoch ends.

    tasks: by name, in the order of training. workers: networks at a time. live: draw the bar; needs a terminal. until:
    by `time.monotonic`, when training ends at the latest.
    """

    def __init__(self, tasks: Mapping[str, Task], workers: int, live: bool, until: float = math.inf) -> None:
        self.left = TimeLeft(tasks, workers)
        self._tasks, self._until, self._live = tasks, until, live
        self._printed = time.monotonic()
        columns = (BarColumn(24), TextColumn("{task.description}", markup=False))
        self._bar = Progress(*columns, transient=True, disable=not live)
        self._whole = self._bar.add_task(self._state(self._printed), total=1.0)

    def __enter__(self) -> TrainingLines:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def hear(self, line: str) -> None:
        """Take a line of a `workers.messages.Reporter`; print any other as it is."""
        try:
            message = json.loads(line)
            name = message["member"]
        except (ValueError, KeyError, TypeError):
            self._print(line)
            return
        if "row" in message:
            self.after_epoch(name, message["row"], message["images"])
        elif "end" in message:
            self.left.end(time.monotonic(), name)
        else:
            self.within_epoch(name, message["epoch"], message["share"])

    def within_epoch(self, name: str, epoch: int, share: float) -> None:
        """Note that a share of an epoch, 0..1, is done; epochs count from 0."""
        self.left.update(time.monotonic(), name, epoch + share)

    def after_epoch(self, name: str, row: Mapping[str, float], images: int) -> None:
        """Print a finished epoch: its row of the history, and its speed on so many images."""
        now, epoch, task = time.monotonic(), int(row["epoch"]), self._tasks[name]
        self.left.update(now, name, epoch)
        self._print(
            f"{task.title} epoch {epoch}/{task.epochs}  loss {row['loss']:.4f}"
            f"  held-out accuracy {row['held_out_accuracy']:.4f}"
            f"  {images / row['seconds']:,.0f} images/s  {duration(self._seconds(now) or 0.0)} left"
        )

    def tick(self) -> None:
        """Show the state of the whole run if it is time to; called every second or so."""
        now = time.monotonic()
        if self._live:
            self._bar.update(self._whole, completed=self.left.share(), description=self._state(now))
        elif now - self._printed >= SILENCE:
            self._print(self._state(now))

    def _state(self, now: float) -> str:
        """Such as `12 % done  3,190 images/s  42 min 10 s left, to about 14:05`."""
        speed, seconds = self.left.images_per_second(now), self._seconds(now)
        parts = [f"{100 * self.left.share():.0f} % done"]
        if speed and seconds is not None:
            parts += [f"{speed:,.0f} images/s", f"{duration(seconds)} left, to about {clock(seconds)}"]
        return "  ".join(parts)

    def _seconds(self, now: float) -> float | None:
        left = self.left.seconds(now)
        return None if left is None else max(0.0, min(left, self._until - now))

    def _print(self, line: str) -> None:
        self._printed = time.monotonic()
        self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)


class StepTimer:
    """Times the steps of a stage and prints each when it is done; on a terminal also the present one.

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
    """People read what is printed, as it is printed."""
    return sys.stdout.isatty()


def console() -> Console:
    """Console for tables: as wide as the terminal, or as a table needs without one."""
    return Console(width=None if is_terminal() else 120, highlight=False, markup=False)


def duration(seconds: float) -> str:
    """Format seconds: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """Format the time of day so many seconds from now: `14:05`; with the date if that is more than a day."""
    return time.strftime("%H:%M" if seconds < 86400 else "%a %d %b, %H:%M", time.localtime(time.time() + seconds))


def about(seconds: float) -> str:
    """Format seconds that are known roughly: `40 s`, `49 min`, `2 h 05 min`."""
    return f"{round(seconds / 60)} min" if 120 <= seconds < 3570 else duration(seconds)
