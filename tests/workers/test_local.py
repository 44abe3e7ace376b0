"""Worker processes: with a GPU each, of which there is none here, so the environment names two; and left alone."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from digits.data import Rows
from digits.workers import gpus as devices
from digits.workers import local
from digits.workers.pool import JobError, Killed


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_do_not_count(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert devices.count() == 0


@pytest.mark.parametrize(
    ("rates", "gpus", "most", "expected"),
    [
        ({1: 100, 2: 190, 4: 300, 8: 310}, 1, 16, 4),  # twice as many gain little
        ({1: 100, 2: 190, 4: 300, 8: 310}, 1, 3, 2),  # no more members than there are
        ({1: 100, 2: 105}, 1, 16, 1),  # a large net fills the GPU by itself
        ({1: 100, 2: 190, 4: 0}, 1, 16, 2),  # memory does not suffice
        ({1: 0}, 1, 16, 1),  # training is too short to measure further
        ({2: 200, 4: 380, 8: 390}, 2, 16, 4),
        ({}, 4, 3, 4),
    ],
)
def test_members_at_a_time_on_gpus(rates, gpus, most, expected):
    assert devices.best_workers(rates.__getitem__, gpus, most) == expected


def claim(folder, claimed, release):
    devices.claim(folder, 2, 4)
    devices.claim(folder, 2, 4)  # the second member of a worker keeps the worker's place
    claimed.put(os.environ["CUDA_VISIBLE_DEVICES"])
    release.wait(60)


def test_workers_share_the_gpus_evenly(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    spawn = multiprocessing.get_context("spawn")
    claimed, release = spawn.Queue(), spawn.Event()
    workers = [spawn.Process(target=claim, args=(tmp_path, claimed, release)) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        assert sorted(claimed.get(timeout=60) for _ in workers) == ["4", "4", "7", "7"]
        with pytest.raises(RuntimeError, match="more workers than the 4 that share the GPUs"):
            devices.claim(tmp_path, 2, 4)
    finally:
        release.set()
        for worker in workers:
            worker.join()


def values(pool, function, *arguments, **options) -> list:
    """Results of a function that is called once with each tuple of arguments."""
    jobs = [(f"job {number}", given) for number, given in enumerate(arguments)]
    return [value for _, value in pool.submit(function, jobs, **options)]


def test_every_result_comes_back_and_the_workers_stay_the_same(tmp_path):
    with local.processes(2, tmp_path) as pool:
        assert sorted(pool.submit(abs, [("a", (-1,)), ("b", (-2,)), ("c", (-3,))])) == [("a", 1), ("b", 2), ("c", 3)]
        first, second = (set(values(pool, pid_of, *[(0.5,)] * 4)) for _ in range(2))
    assert first == second and len(first) == 2
    with local.processes(1, tmp_path) as pool:
        assert set(values(pool, pid_of, *[(0.0,)] * 2)) == {os.getpid()}


def pid_of(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_workers_end_with_the_block_and_a_single_one_may_be_apart(tmp_path):
    with local.processes(1, tmp_path, apart=True) as pool:
        (worker,) = set(values(pool, pid_of, *[(0.0,)] * 2))
    assert worker != os.getpid()
    assert not Path(f"/proc/{worker}").exists()


def test_a_job_is_asked_for_only_when_a_worker_is_free(tmp_path):
    ended = []

    def jobs():
        for number in range(6):
            assert len(ended) >= number - 2
            if number == 3 and len(ended) < 3:
                yield None
            yield f"{number}", (0.1,)

    with local.processes(2, tmp_path) as pool:
        for result in pool.submit(pid_of, jobs()):
            ended.append(result)
    assert len(ended) == 6


def test_large_arrays_are_shared_and_their_files_go_with_the_block(tmp_path):
    rows = Rows(np.arange(200_000).reshape(2000, 10, 10), np.zeros(2000, np.int32), 10)
    with local.processes(2, tmp_path) as pool:
        shared = {"shared": (rows, np.arange(3))}
        assert values(pool, look, ("memmap",), ("memmap",), **shared) == [(199_999, 3)] * 2
        assert len(list(tmp_path.glob(".tmp-*"))) == 1
    assert list(tmp_path.iterdir()) == []


def look(kind: str, rows: Rows, few: np.ndarray) -> tuple[int, int]:
    assert type(rows.images).__name__ == kind
    return int(rows.images.max()), len(few)


def test_a_disk_without_room_for_them_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", refuse)
    with local.processes(2, tmp_path) as pool, pytest.raises(OSError, match=rf"No space left.*{tmp_path}"):
        values(pool, look, ("memmap",), shared=(np.arange(100_000),))


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [False, True])
def test_a_job_that_is_killed_is_tried_again_and_harms_no_other(tmp_path, fresh):
    log = tmp_path / "log" if fresh else None
    with local.processes(2, tmp_path, log=log) as pool:
        jobs = [(name, (name, tmp_path)) for name in ("dies once", "lives", "dies")]
        found = dict(pool.submit(live, jobs, tries=2, patient=True))
        assert isinstance(found.pop("dies"), Killed)
        assert found == {"dies once": 2, "lives": 1}
        with pytest.raises(Killed, match="by signal 9"):
            list(pool.submit(live, [("dies", ("dies", tmp_path))]))


def live(name: str, folder: Path) -> int:
    """How often it was called."""
    with (folder / name).open("a+") as file:
        file.write("x")
    calls = (folder / name).stat().st_size
    if name == "dies" or (name == "dies once" and calls == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return calls


def test_every_job_with_a_log_has_a_process_of_its_own(tmp_path):
    with local.processes(1, tmp_path, log=tmp_path / "log") as pool:
        assert len({*values(pool, told_pid, (), ()), os.getpid()}) == 3
    assert (tmp_path / "log").read_text() == "hello\n" * 2


def told_pid() -> int:
    print("hello")
    return os.getpid()


def test_an_error_of_a_job_is_raised_and_the_next_block_has_new_workers(tmp_path):
    with pytest.raises(JobError, match="ZeroDivisionError"), local.processes(2, tmp_path) as pool:
        values(pool, divmod, (1, 1), (1, 0))
    with local.processes(2, tmp_path) as pool:
        assert len(set(values(pool, threads, (), ()))) == 1


def threads() -> tuple[str, ...]:
    """The watch over the process that was started is among them."""
    names = tuple(sorted(thread.name for thread in threading.enumerate()))
    assert any("watch" in name for name in names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("log", [None, "log"])
def test_workers_end_with_a_process_that_is_killed_before_it_hands_out_all_jobs(tmp_path, log):
    script = """
import os, signal, sys, time
from pathlib import Path
from digits.workers import local

def jobs():
    yield from [(name, (Path(sys.argv[1]),)) for name in "ab"]
    while not Path(sys.argv[1]).exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)

with local.processes(2, Path(), log=Path(sys.argv[2]) if sys.argv[2:] else None) as pool:
    list(pool.submit(Path.touch, jobs()))
"""
    arguments = [tmp_path / "begun", *([tmp_path / log] if log else [])]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL  # and nobody holds its output any more, for which run() waits
