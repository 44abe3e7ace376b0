"""SIGKILL at random moments of every stage: of all its processes, of the first one alone, or of one worker."""

from __future__ import annotations

import random
import shutil
import time

import pytest

from driver import STAGES, WRITES, Place, assert_same, begin, check_whole, end, finish, gone, kill, line_of

VICTIMS = ("group", "group", "launcher", "worker")
KILLS = {"submit": 24, "cluster": 6, "evaluate": 6, "eda": 6, "report": 3, "export": 6, "predict": 3, "tune": 6}
IN_A_ROW = 3  # kills of one command before it is let finish


def cases() -> list[object]:
    return [
        pytest.param(stage, seed, id=f"{stage}-seed{seed}")
        for stage, kills in KILLS.items()
        for seed in range(kills // IN_A_ROW)
    ]


@pytest.mark.torture
@pytest.mark.parametrize(("stage", "seed"), cases())
def test_killed_it_loses_nothing_and_ends_in_the_same_bytes(stage, seed, place, reference, durations, tally):
    """Seeds with an even number begin anew, the others over the results of before."""
    draw = random.Random(f"{stage} {seed}")
    if seed % 2 == 0:
        remove(place, stage)
    for _ in range(IN_A_ROW):
        while not killed(place, stage, draw, durations[stage]):
            remove(place, stage)
        check_whole(place)
    finish(place, stage)
    assert_same(place, reference, stage)
    tally(kills=IN_A_ROW)


def killed(place: Place, stage: str, draw: random.Random, seconds: float) -> bool:
    """Run a stage and kill it before it ends; whether it was still running."""
    victim, moment = draw.choice(VICTIMS), draw.uniform(0, seconds)
    process = begin(*place.arguments(stage))
    time.sleep(moment)
    running = process.poll() is None
    if running:
        kill(process.pid, victim, draw)
    done = end(process)
    assert gone(process.pid), f"{victim} killed after {moment:.2f} s: some processes stay"
    if running and victim == "worker" and done.status > 0:
        line_of(done)
    return running


def remove(place: Place, stage: str) -> None:
    """What the stage has written; an earlier submission stays."""
    folders = {"submit": [place.run], "tune": [place.output / "tune"]}
    for folder in folders.get(stage, []):
        shutil.rmtree(folder)
    if stage not in folders:
        for pattern in WRITES[stage]:
            for path in place.output.glob(pattern):
                path.unlink()


def test_every_stage_is_killed():
    assert KILLS.keys() == STAGES.keys()
    assert sum(KILLS.values()) >= 50
