"""A wall clock that jumps by days, and files of another century."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from driver import STAGES, assert_same, finish
from faults import jumping_clock

TIMES = (0, 4_000_000_000)  # 1970 and 2096, in seconds


@pytest.mark.torture
def test_a_clock_that_jumps_changes_nothing(empty, reference, tmp_path, tally):
    path = os.pathsep.join([str(jumping_clock(tmp_path / "clock", 1)), os.environ.get("PYTHONPATH", "")])
    for stage in STAGES:
        finish(empty, stage, env={"PYTHONPATH": path})
        assert_same(empty, reference, stage)
    tally(faults=len(STAGES))


@pytest.mark.torture
def test_files_from_the_future_and_from_1970_change_nothing(place, reference, tally):
    draw = random.Random(0)
    for stage in STAGES:
        age(place.output, draw)
        finish(place, stage)
        assert_same(place, reference, stage)
    tally(faults=len(STAGES))


def age(folder: Path, draw: random.Random) -> None:
    for path in folder.rglob("*"):
        os.utime(path, (draw.choice(TIMES),) * 2)
