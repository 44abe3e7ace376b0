"""How members are spread over GPUs; there is none here, so the environment says there is."""

import multiprocessing
import os

import pytest

from digits.stages import train


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("4,7", 2), ("GPU-a, GPU-b,GPU-c", 3)])
def test_gpus_are_counted_from_what_the_process_may_see(monkeypatch, visible, count):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert train._count_gpus() == count


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
