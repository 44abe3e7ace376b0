"""Training under a time limit: what fits is trained, what was begun is kept, and the rest changes no byte."""

import json
import re
import time

import numpy as np
import pytest

from command import complain, digits, refuse, start, succeed
from digits import backend, config, cost, runs
from digits.data import Rows
from digits.data.demo import demo
from digits.runs import Member, Run
from digits.stages import train
from digits.submission import check

SHORT = ["--set", "folds.count=5", "--set", "training.epochs=25", "--set", "architectures=[mlp]"]
FILES = ("submission.csv", "oof.npz", "test.npz")


def is_valid(path):
    data = demo()
    return check(path, len(data.test_images), data.classes).valid


def test_what_fits_is_submitted_and_a_later_call_finishes_the_rest(tmp_path):
    began = time.monotonic()
    said = succeed("submit", "--output", tmp_path, "--run", "whole", *SHORT)
    seconds = time.monotonic() - began
    assert re.search(r"Recipe: 5 networks, \d\.\de\d+ training multiply-adds \(MACs\)\n", said)
    assert "Expected" not in said  # too small to be worth a warm-up
    arguments = ["submit", "--output", tmp_path, "--run", "limited", *SHORT]
    killed = start(*arguments, "--hours", "10")
    while "submission.csv: 1 of 5 members" not in killed.stdout.readline():
        assert killed.poll() is None
    killed.kill()
    killed.communicate()
    assert is_valid(tmp_path / "submission.csv")
    before = json.loads((tmp_path / "limited/metrics.json").read_text())
    assert (before["members"], before["members_planned"]) == (1, 5)
    hours = seconds / 3600 / 4
    while len(list((tmp_path / "limited/members").glob("[!.]*"))) == 1:  # whatever the machine's speed, not all fit
        said = succeed(*arguments, "--hours", hours)
        hours *= 1.5
    assert re.search(r"Recipe: 5 networks, \d\.\de\d+ training multiply-adds \(MACs\), \d\.\de\d+ of them", said)
    assert "Expected: " in said
    metrics = json.loads((tmp_path / "limited/metrics.json").read_text())
    assert 1 < metrics["members"] <= 5
    assert is_valid(tmp_path / "submission.csv")
    if metrics["members"] < 5:
        assert f" {metrics['members']} of 5: mlp x 1 seed x 5 folds" in said
        rest = "make submit RUN=limited 'SET=folds.count=5 training.epochs=25 architectures=[mlp]'"
        assert f"To train the other {5 - metrics['members']} members: {rest}" in said
    said = succeed(*arguments)
    assert f"{metrics['members']} of 5 members are trained already" in said
    for name in FILES:
        assert (tmp_path / "limited" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    metrics, whole = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("limited", "whole"))
    assert metrics["members"] == 5
    assert metrics["training_macs"] == whole["training_macs"] > 0


def test_where_no_network_fits_nothing_is_trained(tmp_path):
    said = complain("submit", "--output", tmp_path, "--run", "r", *SHORT, "--hours", "0.0001")
    assert re.search(r"no network fits into 0.0001 hours: the quickest, mlp-s0-f\d, takes .+; give HOURS=\d", said)
    assert not list((tmp_path / "r/members").glob("*"))
    assert not (tmp_path / "submission.csv").exists()


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "1e9", "an hour", ""])
def test_hours_that_are_none_touch_nothing(hours, tmp_path):
    for stage in ("submit", "train"):
        said = refuse(stage, "--output", tmp_path / "output", "--hours", hours)
        assert said == f"error: hours '{hours}': give a number over 0, such as HOURS=1.5 (at most 100000)"
    assert not (tmp_path / "output").exists()


def test_a_cluster_knows_no_hours(tmp_path):
    said = refuse("submit", "--output", tmp_path, "--hours", "1", "--scheduler", "tcp://localhost:1")
    assert "HOURS= and SCHEDULER= do not go together" in said


def test_training_stops_at_the_deadline_and_keeps_its_whole_epochs(tmp_path):
    backend.start(threads=1)
    data, member, run = demo(), Member("mlp", 0, 0), Run(tmp_path)
    settings = config.parse({"folds": {"count": 2}, "architectures": ["mlp"], "training": {"epochs": 100_000}}, "test")
    folds = np.arange(len(data.train_images)) % 2
    tables = train.Tables(Rows(data.train_images, data.targets), folds, data.test_images)
    (tmp_path / "members").mkdir()
    seconds, checkpoint = 1.0, run.unfinished(member) / train.CHECKPOINT
    while not checkpoint.exists():
        job = train.Job(settings, member, until=time.monotonic() + seconds)
        assert train._train_member(job, tables, run) == (member, train.OUT_OF_TIME)
        seconds *= 2
    done = len(runs.read_arrays(checkpoint)["history"])
    assert 1 <= done < 100_000
    assert not run.member(member).exists()
    work = cost.Work(images=500, epochs=100_000, scored=0, predicted=0, macs=1)
    assert train._unfinished(run, member, work).epochs == 100_000 - done


def test_train_alone_says_what_is_left(tmp_path):
    hours = 0.005
    while (done := digits("train", "--output", tmp_path, "--run", "r", *SHORT, "--hours", str(hours))).returncode:
        assert "no network fits" in done.stderr or "stopped" in done.stdout
        hours *= 1.5
    trained = len(list((tmp_path / "r/members").glob("[!.]*")))
    if trained < 5:
        assert f"Members: {trained} of 5. To train the others: make train RUN=r" in done.stdout
