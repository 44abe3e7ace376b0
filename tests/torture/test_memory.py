"""Too little memory: for one process, and for all of them together."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from driver import RUN, Place, assert_same, begin, check_whole, end, execute, finish, gone, kill, line_of, processes

CGROUPS = Path("/sys/fs/cgroup/memory")  # the first version of them; the second has another layout
MIB = 2**20


def finished_members(place: Place) -> set[str]:
    return {path.name for path in place.output.glob(f"{RUN}/members/[!.]*")}


@pytest.mark.torture
@pytest.mark.parametrize("stage", ["submit", "cluster", "evaluate", "eda", "export"])
@pytest.mark.parametrize("limit", [300, 500, 1200])
def test_a_process_at_its_limit_says_so_in_a_line_or_ends_well(limit, stage, place, reference, tally):
    """A limit of the address space, in MiB. A library may end the process, with a signal or, as OpenBLAS does, with
    words of its own; nothing is lost.
    """
    if stage == "submit":
        shutil.rmtree(place.run / "members")
    limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (limit * MIB, limit * MIB))}
    done = execute(place, stage, **limited)
    check_whole(place)
    if done.status == 1 and "OpenBLAS" in done.err:
        assert re.fullmatch("OpenBLAS error: Memory allocation still failed .*", done.err.strip())
    elif done.status > 0:
        assert "memory" in line_of(done)
    finish(place, stage)
    assert_same(place, reference, stage)
    tally(faults=1)


@pytest.mark.torture
def test_a_worker_that_the_system_kills_is_one_line_and_keeps_finished_members(empty, reference, tally):
    process = begin(*empty.arguments("submit"))
    while not list(empty.output.glob(f"{RUN}/members/.*/.checkpoint.npz")):
        assert process.poll() is None
    (worker, *_) = [pid for pid in processes(process.pid) if "local.serve" in command_of(pid)]
    os.kill(worker, 9)
    line = line_of(end(process))
    assert "a worker process was killed, most likely because the memory did not suffice" in line
    assert "WORKERS=" in line
    kept = finished_members(empty)
    said = finish(empty, "submit").out
    assert not kept or f"{len(kept)} of 2 members are trained already" in said
    assert_same(empty, reference, "submit")
    tally(kills=1)


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group of processes; skips the test where the system lets us make none."""
    folder = CGROUPS / f"torture-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"this system gives no control group: {error}")
    yield folder
    folder.rmdir()


@pytest.mark.torture
@pytest.mark.parametrize("limit", [200, 400, 700])
def test_all_together_at_their_limit_lose_nothing(limit, cgroup, empty, reference, tally):
    """A limit of the memory that is really used, in MiB: the system kills one process or the other."""
    (cgroup / "memory.limit_in_bytes").write_text(str(limit * MIB))
    process = begin(
        *empty.arguments("submit"), preexec_fn=lambda: (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    )
    done = end(process)
    if done.status > 0:
        assert "memory" in line_of(done)
    kill(process.pid, "group", random.Random(0))
    assert gone(process.pid)
    check_whole(empty)
    finish(empty, "submit")
    assert_same(empty, reference, "submit")
    tally(faults=1)
