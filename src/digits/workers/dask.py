"""Run jobs on the workers of a Dask cluster: the tables travel once to each worker, every result comes back whole.

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
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from distributed import Client, Future, KilledWorker, LocalCluster, Worker, get_worker, wait

from digits.config import differences
from digits.errors import UserError
from digits.training import backend

JobT = TypeVar("JobT")
SharedT = TypeVar("SharedT")
ResultT = TypeVar("ResultT")

ANSWER_SECONDS = 20  # for a scheduler that is there to answer, and for its workers to join
LOOK_SECONDS = 10  # between two looks whether any worker is left
FRUITLESS = 3  # rounds of all jobs in which none is done


class Killed(Exception):
    """The process of a job was killed."""


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """A client of the scheduler at `address`, such as tcp://host:8786.

    Raises:
        UserError: nobody answers there, no worker has joined it, or this project is not installed there.
    """
    _quieten(logging.CRITICAL)  # what it says of lost connections, we say in a line
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
        print(f"Cluster: {address}, {at_a_time(client)} jobs at a time", flush=True)
        yield client


def serve(workers: int | None, port: int) -> None:
    """Be a cluster on this machine alone, until Ctrl-C or a signal to end.

    Args:
        workers: processes, each of which does one job at a time; by default one for each core.
        port: of 127.0.0.1, where the scheduler listens.

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
    """Have `distributed` say nothing below this level; some of its parts were given levels of their own."""
    for name in ("distributed", "distributed.client", "distributed.gc"):
        logging.getLogger(name).setLevel(level)


def _reason(error: BaseException) -> BaseException:
    """What an error began with."""
    return _reason(error.__cause__) if error.__cause__ else error


def at_a_time(client: Client) -> int:
    """Jobs that the workers do at a time: one in each of their threads."""
    return sum(client.ncores().values())


def run(
    client: Client,
    function: Callable[[JobT, SharedT], ResultT],
    jobs: dict[str, JobT],
    shared: SharedT,
    hear: Callable[[str], None] = print,
) -> Iterator[tuple[str, ResultT]]:
    """Call `function(job, shared)` for every job on the workers; give each name and result as soon as it is there.

    A job whose worker dies is begun anew on another one. Where workers offer the resource GPU, every job takes one.

    Args:
        client: of `connect`.
        function: importable on the workers, which need this project and the same versions.
        jobs: by name, in the order in which they are begun.
        shared: travels once to each worker.
        hear: takes each line that a job prints.

    Raises:
        UserError: the scheduler was lost, a worker is no fit, or a job's workers died again and again.
    """
    session = uuid.uuid4().hex
    client.subscribe_topic(session, lambda event: hear(event[1]))
    waiting, fruitless = dict(jobs), 0
    while waiting and fruitless < FRUITLESS:
        before = len(waiting)
        for name, result in _round(client, session, function, waiting, shared):
            del waiting[name]
            yield name, result
        fruitless = fruitless + 1 if len(waiting) == before else 0
    if waiting:
        raise UserError(f"workers died {FRUITLESS} times before a job was done; see their logs (out of memory?)")


def _round(
    client: Client,
    session: str,
    function: Callable[[JobT, SharedT], ResultT],
    jobs: dict[str, JobT],
    shared: SharedT,
) -> Iterator[tuple[str, ResultT]]:
    """The results of these jobs, except those that were killed, or lost their tables with the last worker."""
    workers = client.scheduler_info()["workers"].values()
    resources = {"GPU": 1} if any("GPU" in worker["resources"] for worker in workers) else None
    tables = client.scatter(shared, broadcast=True, hash=False)
    began = uuid.uuid4().hex
    futures = {
        client.submit(
            _call, function, job, tables, software(), key=f"{name}/{began}/{session}", resources=resources
        ): name
        for name, job in jobs.items()
    }
    while futures:
        for future in _ended(client, futures):
            name = futures.pop(future)
            try:
                result = future.result()
            except Killed:
                continue
            except CancelledError:
                if client.status != "running":
                    raise UserError(
                        f"the scheduler {client.scheduler.address} was lost; what is finished is kept: "
                        "start it and its workers again, and the same command goes on"
                    ) from None
                continue
            except KilledWorker as error:
                raise UserError(
                    f"{name}: its workers died, {error.allowed_failures + 1} of them; see their logs (out of memory?)"
                ) from None
            yield name, result


def _ended(client: Client, futures: Iterable[Future]) -> list[Future]:
    """The futures that came to their end, whatever it is; says so where nobody is left to work on the others."""
    with contextlib.suppress(TimeoutError, CancelledError):
        wait(list(futures), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
    ended = [future for future in futures if future.status != "pending"]
    if not ended and not at_a_time(client):
        print("No workers are left; waiting for new ones ...", flush=True)
    return ended


def _call(
    function: Callable[[JobT, SharedT], ResultT], job: JobT, shared: SharedT, expected: dict[str, str]
) -> ResultT:
    """On a worker: do the job, if the worker has the versions for it."""
    changed = differences(software(), expected)
    if changed:
        raise UserError(
            f"worker {get_worker().address} has other versions: {', '.join(changed)}; install the same there"
        )
    return function(job, shared)


def follow(command: list[str]) -> None:
    """On a worker: run a command for a job. What it prints is printed where the run is.

    It is killed as soon as nobody waits for the job any more.

    Raises:
        Killed: it was.
        UserError: it ended in an error of one line.
        RuntimeError: it ended in another error.
    """
    worker = get_worker()
    key = worker.get_current_task()
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        threading.Thread(target=_watch, args=(worker, key, process), daemon=True).start()
        for line in process.stdout:
            worker.log_event(key.rpartition("/")[2], line.rstrip("\n"))
        status = process.wait()
        errors.seek(0)
        said = errors.read().strip()
    if status < 0:
        raise Killed(f"on worker {worker.address}, by signal {-status}")
    if status == 2:
        raise UserError(f"on worker {worker.address}: {said.rpartition('error: ')[2]}")
    if status:
        raise RuntimeError(f"on worker {worker.address}: {said}")


def _watch(worker: Worker, key: str, process: subprocess.Popen[str]) -> None:
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
