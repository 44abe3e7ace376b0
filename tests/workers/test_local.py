"""Worker processes: with a GPU each, of which there is none here, so the environment names two; and left alone."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from digits.errors import UserError
from digits.workers import gpus, local


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_do_not_count(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert gpus.count() == 0


def test_members_at_a_time():
    assert local.at_a_time(workers=None, gpus=2, threads=2) == 2
    assert local.at_a_time(workers=1, gpus=2, threads=2) == 1
    assert local.at_a_time(workers=5, gpus=0, threads=2) == 5
    assert local.at_a_time(workers=None, gpus=0, threads=10_000) == 1
    with pytest.raises(UserError, match="3 workers, but 2 GPUs here; give WORKERS=2 or fewer"):
        local.at_a_time(workers=3, gpus=2, threads=2)


def claim(folder, claimed, release):
    gpus.claim(folder, 2)
    gpus.claim(folder, 2)  # the second member of a worker keeps the worker's GPU
    claimed.put(os.environ["CUDA_VISIBLE_DEVICES"])
    release.wait(60)


def test_every_worker_shows_itself_another_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    spawn = multiprocessing.get_context("spawn")
    claimed, release = spawn.Queue(), spawn.Event()
    workers = [spawn.Process(target=claim, args=(tmp_path, claimed, release)) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        assert {claimed.get(timeout=60), claimed.get(timeout=60)} == {"4", "7"}
        with pytest.raises(RuntimeError, match="2 GPUs and more workers"):
            gpus.claim(tmp_path, 2)
    finally:
        release.set()
        for worker in workers:
            worker.join()


def test_every_result_comes_back_and_the_workers_stay_the_same(tmp_path):
    with local.processes(2, tmp_path) as start:
        assert sorted(start(abs, [(-1,), (-2,), (-3,)])) == [1, 2, 3]
        first, second = (set(start(pid_of, [(0.5,)] * 4)) for _ in range(2))
    assert first == second and len(first) == 2
    with local.processes(1, tmp_path) as start:
        assert set(start(pid_of, [(0.0,)] * 2)) == {os.getpid()}


def pid_of(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_a_function_runs_apart_without_gpus():
    assert local.apart(os.getenv, "CUDA_VISIBLE_DEVICES") == "-1"
    assert os.getenv("CUDA_VISIBLE_DEVICES") != "-1"


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

with local.processes(2, Path()) as start:
    list(start(Path.touch, jobs()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "begun"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL  # and nobody holds its output any more, for which run() waits
