"""Jobs on a Dask cluster of processes on this machine: workers that die, that are no fit, and a scheduler that does."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster, Nanny, Scheduler, SpecCluster

from command import start
from digits.errors import UserError
from digits.workers import dask as remote
from digits.workers.pool import JobError, Killed
from ports import free_port

pytestmark = pytest.mark.slow

ROWS = b"rows" * 100_000


def cluster(workers: int = 2, **options: object) -> LocalCluster:
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": ":0", "silence_logs": 50} | options
    return LocalCluster(n_workers=workers, **options)


@pytest.fixture(scope="module")
def address():
    """Of two workers that nothing happens to."""
    with cluster() as running:
        yield running.scheduler_address


def jobs_of(jobs):
    return [(name, (job,)) for name, job in jobs.items()]


def results(address, function, jobs, tries=1):
    with remote.connect(address) as pool:
        return dict(pool.submit(function, jobs_of(jobs), (ROWS,), tries))


def measure(job: int, rows: bytes) -> int:
    print("job", job, "is done")
    return len(rows) + job


def test_every_result_comes_back_and_every_line_is_printed_here(address, capfd):
    assert results(address, measure, {"a": 1, "b": 2, "c": 3}) == {"a": 400_001, "b": 400_002, "c": 400_003}
    said = capfd.readouterr().out
    assert f"Cluster: {address}, 2 jobs at a time" in said
    for job in (1, 2, 3):
        assert f"job {job} is done\n" in said


def test_a_result_is_there_before_the_others_are(address, tmp_path):
    with remote.connect(address) as pool:
        coming = pool.submit(wait_for, jobs_of({"late": tmp_path / "go", "soon": None}), (ROWS,))
        assert next(coming)[0] == "soon"
        (tmp_path / "go").touch()
        assert [name for name, _ in coming] == ["late"]


def wait_for(path: Path | None, rows: bytes) -> None:
    while path and not path.exists():
        time.sleep(0.05)


def fail(job: int, rows: bytes) -> None:
    raise UserError(f"the loss of {job} diverged")


def test_a_mistake_is_the_users_here_too(address):
    with pytest.raises(UserError, match="the loss of 1 diverged"):
        results(address, fail, {"a": 1})


def test_a_worker_with_other_versions_is_refused_by_name(address, monkeypatch):
    remote.software.cache_clear()
    monkeypatch.setattr(remote.backend, "versions", lambda: {"tensorflow": "1.15"})
    with pytest.raises(
        UserError, match=r"worker tcp://127.0.0.1:\d+ has other versions: .*tensorflow.*install the same"
    ):
        results(address, measure, {"a": 1})
    remote.software.cache_clear()


def run_for_ever(folder: Path | None, rows: bytes) -> None:
    if folder:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)


def test_a_process_that_nobody_waits_for_is_ended(address, tmp_path):
    with remote.connect(address) as pool:
        coming = pool.submit(run_for_ever, jobs_of({"long": tmp_path, "soon": None}), (ROWS,))
        assert next(coming)[0] == "soon"
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.05)
    process = Path("/proc") / (tmp_path / "pid").read_text()
    while process.exists():  # for ever, where it is not ended
        time.sleep(0.05)


def fail_as(error: str, rows: bytes) -> None:
    if error == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
    raise {"user": UserError("no room"), "bug": ZeroDivisionError("division")}[error]


@pytest.mark.parametrize(
    ("cause", "error", "message"),
    [
        ("user", UserError, r"on worker tcp://.*: no room$"),
        ("signal", Killed, r"on worker tcp://.*: its process was killed, by signal 9"),
        ("bug", JobError, "ZeroDivisionError"),
    ],
)
def test_a_process_that_fails_says_why(address, cause, error, message):
    with pytest.raises(error, match=message):
        results(address, fail_as, {"a": cause}, tries=3)


def test_tables_that_no_worker_can_take_wait_for_one(monkeypatch, capfd):
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 5)
    with cluster(1) as running, remote.connect(running.scheduler_address) as pool:
        running.scale(0)
        while pool.client.ncores():
            time.sleep(0.1)
        threading.Timer(8, running.scale, [1]).start()
        assert dict(pool.submit(measure, jobs_of({"a": 1}), (ROWS,))) == {"a": 400_001}
    assert "No workers are left; waiting for new ones" in capfd.readouterr().out


def die_once(folder: Path, rows: bytes) -> int:
    """Kill the worker, the first time."""
    try:
        (folder / "died").mkdir()
    except FileExistsError:
        return len(rows)
    kill_worker()


def kill_worker() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


@pytest.mark.parametrize("workers", [2, 1])
def test_a_killed_worker_costs_no_job(tmp_path, workers):
    """Where it was the only one, the tables are lost with it and travel again."""
    with cluster(workers) as running:
        found = results(running.scheduler_address, die_once, dict.fromkeys("abc", tmp_path), tries=3)
    assert found == dict.fromkeys("abc", 400_000)


def die(job: int, rows: bytes) -> None:
    kill_worker()


@pytest.mark.parametrize("workers", [2, 1])
def test_a_job_that_kills_every_worker_is_given_up(workers):
    """By Dask, or by us where the tables were lost each time."""
    with cluster(workers) as running, pytest.raises(Killed, match=r"its workers died, 4 of|its worker died, the last"):
        results(running.scheduler_address, die, {"a": 1}, tries=2)


def test_a_lost_scheduler_is_said_in_a_line(tmp_path):
    port = free_port()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}  # this file is to be imported there
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "5s"}),
        start("cluster-up", "--port", port, "--workers", 2, env=environment) as running,
    ):
        try:
            running.stdout.readline()
            with remote.connect(f"tcp://127.0.0.1:{port}") as pool:
                coming = pool.submit(wait_for, jobs_of({"soon": None, "late": tmp_path / "never"}), (ROWS,))
                assert next(coming)[0] == "soon"
                running.kill()
                with pytest.raises(UserError, match=r"the scheduler tcp://127.0.0.1:\d+ was lost; what is finished"):
                    next(coming)
        finally:
            running.kill()


def test_a_scheduler_that_is_not_there(monkeypatch):
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 1)
    with pytest.raises(UserError, match=r"no Dask scheduler at tcp://127.0.0.1:1 .*make cluster-up"):
        results("tcp://127.0.0.1:1", measure, {})
    with pytest.raises(UserError, match="no Dask scheduler at nonsense://x"):
        results("nonsense://x", measure, {})


def test_a_scheduler_without_workers(monkeypatch):
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 1)
    with cluster(0) as running, pytest.raises(UserError, match="has no workers; start some: dask worker tcp://"):
        results(running.scheduler_address, measure, {"a": 1})


def test_a_worker_without_this_project_is_said_in_a_line(tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/__init__.py").touch()
    with cluster(0) as running:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", running.scheduler_address, "--no-nanny"]
        worker = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, stderr=subprocess.DEVNULL)
        try:
            with pytest.raises(UserError, match=r"lacks this project .*No module named 'digits.workers'.*; install it"):
                results(running.scheduler_address, measure, {"a": 1})
        finally:
            worker.kill()
            worker.wait()


def parent(job: int, rows: bytes) -> int:
    return os.getppid()


def test_gpus_take_the_jobs_where_there_are_any():
    options = {"nthreads": 1, "silence_logs": 50}
    specs = {
        "processor": {"cls": Nanny, "options": options},
        "card": {"cls": Nanny, "options": options | {"resources": {"GPU": 1}}},
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": ":0"}}
    with SpecCluster(specs, scheduler, silence_logs=50) as running:
        found = results(running.scheduler_address, parent, {"a": 1, "b": 2, "c": 3})
        assert set(found.values()) == {running.workers["card"].pid}
