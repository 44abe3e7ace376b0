"""`make tune` on the demo set: a whole search, killed and resumed, with workers that die, and all that is refused."""

import csv
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from command import complain, refuse, start, succeed
from digits import config

SPACE = """
set:
  architectures: [mlp]
  training: {{epochs: {epochs}, batch_size: 32, ema: 0.9}}
  tune: {{folds: 2, median_rule: false}}
search:
  training.optimizer.learning_rate: {{float: [0.0003, 0.03], log: true}}
  training.ema: {{choice: [0.0, 0.5, 0.9]}}
  augmentation.rotation: {{float: [0.0, 25.0]}}
"""
FIGURES = {"progress.png", "parallel.png", "importance.png", "slices.png"}
DATA = ("--data", "demo")


def _space(folder: Path, epochs: int = 2) -> Path:
    path = folder / "quick.yaml"
    path.write_text(SPACE.format(epochs=epochs))
    return path


def _arguments(folder: Path, *options: object, epochs: int = 2) -> list[object]:
    return ["tune", *DATA, "--output", folder, "--space", _space(folder, epochs), *options]


def _leaderboard(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of the leaderboard by trial; none twice."""
    with (folder / "tune/quick/leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["trial"] for row in rows}) == len(rows)
    return {row["trial"]: row for row in rows}


def _wait_for(folder: Path, trials: int, process: subprocess.Popen[str]) -> dict[str, dict[str, str]]:
    """The leaderboard as soon as so many trials have ended."""
    for _ in range(1200):
        assert process.poll() is None, process.communicate()
        if (folder / "tune/quick/leaderboard.csv").exists():
            ended = {name: row for name, row in _leaderboard(folder).items() if row["ended"]}
            if len(ended) >= trials:
                return ended
        time.sleep(0.1)
    raise AssertionError(f"{trials} trials have not ended in two minutes")


def _group(process: subprocess.Popen[str]) -> list[str]:
    """The processes of the group that a process leads."""
    return subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def said(output) -> str:
    """What a whole search printed."""
    return succeed(*_arguments(output, "--trials", "10"))


def test_a_search_tells_of_every_trial_and_ends_with_what_to_type(said, output):
    assert said.count("trial 00") == 10
    for words in ("log loss", "±", "learning_rate", "left", "10 trials in", "1,078 training rows of demo", "flattered"):
        assert words in said
    assert f"Next: make submit CONFIG={output}/tune/quick/best.yaml RUN=tuned-quick" in said


def test_it_leaves_the_leaderboard_the_best_config_and_the_figures(said, output):
    folder = output / "tune/quick"
    assert {path.name for path in folder.glob("*.png")} >= FIGURES
    rows = list(_leaderboard(output).values())
    assert len(rows) == 10
    done = [row for row in rows if row["status"] == "done"]
    losses = [float(row["log_loss"]) for row in done]
    assert losses == sorted(losses)
    assert rows[: len(done)] == done
    text = (folder / "best.yaml").read_text()
    assert f"Log loss {losses[0]:.5f}" in text
    best = config.load(folder / "best.yaml")
    assert best.architectures[0].net == "mlp"
    assert best.training.optimizer.learning_rate == pytest.approx(
        float(done[0]["training.optimizer.learning_rate"]), rel=1e-3
    )
    assert set(yaml.safe_load(text)) <= {"folds", "architectures", "training", "augmentation", "tuned_on"}
    assert not list((folder / "work").iterdir())


def test_the_submission_of_a_tuned_config_says_so(said, output):
    best = output / "tune/quick/best.yaml"
    short = ("--set", "folds.count=2")
    assert "chosen on these rows" in succeed("submit", *DATA, "--output", output, "--config", best, *short)


def test_an_ended_search_shows_its_results_again_and_can_be_made_longer(said, output):
    before = _leaderboard(output)
    again = succeed(*_arguments(output, "--trials", "10"))
    assert "10 trials have ended already" in again
    assert _leaderboard(output) == before
    longer = succeed(*_arguments(output, "--trials", "11"))
    assert longer.count("\ntrial 00") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "tune.objective=accuracy"], "tune.objective (log_loss -> accuracy)"),
        (["--set", "training.epochs=3"], "training.epochs (2 -> 3)"),
        (["--set", "tune.tuner=random"], "tune.tuner (bayesian -> random)"),
    ],
)
def test_a_search_begun_otherwise_is_refused_with_the_difference(said, output, options, words):
    assert words in refuse(*_arguments(output, *options))


def test_another_space_is_refused_with_the_difference(said, output, tmp_path):
    other = tmp_path / "quick.yaml"
    other.write_text(SPACE.format(epochs=2).replace("25.0", "30.0"))
    line = refuse("tune", *DATA, "--output", output, "--space", other)
    assert "space.augmentation.rotation" in line
    assert "30.0" in line


def test_a_killed_search_keeps_what_ended_and_runs_nothing_twice(tmp_path):
    options = ("--trials", "5", "--workers", "2")
    process = start(*_arguments(tmp_path, *options, epochs=6), start_new_session=True)
    before = _wait_for(tmp_path, 2, process)
    process.kill()
    process.communicate()
    time.sleep(2)
    assert _group(process) == []
    said = succeed(*_arguments(tmp_path, *options, epochs=6))
    assert "trials have ended already" in said
    after = _leaderboard(tmp_path)
    assert len(after) == 5
    assert all(row["status"] in ("done", "stopped") for row in after.values())
    for trial, row in before.items():
        assert after[trial] == row


def test_a_search_is_alone_in_its_folder_and_leaves_nobody_behind_when_interrupted(tmp_path):
    process = start(*_arguments(tmp_path, "--trials", "50", "--workers", "2", epochs=6), start_new_session=True)
    _wait_for(tmp_path, 1, process)
    assert "another process is working on it" in refuse(*_arguments(tmp_path, "--trials", "50", epochs=6))
    assert len(_group(process)) > 4  # the chief, the server of forks, two workers and more
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    time.sleep(2)
    assert _group(process) == []
    assert (tmp_path / "tune/quick/best.yaml").exists()


def test_a_chief_and_two_workers_finish_though_one_is_killed(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    chief = start(*_arguments(tmp_path, "--trials", "6", "--workers", "0", "--listen", address, epochs=6))
    join = ("tune-worker", *DATA, "--chief", address, "--output", tmp_path / "elsewhere", "--workers", "1")
    workers = [start(*join, start_new_session=True) for _ in range(2)]
    before = _wait_for(tmp_path, 1, chief)
    os.killpg(workers[0].pid, signal.SIGKILL)
    workers[0].communicate()
    out, err = chief.communicate(timeout=300)
    assert chief.returncode == 0, (out, err)
    assert "fell silent" in out
    workers[1].communicate(timeout=60)
    assert workers[1].returncode == 0
    after = _leaderboard(tmp_path)
    assert len(after) == 6
    assert all(row["status"] in ("done", "stopped") for row in after.values())
    for trial, row in before.items():
        assert after[trial] == row


def test_a_nested_search_scores_what_it_found_on_rows_it_did_not_see(tmp_path):
    nested = ("--set", "tune.nested=true", "--set", "folds.count=2", "--set", "tune.folds=2")
    said = succeed(*_arguments(tmp_path, "--trials", "2", "--workers", "2", *nested))
    assert "on 1,078 rows of demo that the searches did not see" in said
    assert "outside fold 1 of 2" in (tmp_path / "tune/quick/outer-1/best.yaml").read_text()
    assert (tmp_path / "tune/quick/nested.json").exists()


def test_trials_that_all_fail_end_the_search_with_the_reason(tmp_path):
    broken = ("--set", "tune.trial_minutes=0.001")
    line = complain(*_arguments(tmp_path, "--trials", "20", "--workers", "2", *broken))
    assert "trials all failed" in line
    assert "took more than" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "0"], "--listen"),
        (["--listen", "nowhere"], "'nowhere' is no address"),
        (["--run", "../x"], "run name"),
        (["--set", "tune.tuner=magic"], "tune.tuner"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, options, words):
    assert words in refuse(*_arguments(tmp_path, *options))


@pytest.mark.parametrize("chief", ["", "nowhere", "host:", "host:99999", ":8700"])
def test_a_chief_without_an_address_is_said_in_a_line(tmp_path, chief):
    assert "is no address" in refuse("tune-worker", *DATA, "--output", tmp_path, "--chief", chief)


def test_a_space_that_is_not_there_is_said_in_a_line(tmp_path):
    assert "nothing.yaml" in refuse("tune", *DATA, "--output", tmp_path, "--space", tmp_path / "nothing.yaml")
