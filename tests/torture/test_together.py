"""Two processes at once on one run, and a config that was edited between a kill and the next call."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from driver import RUN, assert_same, begin, check_whole, end, finish, kill, line_of, refuse

PAIRS = [
    ("submit", "submit"),
    ("submit", "cluster"),
    ("cluster", "cluster"),
    ("cluster", "evaluate"),
    ("evaluate", "report"),
    ("eda", "eda"),
    ("eda", "report"),
    ("export", "export"),
    ("export", "submit"),
    ("predict", "predict"),
    ("tune", "tune"),
]


@pytest.mark.torture
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_of_two_at_once_both_end_well_or_one_is_refused(pair, place, reference, tally):
    running = [begin(*place.arguments(stage)) for stage in pair]
    ended = [end(process) for process in running]
    refused = [line_of(done) for done in ended if done.status]
    assert len(refused) < 2
    assert all("another process is working on it" in line for line in refused)
    check_whole(place, finished=True)
    for stage, done in zip(pair, ended, strict=True):
        if done.status:
            finish(place, stage)
        assert_same(place, reference, stage)
    tally(faults=1)


@pytest.mark.torture
@pytest.mark.parametrize("second", ["submit", "cluster"])
def test_while_a_run_is_trained_a_second_process_is_refused(second, empty, reference, tally):
    process = begin(*empty.arguments("submit"))
    while not list(empty.output.glob(f"{RUN}/members/.*/.checkpoint.npz")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGSTOP)  # else it may have ended before the second one has loaded its libraries
    try:
        assert "another process is working on it" in refuse(empty, second)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert end(process).status == 0
    assert_same(empty, reference, "submit")
    tally(faults=1)


@pytest.mark.torture
def test_a_config_edited_between_kill_and_resume_is_refused_with_the_keys(empty, reference, tally):
    process = begin(*empty.arguments("submit"))
    while not list(empty.output.glob(f"{RUN}/members/.*/.checkpoint.npz")):
        assert process.poll() is None
        time.sleep(0.05)
    kill(process.pid, "group", random.Random(0))
    end(process)
    for edit in ("training.epochs=9", "seed=1", "augmentation.rotation=3.0"):
        assert edit.partition("=")[0] in refuse(empty, "submit", "--set", edit)
        check_whole(empty)
    finish(empty, "submit")
    assert_same(empty, reference, "submit")
    tally(kills=1, faults=3)
