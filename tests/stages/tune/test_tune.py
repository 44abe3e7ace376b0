"""`make tune` on the demo set: a whole search, killed and resumed, on a cluster, nested, and all that is refused."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from command import refuse, start, succeed
from digits import config
from digits.data.demo import demo
from digits.stages.tune import space, stage
from digits.stages.tune.search import Search

SPACE = """
set:
  architectures: [mlp]
  training: {epochs: 3, batch_size: 32, ema: 0.9}
  tune: {folds: 2, median_rule: false, tuner: random, trials: 3}
search:
  training.optimizer.learning_rate: {float: [0.0003, 0.03], log: true}
  training.ema: {choice: [0.0, 0.5, 0.9]}
"""
TIMED = ("seconds", "wall", "began", "ended")


def arguments(folder: Path, *options: object) -> list[object]:
    path = folder / "quick.yaml"
    path.write_text(SPACE)
    return ["tune", "--data", "demo", "--output", folder, "--space", path, *options]


def leaderboard(folder: Path) -> list[dict[str, str]]:
    """What must be the same in every search with one seed."""
    with (folder / "tune/quick/leaderboard.csv").open(newline="") as file:
        return [{key: cell for key, cell in row.items() if key not in TIMED} for row in csv.DictReader(file)]


def wait_for(folder: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    while not list(folder.glob(f"tune/quick/{pattern}")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def group(process: subprocess.Popen[str]) -> list[int]:
    """The living processes of the group that a process leads."""
    living = [of for of in psutil.process_iter(["status"]) if of.info["status"] != psutil.STATUS_ZOMBIE]
    return [of.pid for of in living if os.getpgid(of.pid) == process.pid]


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def told(output) -> str:
    """What a whole search printed."""
    return succeed(*arguments(output, "--workers", "1"))


@pytest.mark.slow
def test_a_search_tells_of_every_trial_and_ends_with_what_to_type(told, output):
    assert told.count("trial 000") == 3
    for words in ("log loss", "±", "learning_rate", "left", "3 trials in", "1,078 training rows of demo", "flattered"):
        assert words in told
    assert f"Next: make submit CONFIG={output}/tune/quick/best.yaml RUN=tuned-quick" in told


@pytest.mark.slow
def test_it_leaves_the_best_config_and_nothing_unfinished(told, output):
    folder = output / "tune/quick"
    best = config.load(folder / "best.yaml")
    assert best.training.ema == float(leaderboard(output)[0]["training.ema"])
    assert best.tuned_on == json.loads((folder / "search.json").read_text())["data"]
    assert list((folder / "work").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "tune.objective=accuracy"], "tune.objective (log_loss -> accuracy)"),
        (["--set", "training.epochs=4"], "training.epochs (3 -> 4)"),
    ],
)
def test_a_search_begun_otherwise_is_refused_with_the_difference(told, output, options, words):
    assert words in refuse(*arguments(output, *options))


@pytest.mark.slow
def test_another_space_is_refused_with_the_difference(told, output, tmp_path):
    other = tmp_path / "quick.yaml"
    other.write_text(SPACE.replace("0.03]", "0.04]"))
    line = refuse("tune", "--data", "demo", "--output", output, "--space", other)
    assert "space.training.optimizer.learning_rate" in line


@pytest.mark.slow
def test_killed_and_interrupted_it_ends_as_if_nothing_had_happened(told, output, tmp_path):
    """While it runs it is alone in its folder; afterwards nobody is left behind."""
    command = arguments(tmp_path, "--workers", "2")
    process = start(*command, start_new_session=True)
    wait_for(tmp_path, "work/*/*.npz", process)
    assert "another process is working on it" in refuse(*command)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    process = start(*arguments(tmp_path, "--workers", "1"), start_new_session=True)
    wait_for(tmp_path, "best.yaml", process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "interrupted" in err) == (130, True), err
    assert group(process) == []
    ended = leaderboard(tmp_path)
    longer = succeed(*arguments(tmp_path, "--workers", "1", "--trials", "4"))
    assert "ended already" in longer
    resumed = leaderboard(tmp_path)
    assert [row for row in resumed if row["trial"] != "0003"] == leaderboard(output)
    assert len(resumed) == 4
    assert all(row in resumed for row in ended if row["status"] == "done")


@pytest.mark.torture
def test_on_a_cluster_the_same_trials_end_though_a_worker_is_killed(told, output, tmp_path):
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": ":0", "silence_logs": 50}
    with LocalCluster(n_workers=2, **options) as cluster:
        process = start(*arguments(tmp_path, "--trials", "2", "--scheduler", cluster.scheduler_address))
        wait_for(tmp_path, "trials/trial_0001/trial.json", process)
        time.sleep(3)
        cluster.workers[0].process.process.kill()
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    same = [row for row in leaderboard(output) if row["trial"] in ("0000", "0001")]
    assert leaderboard(tmp_path) == same


@pytest.mark.slow
def test_a_nested_search_scores_what_it_found_on_rows_it_did_not_see(tmp_path, capsys):
    short = ["tune.nested=true", "tune.trials=1", "folds.count=2", "training.epochs=1"]
    *_, path, _ = arguments(tmp_path, "")
    search = Search(space.load(path, config.Config(), short), path, demo(), tmp_path / "nested")
    stage.run(search, workers=1)
    assert "on 1,078 rows of demo that the searches did not see" in capsys.readouterr().out
    assert "outside fold 1 of 2" in (tmp_path / "nested/outer-1/best.yaml").read_text()
    assert (tmp_path / "nested/nested.json").exists()
    more = dataclasses.replace(search, space=space.load(path, config.Config(), [*short, "tune.trials=3"]))
    stage.run(more, workers=1)
    for fold in range(2):  # the score is that of the trial that is the best now
        folder = tmp_path / f"nested/outer-{fold}"
        with (folder / "leaderboard.csv").open(newline="") as file:
            best = next(csv.DictReader(file))["trial"]
        assert (folder / f"scored/{best}/fold-{fold}.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--run", "../x"], "run name"),
        (["--set", "tune.tuner=magic"], "tune.tuner"),
        (["--space", "nothing.yaml"], "nothing.yaml"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, options, words):
    assert words in refuse(*arguments(tmp_path, *options))
