"""Workers: on GPUs, of which there is none here, so the environment says there is; and with a killed launcher."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from digits.errors import UserError
from digits.stages import train


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_do_not_count(monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert train._count_gpus() == 0


def test_members_at_a_time():
    assert train._at_a_time(workers=None, gpus=2, threads=2) == 2
    assert train._at_a_time(workers=1, gpus=2, threads=2) == 1
    assert train._at_a_time(workers=5, gpus=0, threads=2) == 5
    assert train._at_a_time(workers=None, gpus=0, threads=10_000) == 1
    with pytest.raises(UserError, match="3 workers, but 2 GPUs here; give WORKERS=2 or fewer"):
        train._at_a_time(workers=3, gpus=2, threads=2)


def claim(folder, claimed, release):
    train._claim_gpu(folder, 2)
    train._claim_gpu(folder, 2)  # the second member of a worker keeps the worker's GPU
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
            train._claim_gpu(tmp_path, 2)
    finally:
        release.set()
        for worker in workers:
            worker.join()


def test_workers_end_with_a_process_that_is_killed_before_it_hands_out_all_jobs(tmp_path):
    script = """
import os, signal, sys, time, joblib
from pathlib import Path
from digits.stages import train

def jobs():
    yield from [joblib.delayed(Path(sys.argv[1]).touch)()] * 2  # they leave in pairs
    while not Path(sys.argv[1]).exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)

train._parallel(2)(jobs())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "begun"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL  # and nobody holds its output any more, for which run() waits
