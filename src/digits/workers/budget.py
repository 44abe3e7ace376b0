"""Time on this machine: how long members take, and which of them fit into a time limit."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from digits.progress import about, clock
from digits.runs import Member
from digits.training.cost import PASSES, Work, networks, short, training_macs

MARGIN = 1.15  # by which a member may take longer than expected
RESERVE, RESERVE_SECONDS = 0.05, 600.0  # kept for what comes after training: share of the time, but at most so long
MOST_HOURS = 100_000.0


@dataclass(frozen=True)
class Deadline:
    """A time limit. began: by `time.monotonic`, when the limited time began."""

    began: float
    hours: float = math.inf

    @property
    def training_ends(self) -> float:
        """End of training by `time.monotonic`; the rest of the time is for ensembling and what follows."""
        return self.began + 3600 * self.hours - self._reserve

    @property
    def training_stops(self) -> float:
        """Latest end of a member by `time.monotonic`: one that takes longer than expected may use half of the rest."""
        return self.training_ends + self._reserve / 2

    @property
    def _reserve(self) -> float:
        """Seconds for what comes after training."""
        return min(RESERVE * 3600 * self.hours, RESERVE_SECONDS)

    def left(self) -> float:
        """Seconds that are left for training."""
        return self.training_ends - time.monotonic()

    def hours_for(self, seconds: float) -> float:
        """Hours that this call would need for so much more training; rounded up to a hundredth."""
        seconds += time.monotonic() - self.began
        return math.ceil(min(seconds / (1 - RESERVE), seconds + RESERVE_SECONDS) / 36) / 100


@dataclass(frozen=True)
class Resources:
    """Machines that train members, and the time for it.

    workers: members at a time; None for as many as the GPUs train fastest, or the cores have room for. scheduler:
    address of a Dask scheduler, whose workers train instead of this machine. deadline: members that will probably not
    end in time are left out. patient: a member that fails does not stop the others.
    """

    workers: int | None = None
    scheduler: str | None = None
    deadline: Deadline = dataclasses.field(default_factory=lambda: Deadline(time.monotonic()))
    patient: bool = False


@dataclass(frozen=True)
class Speed:
    """Speed of one worker of this machine while all of them train.

    images: trained on in a second. start: seconds to build and compile a network.
    """

    images: float
    start: float

    def seconds(self, work: Work, slowdown: float = 1.0) -> float:
        """Expected time of a member."""
        predicting = work.predicted / PASSES / self.images  # a forward pass only
        return self.start + slowdown * (work.epochs * self.epoch(work) + predicting)

    def epoch(self, work: Work) -> float:
        """Expected time of an epoch and of scoring it."""
        return (work.images + work.scored / PASSES) / self.images


@dataclass
class Budget:
    """Plan of the members that fit into the time.

    works: what is left to do for every missing member, in the order of training. workers: members at a time. speeds:
    by architecture, as the warm-up measured them; members of others are expected to take no time. took: seconds that
    an epoch of a member took in this call; None until it is trained.
    """

    works: Mapping[Member, Work]
    workers: int
    deadline: Deadline
    speeds: Mapping[str, Speed]
    took: Callable[[Member], float | None]
    begun: list[Member] = dataclasses.field(default_factory=list)

    def in_time(self) -> Iterator[Member]:
        """The members that will probably end in time, decided when a worker asks for the next one."""
        while len(self.begun) < len(self.works):
            seconds = self.seconds()
            waiting = [member for member in self.works if member not in self.begun]
            member = _first_that_fits(waiting, seconds, self.deadline.left())
            if member is None:
                least = about(min(seconds[member] for member in waiting))
                print(f"No time for {len(waiting)} of {len(self.works)} members: {least} or more each", flush=True)
                return
            self.begun.append(member)
            yield member

    def seconds(self) -> dict[Member, float]:
        """Expected time of every member: by the warm-up, times how much longer than expected the latest ones took."""
        slowdowns = {member: factor for member in self.begun if (factor := self._slowdown(member))}
        expected = {}
        for member, work in self.works.items():
            similar = [factor for other, factor in slowdowns.items() if other.architecture == member.architecture]
            latest = (similar or list(slowdowns.values()))[-self.workers :]
            speed = self.speeds.get(member.architecture)
            expected[member] = speed.seconds(work, max(latest, default=1.0)) if speed else 0.0
        return expected

    def _slowdown(self, member: Member) -> float | None:
        """Time that an epoch took over the time expected of it; None of a member that is not trained."""
        taken, speed = self.took(member), self.speeds.get(member.architecture)
        return taken / speed.epoch(self.works[member]) if taken and speed else None

    def stops(self, member: Member) -> float:
        """End of a member's training by `time.monotonic`, after which it can still predict in time."""
        speed, work = self.speeds.get(member.architecture), self.works[member]
        predicting = speed.seconds(dataclasses.replace(work, epochs=0)) if speed else 0.0
        return self.deadline.training_stops - predicting

    def schedule(self) -> dict[Member, float]:
        """Members that fit, each with the second in which it ends."""
        seconds, left = self.seconds(), self.deadline.left()
        waiting, ends, free = list(seconds), {}, [0.0] * self.workers
        while waiting:
            worker = free.index(min(free))
            member = _first_that_fits(waiting, seconds, left - free[worker])
            if member is None:
                break
            waiting.remove(member)
            free[worker] += seconds[member]
            ends[member] = free[worker]
        return ends

    def too_little(self) -> str:
        """Message for the user where no member fits."""
        seconds = {member: taken for member, taken in self.seconds().items() if taken}
        member = min(seconds, key=seconds.__getitem__)
        hours = self.deadline.hours_for(MARGIN * seconds[member])
        epochs = int(self.works[member].epochs * self.deadline.left() / MARGIN / seconds[member])
        fewer = f", or SET=training.epochs={epochs} and another RUN=" if epochs > 0 else ""
        return (
            f"no network fits into {self.deadline.hours:g} hours: the quickest, {member.name}, takes "
            f"{about(seconds[member])} here; give HOURS={hours:g} or more (in a kernel MAX_HOURS){fewer}"
        )


def _first_that_fits(members: Collection[Member], seconds: Mapping[Member, float], left: float) -> Member | None:
    """The first of these members that will probably end within the seconds that are left."""
    return next((member for member in members if MARGIN * seconds[member] <= left), None)


def print_recipe(every: Mapping[Member, Work], missing: Mapping[Member, Work]) -> None:
    """Print what the whole recipe costs on any machine."""
    total, left = training_macs(every.values()), training_macs(missing.values())
    rest = f", {short(left)} of them still to do" if left < total else ""
    print(f"Recipe: {networks(len(every))}, {short(total)} training multiply-adds (MACs){rest}", flush=True)


def print_expected(budget: Budget) -> float:
    """Print how long the members take here that fit into the time; their seconds."""
    ends, count = budget.schedule(), len(budget.works)
    seconds = max(ends.values())
    images = sum(budget.works[member].images * budget.works[member].epochs for member in ends) / (seconds or 1)
    some = f"{len(ends)} of the {networks(count)} to train, " if len(ends) < count else ""
    print(
        f"Expected: {some}{about(seconds)} with {networks(budget.workers)} at a time "
        f"({images:,.0f} images/s), to about {clock(seconds)}",
        flush=True,
    )
    return seconds
