"""The installed command line on a Dask cluster of this machine: `cluster-up`, and `submit --scheduler`."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from command import complain, start, succeed
from ports import free_port

pytestmark = pytest.mark.torture

SHORT = ["--data", "demo", "--set", "folds.count=2", "--set", "architectures=[mlp]", "--set", "training.epochs=15"]
FILES = ("submission.csv", "oof.npz", "test.npz", "members/mlp-s0-f0/oof.npz")


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """Of a run that this machine trained."""
    folder = tmp_path_factory.mktemp("output")
    succeed("submit", "--output", folder, "--run", "here", *SHORT)
    return folder


@contextmanager
def cluster(workers: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of a cluster, and the address of its scheduler."""
    port = free_port()
    process = start("cluster-up", "--workers", workers, "--port", port)
    address = f"tcp://127.0.0.1:{port}"
    assert process.stdout.readline().startswith(f"{workers} workers at {address}. In another terminal: make train")
    try:
        yield process, address
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def trainings(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """What trains members in a cluster."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it may end while we look
            if child.status() != psutil.STATUS_ZOMBIE and "local.serve" in " ".join(child.cmdline()):
                found.append(child)
    return found


def until(process: subprocess.Popen[str], words: str) -> None:
    while words not in process.stdout.readline():
        assert process.poll() is None, process.stderr.read()


def test_a_worker_killed_in_the_middle_changes_no_byte(output):
    """Nor does a call that ended before, whose trainings end with it."""
    with cluster(workers=2) as (machines, address):
        arguments = ["submit", "--output", output, "--run", "there", *SHORT, "--scheduler", address]
        stopped = start(*arguments)
        until(stopped, "epoch 2/15")
        stopped.kill()
        stopped.communicate()
        while trainings(machines):  # for ever, where they do not end
            time.sleep(0.1)
        process = start(*arguments)
        until(process, "epoch 2/15")
        trainings(machines)[0].parent().kill()
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "OOF accuracy " in out
    for name in FILES:
        assert (output / "there" / name).read_bytes() == (output / "here" / name).read_bytes()


def test_a_lost_scheduler_keeps_what_is_finished(output):
    arguments = ["submit", "--output", output, "--run", "lost", *SHORT]
    with cluster(workers=1) as (machines, address):
        hurry = os.environ | {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
        process = start(*arguments, "--scheduler", address, env=hurry)
        until(process, "mlp-s0-f1 [2/2] epoch 2/15")
        assert f"no cluster on port {address.rpartition(':')[2]}" in complain("cluster-up", "--port", address[16:])
        machines.kill()
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.startswith(
        f"error: the scheduler {address} was lost; what is finished is kept: start it and its workers"
    )
    assert len(err.splitlines()) == 1
    assert "1 of 2 members are trained already" in succeed(*arguments)
    for name in FILES:
        assert (output / "lost" / name).read_bytes() == (output / "here" / name).read_bytes()
