"""What people see while they wait and when it is done: live on a terminal, plain elsewhere."""

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

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

WINDOW = 120.0  # seconds of training that the time left is judged by: what slowed it down before is forgotten
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
    """Time that is left for networks trained side by side, from their speed over the last `WINDOW` seconds.

    The speed is that of a busy worker, so that it stays right when fewer networks than workers are left. What happens
    between two networks, such as predictions and the start of the next one, counts as time of a busy worker too.

    Args:
        tasks: by name, in the order in which they will be trained.
        workers: networks at a time.
    """

    def __init__(self, tasks: Mapping[str, Task], workers: int) -> None:
        self.workers = workers
        self._tasks = tasks
        self._images = {name: float((task.epochs - task.done) * task.images) for name, task in tasks.items()}
        self._total = self._macs_left()
        self._samples: deque[tuple[float, float, float, float]] = deque()  # time, MACs, images and busy seconds so far

    def update(self, now: float, name: str, epochs: float) -> None:
        """A network has trained that many of its epochs, those of earlier calls among them."""
        left = max(0.0, (self._tasks[name].epochs - epochs) * self._tasks[name].images)
        trained = max(0.0, self._images[name] - left)  # none where a network restarts from an earlier epoch
        _, macs, images, busy = self._at(now)
        self._images[name] = left
        self._samples.append((now, macs + trained * self._tasks[name].macs, images + trained, busy))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    def end(self, now: float, name: str) -> None:
        """A network is trained no further, whatever was left of it."""
        self._samples.append(self._at(now))
        self._images[name] = 0.0

    def share(self) -> float:
        """Share of the training that was left at the start and is done, 0..1."""
        return 1 - self._macs_left() / self._total if self._total else 1.0

    def images_per_second(self, now: float) -> float | None:
        """Speed of all workers together; None before anything is trained."""
        _, images, busy = self._recent(now)
        return images / busy * self._busy() if images else None

    def seconds(self, now: float) -> float | None:
        """Seconds until the last network is trained; None before anything is trained."""
        macs, _, busy = self._recent(now)
        left = [self._images[name] * task.macs for name, task in self._tasks.items()]
        return makespan([work * busy / macs for work in left], self.workers) if macs else None

    def _recent(self, now: float) -> tuple[float, float, float]:
        """MACs, images and busy seconds of the last `WINDOW` seconds."""
        _, *last = self._at(now)
        _, *first = self._samples[0] if self._samples else self._at(now)
        return tuple(after - before for after, before in zip(last, first, strict=True))

    def _at(self, now: float) -> tuple[float, float, float, float]:
        if not self._samples:
            return now, 0.0, 0.0, 0.0
        before, macs, images, busy = self._samples[-1]
        return now, macs, images, busy + (now - before) * self._busy()

    def _busy(self) -> int:
        return min(self.workers, sum(images > 0 for images in self._images.values()))

    def _macs_left(self) -> float:
        return sum(self._images[name] * task.macs for name, task in self._tasks.items())


def makespan(seconds: Iterable[float], workers: int) -> float:
    """Time that workers need for tasks of these lengths: each takes the next one when it is free."""
    free = [0.0] * workers
    for taken in seconds:
        heapq.heapreplace(free, free[0] + taken)
    return max(free)


class TrainingLines:
    """Shows how the networks of a run are trained: a line an epoch, with the time left for all of them.

    On a terminal also a bar for the whole run; elsewhere a line a minute where no epoch ends.

    Args:
        tasks: by name, in the order in which they will be trained.
        workers: networks at a time.
        live: draw the bar; needs a terminal.
        until: by `time.monotonic`, when training ends at the latest.
    """

    def __init__(self, tasks: Mapping[str, Task], workers: int, live: bool, until: float = math.inf) -> None:
        self.left = TimeLeft(tasks, workers)
        self._tasks = tasks
        self._until = until
        self._live = live
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
            self.after(name, message["row"], message["images"])
        elif "end" in message:
            self.left.end(time.monotonic(), name)
        else:
            self.within(name, message["epoch"], message["share"])

    def within(self, name: str, epoch: int, share: float) -> None:
        """A share of an epoch, 0..1, is done; epochs count from 0."""
        self.left.update(time.monotonic(), name, epoch + share)

    def after(self, name: str, row: Mapping[str, float], images: int) -> None:
        """An epoch is done: its row of the history, and the images that were trained on."""
        now, done, task = time.monotonic(), int(row["epoch"]), self._tasks[name]
        self.left.update(now, name, done)
        self._print(
            f"{task.title} epoch {done}/{task.epochs}  loss {row['loss']:.4f}"
            f"  held-out accuracy {row['held_out_accuracy']:.4f}"
            f"  {images / row['seconds']:,.0f} images/s  {duration(self._seconds(now) or 0.0)} left"
        )

    def tick(self) -> None:
        """Show the state of the whole run where it is time to; called every second or so."""
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


def clock(seconds: float) -> str:
    """The time of day that many seconds from now, such as `14:05`; with the day where it is not within one."""
    return time.strftime("%H:%M" if seconds < 86400 else "%a %d %b, %H:%M", time.localtime(time.time() + seconds))


def about(seconds: float) -> str:
    """Seconds that are known roughly: `40 s`, `49 min`, `2 h 05 min`."""
    return f"{round(seconds / 60)} min" if 120 <= seconds < 3570 else duration(seconds)
