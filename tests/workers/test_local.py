"""Worker processes: with a GPU each, of which there is none here, so the environment names two; and left alone."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from digits.workers import gpus as devices
from digits.workers import local


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
    assert devices.worthwhile(rates.__getitem__, gpus, most) == expected


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


def test_every_result_comes_back_and_the_workers_stay_the_same(tmp_path):
    with local.processes(2, tmp_path) as submit:
        assert sorted(submit(abs, [(-1,), (-2,), (-3,)])) == [1, 2, 3]
        first, second = (set(submit(pid_of, [(0.5,)] * 4)) for _ in range(2))
    assert first == second and len(first) == 2
    with local.processes(1, tmp_path) as submit:
        assert set(submit(pid_of, [(0.0,)] * 2)) == {os.getpid()}


def pid_of(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_workers_end_with_the_block_and_a_single_one_may_be_apart(tmp_path):
    with local.processes(1, tmp_path, apart=True) as submit:
        (worker,) = set(submit(pid_of, [(0.0,)] * 2))
    assert worker != os.getpid()
    while Path(f"/proc/{worker}").exists():  # it has been told to end
        time.sleep(0.05)


def test_a_job_is_asked_for_only_when_a_worker_is_free(tmp_path):
    ended = []

    def jobs():
        for number in range(6):
            assert len(ended) >= number - 2
            yield (pid_of, 0.1)

    with local.processes(2, tmp_path) as submit:
        for result in submit(call, jobs()):
            ended.append(result)
    assert len(ended) == 6


def test_an_error_of_a_job_is_raised_and_the_next_block_has_new_workers(tmp_path):
    with pytest.raises(ZeroDivisionError), local.processes(2, tmp_path) as submit:
        list(submit(divmod, [(1, 1), (1, 0)]))
    with local.processes(2, tmp_path) as submit:
        assert len(set(submit(threads, [()] * 2))) == 1


def call(function, *arguments):
    return function(*arguments)


def threads() -> tuple[str, ...]:
    """The watch over the process that was started is among them."""
    names = tuple(sorted(thread.name for thread in threading.enumerate()))
    assert any("watch" in name for name in names)
    return names


def test_workers_end_with_a_process_that_is_killed_before_it_hands_out_all_jobs(tmp_path):
    script = """
import os, signal, sys, time
from pathlib import Path
from digits.workers import local

def jobs():
    yield from [(Path(sys.argv[1]),)] * 2
    while not Path(sys.argv[1]).exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)

with local.processes(2, Path()) as submit:
    list(submit(Path.touch, jobs()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "begun"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL  # and nobody holds its output any more, for which run() waits
