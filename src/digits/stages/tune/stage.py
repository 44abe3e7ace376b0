"""Search for a better config: a chief that keeps the books, workers that run trials, and what came of it."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from digits import config, data, progress
from digits.config import differences
from digits.data import Dataset, Rows
from digits.errors import UserError
from digits.files import records
from digits.files.lock import locked
from digits.pipeline import Session
from digits.runs import RunFolder
from digits.stages.tune import results, trial
from digits.stages.tune.space import Space, check_options, load
from digits.stages.tune.trial import GAVE_UP, Job
from digits.training import backend

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
LEASE = 30.0  # seconds without a sign of life after which another worker gets a trial
FAREWELL = 10.0  # seconds that the chief stays, once all is done, to tell it to workers elsewhere
MOST_DEATHS = 3  # of a local worker in a row, before the search stops
LIMITS = ("trials", "hours", "trial_minutes")  # of the tune settings: may change on resuming


@dataclass(frozen=True)
class Crew:
    """How many workers there are on this machine, and where they write.

    output: folder of all runs.
    """

    workers: int
    output: Path


def crew(workers: int | None, threads: int, output: Path) -> Crew:
    """Workers of this machine: as many as are asked for, else as its cores hold networks of so many threads."""
    return Crew(backend.room_for(threads) if workers is None else workers, output)


def command(session: Session, space_file: Path | None, workers: int | None) -> None:
    """Search as the command line asks for."""
    base = config.load(session.config_path)
    name = "demo.yaml" if session.source.kind == "demo" else "accuracy.yaml"
    space_file = space_file or Path("configs/spaces") / name
    searched = load(space_file, base, list(session.overrides))
    name = session.run or space_file.stem
    RunFolder.named(session.output, name)
    print(f"Search: {session.output / 'tune' / name}, of {space_file}", flush=True)
    run(searched, space_file, session.dataset, name, crew(workers, searched.base.training.threads, session.output))


def run(space: Space, space_file: Path, dataset: Dataset, name: str, crew: Crew, address: str | None = None) -> None:
    """Search until the trials or the hours are used up; goes on with a search that was stopped.

    Args:
        space: what is searched, and the base config.
        space_file: where it came from; named in what is written.
        dataset: to search on.
        name: of the search; results go to `tune/<name>` below the folder of all runs.
        crew: the workers of this machine.
        address: host:port for workers of other machines; by default a free port of this machine alone.

    Raises:
        UserError: another process works on the search, or it was begun otherwise.
    """
    folder = crew.output / "tune" / name
    settings = space.base
    if address:
        _check_free(address)
    with locked(folder):
        _claim(folder, space, dataset)
        if crew.workers:
            forks()  # they import TensorFlow while this process does
        check_options(space, str(space_file))
        ended = _search(space, space_file, dataset, name, None, crew, address)
        results.show(ended, progress.console())
        if settings.tune.nested:
            _nested(space, space_file, dataset, name, crew)


def work(chief: str, dataset: Dataset, crew: Crew) -> None:
    """Run trials of the search at `chief` (host:port), on the same rows, until it is over.

    Raises:
        UserError: that is no address, or a worker ended badly.
    """
    _split(chief)
    with _hands(chief, dataset, crew, None) as hands:
        bad = sum(hands.wait())
    if bad:
        raise UserError(f"{bad} of {crew.workers} workers ended badly; what they said stands above")


def _claim(folder: Path, space: Space, dataset: Dataset) -> None:
    """Take the folder for this search, or check that it was begun with the same space, data and settings."""
    settings = space.base.model_dump(mode="json")
    settings["tune"] = {key: value for key, value in settings["tune"].items() if key not in LIMITS}
    record = {"config": settings, "space": space.record(), "data": dataset.fingerprint}
    path = folder / "search.json"
    if records.stands_twice(path):
        before = records.read_twice(path, config=dict, space=dict, data=str, versions=dict)
        changed = differences(record, {key: before[key] for key in record})
        if changed:
            raise UserError(
                f"search {folder} was begun otherwise: {', '.join(changed)}; choose another RUN=, or delete {folder}"
            )
        if before["versions"] != backend.versions():
            logger.warning("search %s was begun with other versions of its packages", folder)
    else:
        before = record | {"versions": backend.versions(), "machine": backend.machine()}
    records.write_twice(path, before)


def _search(
    space: Space, space_file: Path, dataset: Dataset, name: str, outer: int | None, crew: Crew, address: str | None
) -> results.Ended:
    """One search, on all rows or on those outside an outer fold, with its books and results in a folder of its own."""
    backend.load()  # keras-tuner imports it, loudly
    from digits.stages.tune.oracle import open_books
    from digits.stages.tune.worker import Chief, announce

    name = name if outer is None else f"{name}/outer-{outer}"
    folder = crew.output / "tune" / name
    listening = address or f"{LOOPBACK}:{_free_port()}"
    announce("chief", listening)
    config = space.base.model_dump(mode="json")
    search = {"name": name, "config": config, "space": space.record(), "data": dataset.fingerprint, "outer": outer}
    oracle = open_books(space, search)
    chief = Chief(oracle, folder)
    what = results.What(space, space_file, dataset, folder, outer)
    board = results.Board(what, max(crew.workers, 1))
    board.skip(oracle.books())
    if oracle.has_work:
        threading.Thread(target=chief.search, daemon=True).start()
        if address:
            print(f"Listening at {address}: make tune-worker CHIEF={address}, in networks that you trust", flush=True)
        with _hands(listening, dataset, crew, folder / "workers.log") as hands, board, _interruptible() as interrupted:
            while not oracle.is_done:
                hands.tend(oracle)
                for lost in oracle.release_silent(LEASE):
                    board.say(f"worker {lost} fell silent; another one goes on with its trial")
                board.update(oracle.books(), oracle.spent)
                results.check(oracle.books())
                oracle.check()
                if interrupted.wait(0.5):
                    raise KeyboardInterrupt
            board.update(oracle.books(), oracle.spent)
            _see_off(oracle, hands)
        oracle.save()
        oracle.check()
    return results.write(what, oracle.books(), oracle.spent)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets. An exception in its place could come while keras-tuner's lock is held, for good."""
    event = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _see_off(oracle: Any, hands: _Hands) -> None:
    """Stay until every worker has heard that it is over, but not for those that died."""
    until = time.monotonic() + FAREWELL
    while (oracle.tuner_ids or hands.are_busy) and time.monotonic() < until:
        time.sleep(0.2)


class _Hands:
    """The worker processes of this machine. chief: host:port. log: for what they say; None lets them print."""

    def __init__(self, chief: str, dataset: Dataset, crew: Crew, log: Path | None) -> None:
        self.chief, self.dataset, self.crew, self.log = chief, dataset, crew, log
        self.deaths = 0
        self.context = forks()
        self.theirs, self.ours = self.context.Pipe(duplex=False)  # tells them when this process is gone
        self.processes = [self._start() for _ in range(crew.workers)]

    def _start(self) -> BaseProcess:
        name = f"worker-{uuid.uuid4().hex[:8]}"  # one with `chief` in it keras-tuner would take for the chief
        arguments = (self.chief, name, self.dataset, self.crew.output, self.theirs, self.log)
        process = self.context.Process(target=_work, args=arguments, name=name)
        process.start()
        return process

    @property
    def are_busy(self) -> bool:
        """Whether one of them is still there."""
        return any(process.is_alive() for process in self.processes)

    def tend(self, oracle: Any) -> None:
        """Start a worker in the place of one that died, or that left before the last trial had ended.

        Raises:
            UserError: they die faster than trials end.
        """
        for place, process in enumerate(self.processes):
            if process.is_alive() or (process.exitcode == 0 and not oracle.has_work):
                continue
            if process.exitcode:
                oracle.release(process.name)
                oracle.check()
                self.deaths += 1
                if process.exitcode == GAVE_UP:
                    raise UserError(f"a worker gave up: {self._last_word()}")
                if self.deaths >= MOST_DEATHS + len(oracle.end_order):
                    raise UserError(f"workers died {self.deaths} times, see {self.log}: {self._last_word()}")
            self.processes[place] = self._start()

    def _last_word(self) -> str:
        """The last line of the log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else "it left no word"

    def wait(self) -> list[bool]:
        """Wait for all of them; whether each ended badly."""
        for process in self.processes:
            process.join()
        return [process.exitcode != 0 for process in self.processes]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def _work(*arguments: Any) -> None:
    """What a worker process does. Imported there: this process may have no need of TensorFlow."""
    from digits.stages.tune import worker

    worker.work(*arguments)


def forks() -> Any:
    """Where processes come from that have TensorFlow imported as soon as they start; it begins to import now."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["digits.stages.tune.stage.preload"])
    forkserver.ensure_running()
    return context


@contextmanager
def _hands(chief: str, dataset: Dataset, crew: Crew, log: Path | None) -> Iterator[_Hands]:
    hands = _Hands(chief, dataset, crew, log)
    try:
        yield hands
    finally:
        hands.end()


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        return server.getsockname()[1]


def _check_free(address: str) -> None:
    """Whether one can listen there.

    Raises:
        UserError: one cannot; keras-tuner's server would not say so.
    """
    try:
        socket.create_server(_split(address)).close()
    except OSError as error:
        raise UserError(f"cannot listen at '{address}' ({error}); give another host:port") from None


def _split(address: str) -> tuple[str, int]:
    """Host and port.

    Raises:
        UserError: it is not host:port.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise UserError(f"'{address}' is no address; give host:port, such as 192.168.0.7:8700")
    return host, int(port)


def _nested(space: Space, space_file: Path, dataset: Dataset, name: str, crew: Crew) -> None:
    """Search anew outside each outer fold, train what was found there, and score it on the rows left out.

    The mean of these scores is an honest one of the whole procedure: no row had a say in how it was scored.
    """
    base = space.base
    outer = data.assign(dataset.train_images, dataset.train_labels, base.folds.count, base.seed)
    everything = Rows(dataset.train_images, dataset.targets)
    jobs = []
    for fold in base.folds.trained:
        ended = _search(space, space_file, dataset, name, fold, crew, None)
        folder = crew.output / "tune" / name / f"outer-{fold}" / "scored"
        jobs.append(Job(ended.best_config(), everything, outer, range(fold, fold + 1), folder))
    print(f"Scoring what was found on the {len(jobs)} outer folds", flush=True)
    with ProcessPoolExecutor(crew.workers or 1, forks()) as processes:
        scores = list(processes.map(trial.score_once, jobs))
    results.write_nested(crew.output / "tune" / name / "nested.json", scores, dataset)
