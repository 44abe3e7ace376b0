"""The part of the fault injection that `make test-all` runs: `make evaluate` on a run that took no training."""

from __future__ import annotations

import contextlib
import io
import random
import time

import pytest

import finished_run
from digits import data
from digits.stages import submit
from driver import RUN, Place, assert_same, begin, check_whole, end, execute, finish, gone, kill, line_of, write_data
from faults import change_digit, disk, flip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Place:
    """A finished run and what `make evaluate` said of it."""
    folder = tmp_path_factory.mktemp("judged")
    place = Place(folder / "output", write_data(folder / "data"))
    dataset = data.read(data.find(str(place.data)), place.output / "cache")
    made = finished_run.finish(place.run, dataset)
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(made, {})
    finish(place, "evaluate")
    return place


@pytest.fixture
def copy(judged, tmp_path) -> Place:
    return judged.copy(tmp_path / "output")


def test_killed_and_begun_again_it_ends_in_the_same_bytes(copy, judged):
    draw = random.Random(1)
    for _ in range(2):
        process = begin(*copy.arguments("evaluate"))
        time.sleep(draw.uniform(0.5, 3))
        kill(process.pid, "group", draw)
        end(process)
        assert gone(process.pid)
        check_whole(copy)
    finish(copy, "evaluate")
    assert_same(copy, judged, "evaluate")


def test_on_a_full_disk_it_is_a_line_and_goes_on_when_there_is_room(judged, tmp_path):
    with disk(tmp_path / "disk", 2**25) as small:
        place = judged.copy(small.folder / "output")
        for path in place.output.glob(f"{RUN}/evaluation/*"):
            path.unlink()
        small.remount(f"size={small.used() + 2**16}")
        line = line_of(execute(place, "evaluate"))
        assert str(place.run) in line
        assert "No space left on device; free some space, then run the same command again" in line
        check_whole(place, finished=True)
        small.remount("ro")
        assert "make it writable" in line_of(execute(place, "evaluate"))
        small.remount(f"size={2**25},rw")
        finish(place, "evaluate")
        assert_same(place, judged, "evaluate")


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("oof.npz", flip, "damaged (oof.npz); make it whole: make submit"),
        ("members/small-s0-f1/member.json", change_digit, "member small-s0-f1"),
    ],
)
def test_a_damaged_file_is_named(file, damage, words, copy):
    damage(copy.run / file, random.Random(2))
    assert words in line_of(execute(copy, "evaluate"))


def test_a_changed_digit_in_the_record_of_a_run_changes_nothing(copy, judged):
    change_digit(copy.run / "run.json", random.Random(3))
    assert "its copy .run.json serves" in finish(copy, "evaluate", check=False).err
    assert_same(copy, judged, "evaluate")
