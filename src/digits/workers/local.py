"""This machine's worker processes: how they are started, given work and ended.

A worker is a Python process of its own that takes jobs from a socket. Not `multiprocessing` nor joblib: their pools
break as a whole when one worker is killed, and cannot be started on the workers of a Dask cluster.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any

import numpy as np

from digits.errors import UserError, plain
from digits.files.atomic import TEMPORARY
from digits.training import backend
from digits.workers import gpus as devices
from digits.workers.pool import JobError, Killed, Pool

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
TICK_SECONDS = 0.5
LARGE = 100_000  # bytes of an array that workers share instead of copying it


@dataclass(frozen=True)
class Setup:
    """Settings of a worker.

    fresh: run every job in a process of its own, forked from the worker, which has imported the backend by then.
    folder: holds the locks of the GPUs. gpus: of the machine. workers: how many share them.
    """

    fresh: bool = False
    folder: Path | None = None
    gpus: int = 0
    workers: int = 1


@contextmanager
def processes(
    workers: int, folder: Path, gpus: int = 0, apart: bool = False, log: Path | None = None
) -> Iterator[Pool]:
    """Start worker processes, which end with the block, or with this process if it is killed.

    A single worker is this process itself. Large arrays that jobs share are not copied.

    Args:
        workers: processes; they stay the same within the block, so that each imports its backend once.
        folder: holds the locks of the GPUs, and the shared arrays for as long as the block lasts.
        gpus: of the machine; the workers share them.
        apart: give a single worker a process of its own, too.
        log: file for what the workers print. With it every job has a process of its own, so that any number of jobs
            needs the memory of one, and a job that is killed takes nothing else along.
    """
    if workers == 1 and not apart and log is None:
        yield _Here()
        return
    with contextlib.ExitStack() as opened:
        out = opened.enter_context(log.open("ab")) if log else None
        setup = Setup(log is not None, folder, gpus, workers)
        pool = _Processes([opened.enter_context(Worker(setup, out, out)) for _ in range(workers)], folder)
        opened.callback(pool.forget)
        yield pool


class _Here(Pool):
    """This process itself as the only worker."""

    workers = 1

    def _share(self, shared: tuple[Any, ...]) -> None:
        self.shared = shared

    def _begin(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.result = name, function(*arguments, *self.shared)

    def _ended(self) -> list[tuple[str, Any]]:
        return [self.result]


class _Processes(Pool):
    def __init__(self, workers: list[Worker], folder: Path) -> None:
        self.workers = len(workers)
        self.folder = folder
        self.idle: list[Worker] = workers
        self.busy: list[tuple[str, Worker]] = []
        self.files: list[Path] = []

    def _share(self, shared: tuple[Any, ...]) -> None:
        self.forget()
        self.shared = tuple(self._in_files(value) for value in shared)

    def _in_files(self, value: Any) -> Any:
        """A value whose large arrays stand in files that workers map into their memory."""
        if isinstance(value, np.ndarray) and value.nbytes > LARGE:
            path = self.folder / f"{TEMPORARY}{uuid.uuid4().hex[:8]}.npy"
            self.files.append(path)
            try:
                np.save(path, value, allow_pickle=False)
            except OSError as error:
                error.filename = error.filename or str(path)
                raise
            return _File(path)
        if is_dataclass(value):
            return replace(value, **{field.name: self._in_files(getattr(value, field.name)) for field in fields(value)})
        return value

    def forget(self) -> None:
        """Delete the files of what jobs shared."""
        while self.files:
            self.files.pop().unlink(missing_ok=True)

    def _begin(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        worker = self.idle.pop()
        worker.begin(function, (*arguments, *self.shared))
        self.busy.append((name, worker))

    def _ended(self) -> list[tuple[str, Any]]:
        ready = wait([worker.connection for _, worker in self.busy], TICK_SECONDS)
        ended = [(name, worker) for name, worker in self.busy if worker.connection in ready]
        self.busy = [job for job in self.busy if job not in ended]
        self.idle += [worker for _, worker in ended]
        return [(name, worker.result()) for name, worker in ended]


@dataclass(frozen=True)
class _File:
    """An array in a file."""

    path: Path


def _opened(value: Any) -> Any:
    """A value with its arrays from files."""
    if isinstance(value, _File):
        return np.load(value.path, mmap_mode="r", allow_pickle=False)
    if is_dataclass(value):
        return replace(value, **{field.name: _opened(getattr(value, field.name)) for field in fields(value)})
    return value


class Worker:
    """A process that runs jobs, one at a time; a new one is started where it was killed.

    setup: see there. out, err: for what it prints; None for where this process prints.
    """

    def __init__(self, setup: Setup, out: IO[bytes] | int | None = None, err: IO[bytes] | int | None = None) -> None:
        self.setup, self.out, self.err = setup, out, err
        self._start()

    def _start(self) -> None:
        self.connection, theirs = Pipe()
        command = [sys.executable, "-P", "-c", f"from digits.workers import local; local.serve({theirs.fileno()})"]
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        with theirs:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self.out,
                stderr=self.err,
                pass_fds=[theirs.fileno()],
                env=os.environ | ONE_THREAD | {"PYTHONPATH": path},
            )
        self._send(os.getpid())
        self._send(self.setup)

    def _send(self, value: Any) -> None:
        with contextlib.suppress(ConnectionError):  # it was killed: `result` says so
            self.connection.send(value)

    def begin(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Send the process a job."""
        if self.process.returncode is not None:  # of the job before
            self._start()
        self._send((function, arguments))

    def result(self) -> Any:
        """Wait for what the function returns; `Killed` where its process ended before it did.

        Raises:
            UserError, JobError: what it raised.
        """
        try:
            value, error = self.connection.recv()
        except (EOFError, ConnectionError):
            self.end()
            value, error = _ended(self.process.returncode), None
        if error:
            raise error
        return value

    def end(self) -> None:
        """End the process, and with it its job."""
        self.connection.close()  # which a worker that waits for a job of its own notices
        if self.setup.fresh:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def serve(descriptor: int) -> None:
    """Be a worker: run what comes through a socket, until the process at its other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that ends this one
    connection = Connection(descriptor)
    with contextlib.suppress(EOFError, ConnectionError):
        launcher, setup = connection.recv(), connection.recv()
        if setup.gpus:
            devices.claim(setup.folder, setup.gpus, setup.workers)
        if setup.fresh:
            backend.load()
        else:
            _end_with(launcher)
        while True:
            job = connection.recv()
            connection.send(_in_a_fork(connection, *job) if setup.fresh else _outcome(*job))


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Result or error of a function; exceptions of libraries may not travel, so that they become text."""
    try:
        return function(*map(_opened, arguments)), None
    except Exception as error:
        line = plain(error)
        return None, JobError(traceback.format_exc()) if line is None else UserError(line)


def _in_a_fork(
    launcher: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Any, Exception | None]:
    """Run a job as `_outcome` does, in a process that ends with this one, which ends with the launcher."""
    ours, theirs = Pipe(duplex=False)
    parent, pid = os.getpid(), os.fork()
    if not pid:
        try:
            _end_with(parent)
            theirs.send(_outcome(function, arguments))
            sys.stdout.flush()
        finally:
            os._exit(0)
    theirs.close()
    if launcher in wait([ours, launcher]):  # nobody waits for the result
        os.kill(pid, signal.SIGKILL)
    try:
        outcome = ours.recv()
    except (EOFError, OSError):
        outcome = None
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return outcome or (_ended(status), None)


def _ended(status: int) -> Killed:
    """Result of a job whose process ended with this exit status, negative for a signal, and without a result."""
    return Killed(
        f"its process was killed, by signal {-status}" if status < 0 else f"its process ended, status {status}"
    )


def _end_with(launcher: int) -> None:
    """End this process soon after the one that started it: a killed call leaves nobody behind."""

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
