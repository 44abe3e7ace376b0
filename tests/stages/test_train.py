"""Training under a time limit: what fits is trained, what was begun is kept, and the rest changes no byte."""

import json
import re
import shutil
import threading
import time

import psutil
import pytest

from command import complain, digits, refuse, start, succeed
from digits import config
from digits.data.demo import demo
from digits.data.submission import check
from digits.errors import UserError
from digits.runs import Member, Run
from digits.stages import submit, train
from digits.training import backend
from digits.training.cost import Work
from digits.training.member import Tables, epochs_done
from digits.workers import members, messages
from digits.workers.budget import Resources
from finished_run import finish

SHORT = ["--set", "folds.count=5", "--set", "training.epochs=10", "--set", "architectures=[mlp]"]
FILES = ("submission.csv", "oof.npz", "test.npz")


def is_valid(path):
    data = demo()
    return check(path, len(data.test_images), data.classes).valid


@pytest.mark.torture
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
        rest = "make submit RUN=limited 'SET=folds.count=5 training.epochs=10 architectures=[mlp]'"
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
    settings = config.parse({"folds": {"count": 2}, "architectures": ["mlp"], "training": {"epochs": 100_000}}, "test")
    run, wanted = Run(tmp_path, settings, demo()), Member("mlp", 0, 0)
    folder, seconds = run.unfinished(wanted), 1.0
    folder.mkdir(parents=True)
    tables = Tables.of(settings, run.dataset)
    with messages.listen(lambda line: None, lambda: None) as pipe:
        while not epochs_done(folder):
            job = members.MemberJob(settings, wanted, run, pipe, time.monotonic() + seconds)
            assert members._train(job, tables) == (wanted, members.OUT_OF_TIME)
            seconds *= 2
    done = epochs_done(folder)
    assert 1 <= done < 100_000
    assert not run.member(wanted).exists()
    assert members._left(run, wanted, Work(500, 100_000, 0, 0, macs=1)).epochs == 100_000 - done


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_a_patient_call_one_member(tmp_path):
    recipe = {"folds": {"count": 3}, "architectures": ["mlp"], "training": {"epochs": 100}}
    run = Run(tmp_path / "r", config.parse(recipe, "test"), demo())

    def holds(worker, locks):
        return locks & {file.path for file in worker.open_files()}

    def kill_one():
        locks = {str(run.member_lock(member)) for member in run.members}
        while not (busy := [worker for worker in psutil.Process().children() if holds(worker, locks)]):
            time.sleep(0.05)
        busy[0].kill()

    threading.Thread(target=kill_one, daemon=True).start()
    outcome = train.run(run, Resources(workers=2, patient=True))
    assert len(outcome.trained) == 2
    assert list(outcome.problems.values()) == ["its process was killed, by signal 9"]


@pytest.mark.slow
def test_train_alone_says_what_is_left(tmp_path):
    hours = 0.005
    while (done := digits("train", "--output", tmp_path, "--run", "r", *SHORT, "--hours", str(hours))).returncode:
        assert "no network fits" in done.stderr or "stopped" in done.stdout
        hours *= 1.5
    trained = len(list((tmp_path / "r/members").glob("[!.]*")))
    if trained < 5:
        assert f"Members: {trained} of 5. To train the others: make train RUN=r" in done.stdout


def test_the_stages_after_training_look_at_the_whole_folds_of_an_unfinished_run(tmp_path):
    run = finish(tmp_path / "r", demo(), architectures=("mlp", "small"))
    for name in ("small-s0-f1", "mlp-s0-f2", "small-s0-f2"):
        shutil.rmtree(run.folder / "members" / name)
    submit.run(run, {}, [wanted for wanted in run.members if run.member(wanted).exists()])
    settings = run.config
    assert run.covered_config(settings) == config.replaced(settings, {"folds.limit": 1}, "test")
    shutil.rmtree(run.folder / "members" / "small-s0-f0")
    with pytest.raises(UserError, match="holds 2 of 6 networks, and no fold has all of its own yet"):
        run.covered_config(settings)


@pytest.mark.slow
def test_evaluate_cluster_and_report_of_an_unfinished_run(tmp_path):
    both = ["--set", "folds.count=3", "--set", "training.epochs=4", "--set", "architectures=[mlp,small]"]
    succeed("submit", "--output", tmp_path, "--run", "r", *both)
    for name in ("small-s0-f1", "mlp-s0-f2", "small-s0-f2"):
        shutil.rmtree(tmp_path / "r/members" / name)
    hours = 0.006
    while digits("submit", "--output", tmp_path, "--run", "r", *both, "--hours", str(hours)).returncode:
        hours *= 1.5
    output = ("--output", tmp_path, "--run", "r")
    metrics = json.loads((tmp_path / "r/metrics.json").read_text())
    for stage in ("evaluate", "cluster", "report"):
        said = succeed(stage, "--data", "demo", *output, *["--set", "cluster.maps=[]"] * (stage == "cluster"))
        assert ("is unfinished: this is of" in said) == (metrics["members"] < 6)


@pytest.mark.slow
def test_a_closed_output_ends_the_run(tmp_path):
    process = start("submit", "--output", tmp_path, "--run", "r", *SHORT, "--set", "training.epochs=2000")
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=300)
    assert process.returncode != 0
    assert "Traceback" not in process.stderr.read()
