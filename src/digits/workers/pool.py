"""One door for work: named jobs go to the workers of a pool, and results come back as they are done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from typing import Any

Job = tuple[str, tuple[Any, ...]]  # its name, which no other one has, and the arguments that are its own
END = object()


class Killed(BrokenExecutor):
    """The process of a job was killed, most likely because the memory did not suffice."""


class JobError(Exception):
    """A bug showed itself in the process of a job; the message is its traceback."""


class Pool(ABC):
    """Workers that run jobs side by side.

    workers: jobs at a time. shares_files: the workers see the files of this machine. hear: takes each line that a job
    prints, where they do not.
    """

    workers: int
    shares_files = True
    hear: Callable[[str], None] = print

    def submit(
        self,
        function: Callable[..., Any],
        jobs: Iterable[Job | None],
        shared: tuple[Any, ...] = (),
        tries: int = 1,
        patient: bool = False,
    ) -> Iterator[tuple[str, Any]]:
        """Call `function(*arguments, *shared)` for every job; give each name and result as soon as it is there.

        Args:
            function: importable by the workers.
            jobs: the next one is asked for only when a worker is free; None where there is none before another result.
            shared: the same for all jobs, such as the tables; travels once.
            tries: of a job whose process is killed.
            patient: give `Killed` as the result of a job that was killed as often, instead of raising it.
        """
        self._share(shared)
        source, again, running, deaths = iter(jobs), deque[Job](), dict[str, Job](), Counter[str]()
        ended = False
        while running or again or not ended:
            while len(running) < self.workers and (again or not ended):
                job = again.popleft() if again else next(source, END)
                ended = ended or job is END
                if job is None or job is END:
                    break
                name, arguments = running[job[0]] = job
                self._begin(name, function, arguments)
            for name, result in self._ended() if running else ():
                job = running.pop(name)
                deaths[name] += isinstance(result, Killed)
                if not isinstance(result, Killed) or (deaths[name] >= tries and patient):
                    yield name, result
                elif deaths[name] < tries:
                    again.append(job)
                else:
                    raise result

    @abstractmethod
    def _share(self, shared: tuple[Any, ...]) -> None:
        """Give the workers the last arguments of all jobs to come."""

    @abstractmethod
    def _begin(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Give a job to a free worker."""

    @abstractmethod
    def _ended(self) -> list[tuple[str, Any]]:
        """Wait a moment for jobs to end: their names and results."""
