"""`make submit-kaggle` waits for the public score, with a `kaggle` command made for the test."""

import contextlib
import dataclasses
import io
import re
import shutil
import signal
import subprocess
import sys

import pytest

import kaggle_command
from command import answer
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import records
from digits.runs import Member, Run
from digits.stages import submit
from digits.stages.kaggle import scoring
from digits.stages.report import sections
from finished_run import finish
from kaggle_command import COMPLETE, ERROR, OFFLINE, PENDING


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Run:
    """A run with predictions, to read only."""
    run = finish(tmp_path_factory.mktemp("output") / "mine", demo())
    _ensemble(run)
    return run


@pytest.fixture
def run(made, tmp_path) -> Run:
    return dataclasses.replace(made, folder=shutil.copytree(made.folder, tmp_path / "output/mine"))


def _ensemble(run: Run, members: list[Member] | None = None) -> str:
    """Write the run's predictions, of some of its members; what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        submit.run(run, {}, members)
    return printed.getvalue()


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """Install the command, and look at its list every hundredth of a second."""
    monkeypatch.setattr(scoring, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(scoring, "LONGEST_PAUSE", 0.01)

    def install(*plan: tuple[str, str], **behaviour: str) -> None:
        environment = kaggle_command.install(tmp_path / "bin", plan, **behaviour)
        monkeypatch.setenv("PATH", environment["PATH"])

    return install


def _submit(run: Run) -> str:
    """Submit a run; what is printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        scoring.submit(run, "digit-recognizer", "mine: 3 members")
    return printed.getvalue()


def submitted(tmp_path) -> list[list[str]]:
    asked = kaggle_command.calls(tmp_path / "bin")
    return [call for call in asked if call[1] == "submit" and "--help" not in call]


def score(run: Run) -> float | None:
    return records.read_json(run.metrics).get("kaggle_score")


def test_the_score_is_waited_for_and_stands_beside_the_predicted_one(run, kaggle, tmp_path):
    kaggle((PENDING, ""), (OFFLINE, ""), (PENDING, "None"), (COMPLETE, "0.99657"))
    printed = _submit(run)
    predicted = records.read_json(run.metrics)["predicted_score"]
    assert "Successfully submitted to Digit Recognizer" in printed
    assert "208k" not in printed
    assert printed.count("Waiting for the score") == 3
    assert "Kaggle cannot be reached" in printed
    assert "Public score: 0.99657" in printed
    assert f"Predicted: {predicted:.5f}" in printed
    assert score(run) == 0.99657
    assert records.read_json(run.metrics)["predicted_score"] == predicted
    assert "--wait" not in submitted(tmp_path)[0]


@pytest.mark.parametrize("wait", ["works", "fails"])
def test_the_command_waits_itself_where_it_can(run, kaggle, tmp_path, wait):
    kaggle((COMPLETE, "0.99657"), wait=wait)
    printed = _submit(run)
    assert submitted(tmp_path)[0][-2:] == ["--wait", "900"]
    assert "Submission ref: 57" in printed
    assert score(run) == 0.99657


def test_the_same_predictions_are_not_submitted_twice(run, kaggle, tmp_path):
    kaggle((COMPLETE, "0.99657"))
    _submit(run)
    assert "Kaggle has these predictions already" in _submit(run)
    assert len(submitted(tmp_path)) == 1


def test_what_kaggle_could_not_score_is_an_error_and_may_be_submitted_again(run, kaggle, tmp_path):
    kaggle((ERROR, ""))
    for _ in range(2):
        with pytest.raises(UserError, match="could not score"):
            _submit(run)
    assert len(submitted(tmp_path)) == 2
    assert score(run) is None


@pytest.mark.parametrize(("status", "shown"), [(PENDING, ""), (COMPLETE, ""), (COMPLETE, "nan")])
def test_without_a_score_it_says_how_to_look_later(run, kaggle, monkeypatch, tmp_path, status, shown):
    monkeypatch.setattr(scoring, "SECONDS", 0)
    kaggle((status, shown))
    printed = _submit(run)
    assert "The submission is made, and has no score yet. To look for it later: make submit-kaggle RUN=mine" in printed
    assert score(run) is None
    kaggle_command.change_plan(tmp_path / "bin", [(COMPLETE, "0.99657")])
    _submit(run)
    assert score(run) == 0.99657
    assert len(submitted(tmp_path)) == 1


@pytest.mark.parametrize("wait", ["", "hangs"])
def test_ctrl_c_while_waiting_leaves_the_submission_made(run, tmp_path, wait):
    environment = kaggle_command.install(tmp_path / "bin", [(PENDING, "")], wait)
    code = (
        "import pathlib, sys; from digits.runs import RunFolder; from digits.stages.kaggle import scoring; "
        "scoring.submit(RunFolder(pathlib.Path(sys.argv[1])), 'digit-recognizer', 'mine')"
    )
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen([sys.executable, "-c", code, str(run.folder)], **options) as process:
        for line in process.stdout:
            if "Waiting for the score" in line or "Submission ref" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "The submission is made" in out
    assert err == ""
    assert len(submitted(tmp_path)) == 1


def test_a_score_belongs_to_its_predictions(run, kaggle):
    kaggle((COMPLETE, "0.99657"))
    _submit(run)
    assert re.search(r"Kaggle's public score +│ 0.99657", _ensemble(run))
    assert score(run) == 0.99657
    noisy = finish(run.folder.with_name("noisy"), demo(), spread=9.0)
    _ensemble(noisy)
    _submit(noisy)
    before = noisy.submission.read_bytes()
    assert score(noisy) == 0.99657
    _ensemble(noisy, noisy.members[:1])
    assert noisy.submission.read_bytes() != before
    assert score(noisy) is None


def test_a_run_that_is_worked_on_keeps_its_metrics(run, kaggle):
    kaggle((COMPLETE, "0.99657"))
    with run.locked(), pytest.raises(UserError, match="another process is working on it"):
        _submit(run)
    assert score(run) is None
    _submit(run)
    assert score(run) == 0.99657


def test_predictions_that_changed_meanwhile_get_no_score(run, kaggle):
    kaggle((COMPLETE, "0.99657"), more=f"if messages: open({str(run.submission)!r}, 'a').write(chr(10))")
    with pytest.raises(UserError, match="has other predictions by now"):
        _submit(run)
    assert score(run) is None


def test_report_and_comparison_show_both_scores(run, kaggle):
    other = finish(run.folder.parent / "other", demo())
    _ensemble(other)
    compared = ("compare", "mine", "other", "--output", run.folder.parent)
    assert "Kaggle" not in answer(*compared)
    kaggle((COMPLETE, "0.87654"))
    _submit(run)
    lines = [re.split(r"\s*│\s*", line.strip("│ ")) for line in answer(*compared).splitlines()]
    predicted = f"{records.read_json(run.metrics)['predicted_score']:.5f}"
    assert ["predicted leaderboard score", predicted, predicted, "+0.00000"] in lines
    assert ["Kaggle's public score", "0.87654", "-"] in lines
    names = [name for name, _ in sections.scores(records.read_json(run.metrics))]
    assert names[names.index("predicted leaderboard score") + 1] == "Kaggle's public score"
