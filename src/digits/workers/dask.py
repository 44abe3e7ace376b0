"""The workers of a Dask cluster: the tables travel once to each worker, every result comes back whole.

It speaks to `distributed` itself, not through joblib's backend for it, because that waits for ever for a job whose
workers died (joblib 1.6).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker, LocalCluster, Worker, get_worker, wait
from distributed.comm import CommClosedError

from digits.config import differences
from digits.errors import UserError
from digits.training import backend
from digits.workers import local
from digits.workers.pool import Killed, Pool

ANSWER_SECONDS = 20  # for a scheduler that is there to answer, and for its workers to join
LOOK_SECONDS = 10  # between two looks whether any worker is left
NO_WORKERS = "No workers are left; waiting for new ones ..."


@contextmanager
def connect(address: str) -> Iterator[DaskPool]:
    """The workers of the scheduler at `address`, such as tcp://host:8786.

    Raises:
        UserError: nobody answers there, no worker has joined it, or this project is not installed there.
    """
    _quieten(logging.CRITICAL)  # lost connections end in one line of ours
    try:
        client = Client(address, timeout=ANSWER_SECONDS)
    except (OSError, ValueError) as error:
        raise UserError(f"no Dask scheduler at {address} ({error}); start one: make cluster-up") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=ANSWER_SECONDS)
        except TimeoutError:
            raise UserError(f"the scheduler at {address} has no workers; start some: dask worker {address}") from None
        try:
            client.run_on_scheduler(software)
            client.run(software)
        except Exception as error:  # an exception of a worker comes as its text
            if "ModuleNotFoundError" not in f"{type(error)} {error}":
                raise
            raise UserError(
                f"the scheduler at {address}, or a worker of it, lacks this project ({error}); install it there too"
            ) from None
        pool = DaskPool(client)
        print(f"Cluster: {address}, {pool.workers} jobs at a time", flush=True)
        yield pool


def serve(workers: int | None, port: int) -> None:
    """Run a cluster on this machine alone, until Ctrl-C or a signal to end.

    workers: processes, each of which does one job at a time; by default one for each core. port: of 127.0.0.1, where
    the scheduler listens.

    Raises:
        UserError: the port is taken.
    """
    _quieten(logging.ERROR)
    workers = workers or backend.room_for(threads=1)
    try:
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", scheduler_port=port, dashboard_address=":0"
        )
    except RuntimeError as error:
        raise UserError(f"no cluster on port {port}: {_reason(error)}; choose another with PORT=") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with cluster:
        address = cluster.scheduler_address
        print(f"{workers} workers at {address}. In another terminal: make train SCHEDULER={address}", flush=True)
        print("Ctrl-C ends the cluster.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def _quieten(level: int) -> None:
    """Silence `distributed` below this level; some of its parts were given levels of their own."""
    for name in ("distributed", "distributed.client", "distributed.gc"):
        logging.getLogger(name).setLevel(level)


def _reason(error: BaseException) -> BaseException:
    """First cause of an error."""
    return _reason(error.__cause__) if error.__cause__ else error


class DaskPool(Pool):
    """The workers of a Dask cluster, which need this project and the same versions.

    Where workers offer the resource GPU, every job takes one.
    """

    shares_files = False

    def __init__(self, client: Client) -> None:
        self.client = client
        self.session = uuid.uuid4().hex
        self.running: dict[Future, str] = {}
        self.shared: tuple[Any, ...] = ()
        self.tables: Future | None = None  # what jobs share, on the workers
        client.subscribe_topic(self.session, lambda event: self.hear(event[1]))

    @property
    def workers(self) -> int:
        """Jobs that the workers do at a time: one in each of their threads, but at least one."""
        return max(1, self._threads())

    def _threads(self) -> int:
        try:
            return sum(self.client.ncores().values())
        except CommClosedError:
            raise self._lost() from None

    def _lost(self) -> UserError:
        return UserError(
            f"the scheduler {self.client.scheduler.address} was lost; what is finished is kept: "
            "start it and its workers again, and the same command resumes"
        )

    def _share(self, shared: tuple[Any, ...]) -> None:
        self.shared, self.tables = shared, None

    def _begin(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        while self.tables is None:
            try:
                (self.tables,) = self.client.scatter([self.shared], broadcast=True, hash=False)
            except TimeoutError:  # after as long as a scheduler has to answer
                print(NO_WORKERS, flush=True)
        workers = self.client.scheduler_info()["workers"].values()
        resources = {"GPU": 1} if any("GPU" in worker["resources"] for worker in workers) else None
        key = f"{name}/{uuid.uuid4().hex}/{self.session}"
        job = (function, arguments, self.tables, software())
        self.running[self.client.submit(_call, *job, key=key, resources=resources)] = name

    def _ended(self) -> list[tuple[str, Any]]:
        """Results of the jobs that ended; prints a line where no worker is left for the others."""
        with contextlib.suppress(TimeoutError, CancelledError):
            wait(list(self.running), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
        ended = [future for future in self.running if future.status != "pending"]
        if not ended and not self._threads():
            print(NO_WORKERS, flush=True)
        finished = [future for future in ended if future.status == "finished"]  # first, for the others may raise
        return [(self.running.pop(future), self._result(future)) for future in finished or ended]

    def _result(self, future: Future) -> Any:
        """Result of a job; `Killed` where it, its worker, or the last worker that had the tables was killed.

        Raises:
            UserError: the scheduler was lost, or a worker is no fit.
        """
        try:
            return future.result()
        except Killed as error:
            return error
        except KilledWorker as error:
            return Killed(f"its workers died, {error.allowed_failures + 1} of them; see their logs (out of memory?)")
        except CancelledError:
            if self.client.status != "running":
                raise self._lost() from None
            self.tables = None
            return Killed("its worker died, the last one that had the tables")


def _call(
    function: Callable[..., Any], arguments: tuple[Any, ...], shared: tuple[Any, ...], expected: dict[str, str]
) -> Any:
    """Do a job in a process of its own on a worker, if the worker has the versions for it.

    Keras draws initial weights from random states that are one for all threads of a process, and TensorFlow keeps its
    number of threads as long as a process lives. What the job prints is printed where the run is. It is killed as soon
    as nobody waits for it any more.

    Raises:
        Killed: it was.
        UserError, JobError: the job did.
    """
    worker = get_worker()
    key = worker.get_current_task()
    changed = differences(software(), expected)
    if changed:
        raise UserError(f"worker {worker.address} has other versions: {', '.join(changed)}; install the same there")
    with local.Worker(local.Setup(), out=subprocess.PIPE) as own:
        reader = threading.Thread(target=_pass_on, args=(worker, key, own.process), daemon=True)
        reader.start()
        threading.Thread(target=_watch, args=(worker, key, own.process), daemon=True).start()
        own.begin(function, (*arguments, *shared))
        try:
            result = own.result()
        except UserError as error:
            raise UserError(f"on worker {worker.address}: {error}") from None
    reader.join()
    if isinstance(result, Killed):
        raise Killed(f"on worker {worker.address}: {result}")
    return result


def _pass_on(worker: Worker, key: str, process: subprocess.Popen[bytes]) -> None:
    """Print what a process prints where the run is."""
    for line in process.stdout:
        worker.log_event(key.rpartition("/")[2], line.decode(errors="replace").rstrip("\n"))


def _watch(worker: Worker, key: str, process: subprocess.Popen[bytes]) -> None:
    """Kill the process of a task as soon as the scheduler has taken the task back, or is lost."""
    while process.poll() is None:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":
            process.kill()
        time.sleep(0.5)


@functools.cache
def software() -> dict[str, str]:
    """The versions of all that decides a result, this project's own by its sources."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return backend.versions() | {"digits": digest.hexdigest()[:12]}
