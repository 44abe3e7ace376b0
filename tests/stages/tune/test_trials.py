"""The trials of a search and what is kept of them, without any training: the scores of their folds are made up."""

import dataclasses
import json
import math
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from digits import config
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import records
from digits.stages.tune import results, space
from digits.stages.tune.fold import Score
from digits.stages.tune.oracle import TrialRecord, open_oracle
from digits.stages.tune.search import Search
from digits.stages.tune.trials import MOST_FAILURES, Trials
from digits.workers.pool import Killed

RANGES = {
    "training.optimizer.learning_rate": {"float": [0.0001, 0.1], "log": True},
    "training.ema": {"float": [0.0, 0.9]},
    "training.batch_size": {"choice": [16, 32, 64]},
}
TUNERS = ("bayesian", "hyperband", "random")


@pytest.fixture
def opened(tmp_path):
    """A function that begins a search in a folder, or resumes it."""

    def opened(**tune) -> Trials:
        settings = {"architectures": ["mlp"], "training": {"epochs": 9, "ema": 0.5, "batch_size": 32}, "tune": tune}
        searched = space.parse(RANGES, config.parse(settings, "test"), "test")
        search = Search(searched, Path("test.yaml"), demo(), tmp_path)
        return Trials(search, open_oracle(search))

    return opened


@pytest.mark.parametrize(
    ("kept", "tune", "words"),
    [
        (1, {"rows": 500}, "Set tune.rows=null to take all"),
        (1, {}, "1 distinct training image, too few for 3 folds; add rows of it, or leave it out"),
        (2, {}, "2 distinct training images, too few for 3 folds; lower tune.folds to 2, or add rows of it"),
    ],
)
def test_a_class_of_too_few_rows_is_one_line(tmp_path, kept, tune, words):
    dataset = demo()
    nines = np.flatnonzero(dataset.train_labels == 9)[kept:]
    few = dataclasses.replace(
        dataset,
        train_images=np.delete(dataset.train_images, nines, axis=0),
        train_labels=np.delete(dataset.train_labels, nines),
    )
    searched = space.parse(RANGES, config.parse({"tune": tune}, "test"), "test")
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        Search(searched, Path("test.yaml"), few, tmp_path).rows()
    assert "\n" not in str(caught.value)


def score(job) -> Score:
    settings = job.config.training
    loss = (math.log10(settings.optimizer.learning_rate) + 2.5) ** 2 + settings.ema
    return Score(10, loss, 0.1, 0.9, 0.1, 1.0)


def work(trials: Trials, folds: int | None = None, result=score) -> Trials:
    """Work off so many folds, one after the other; None: all."""
    for name, (job,) in islice(trials.jobs(None), folds):
        trials.take(name, result(job))
    return trials


def found(trials: Trials) -> list[tuple[str, str, str]]:
    """Name, status and values of every trial."""
    history = trials.oracle.history()
    return [(of.trial_id, of.status, json.dumps(of.hyperparameters.values, sort_keys=True)) for of, _ in history]


def test_a_search_begun_before_a_setting_existed_resumes(opened, tmp_path):
    search = opened(trials=4).search
    search.claim()
    record = records.read_json(tmp_path / "search.json", config=dict)
    del record["config"]["training"]["clean_epochs"]
    records.write_twice(tmp_path / "search.json", record)
    search.claim()
    record["config"]["training"]["ema"] = 0.1
    records.write_twice(tmp_path / "search.json", record)
    with pytest.raises(UserError, match=r"config.training.ema \(0.1 -> 0.5\)"):
        search.claim()


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_search_has_as_many_trials_as_it_is_told_and_tries_no_values_twice(opened, tuner):
    trials = found(work(opened(tuner=tuner, trials=8)))
    assert [name for name, _, _ in trials] == [f"{number:04}" for number in range(8)]
    assert {status for _, status, _ in trials} == {"COMPLETED"}
    assert len({values for _, _, values in trials}) == 8


@pytest.mark.parametrize("tuner", ["bayesian", "random"])
def test_the_first_trial_is_the_base_config(opened, tuner):
    trials = opened(tuner=tuner, trials=3)
    ((_, (job,)),) = islice(trials.jobs(None), 1)
    assert job.config == trials.search.base


def test_hyperband_ends_after_one_sweep_where_nothing_limits_it(opened):
    history = work(opened(tuner="hyperband", trials=None)).oracle.history()
    epochs = [trial.hyperparameters.values["tuner/epochs"] for trial, _ in history]
    assert (min(epochs), max(epochs)) == (1, 9)
    assert epochs.count(9) < len(epochs) / 2


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_search_that_is_stopped_again_and_again_has_the_trials_of_one_that_is_not(opened, tuner, tmp_path):
    for folds in (1, 4, 8):
        work(opened(tuner=tuner, trials=7), folds)
    stopped = found(work(opened(tuner=tuner, trials=7)))
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert found(work(opened(tuner=tuner, trials=7))) == stopped


def test_finished_folds_are_not_scored_again_unless_they_are_damaged(opened, tmp_path):
    work(opened(folds=3), 2)
    ((name, (job,)),) = islice(opened(folds=3).jobs(None), 1)
    assert (name, job.fold, job.epochs) == ("0000", 2, 18)
    (tmp_path / "work/0000/fold-1.json").write_text("{")
    ((_, (job,)),) = islice(opened(folds=3).jobs(None), 1)
    assert job.fold == 1


def test_several_trials_run_at_a_time_and_the_last_worker_is_told_to_wait(opened):
    jobs = opened(tuner="random", trials=2, folds=2).jobs(None)
    assert [next(jobs)[0], next(jobs)[0], next(jobs)] == ["0000", "0001", None]


@pytest.mark.parametrize("kept", ["trial", "oracle"])
def test_a_kill_between_two_files_loses_no_trial_and_repeats_none(opened, tmp_path, kept):
    """The trial's file is written first, at its beginning and at its end."""
    path = tmp_path / "trials/oracle.json"
    trials = opened(tuner="random", trials=3, folds=2)
    before = path.read_text() if kept == "trial" else None
    work(trials, 1)
    before = before or path.read_text()
    work(trials, 1 if kept == "oracle" else 0)
    path.write_text(before)
    again = found(work(opened(tuner="random", trials=3, folds=2)))
    assert [status for _, status, _ in again] == ["COMPLETED"] * 3


def test_more_trials_can_be_asked_for_later(opened):
    before = found(work(opened(tuner="random", trials=3)))
    assert found(work(opened(tuner="random", trials=5)))[:3] == before


def test_a_trial_that_dies_twice_at_the_same_place_has_failed_and_no_other_is_blamed(opened):
    trials = opened(tuner="random", trials=2)
    jobs = trials.jobs(None)
    assert [next(jobs)[0], next(jobs)[0]] == ["0000", "0001"]
    for _ in range(2):
        trials.take("0000", Killed("by signal 9"))
        if trials.running.keys() >= {"0000"}:
            assert next(jobs)[0] == "0000"
    (_, failed), (_, other) = trials.oracle.history()
    assert failed.reason == "died 2 times after 0 epochs (by signal 9); too little memory?"
    assert (other.reason, list(trials.running)) == ("", ["0001"])


def test_a_trial_that_gets_further_each_time_continues(opened):
    trials = opened(trials=1)
    for epoch in (1, 2, 3, 4):
        ((name, _),) = islice(trials.jobs(None), 1)
        trials.hear("no message")
        trials.hear(json.dumps({"member": name, "epoch": epoch, "share": 0.0}))
        trials.take(name, Killed("by signal 9"))
    assert found(work(trials))[0][1] == "COMPLETED"


def test_stopping_the_whole_search_again_and_again_fails_no_trial(opened):
    for _ in range(3):
        ((name, _),) = islice(opened().jobs(None), 1)
        assert name == "0000"


def test_a_failed_trial_is_kept_with_its_reason_and_the_search_continues(opened):
    trials = work(opened(trials=9), 4, lambda job: "the loss diverged")
    assert len(found(work(trials))) == 9
    assert [record.reason for _, record in trials.oracle.history()] == ["the loss diverged"] * 4 + [""] * 5


def test_trials_that_all_fail_end_the_search_with_the_reason(opened):
    with pytest.raises(UserError, match=f"the first {MOST_FAILURES} trials all failed, the last one so: diverged"):
        work(opened(), result=lambda job: "diverged")


@pytest.mark.parametrize(("tuner", "status"), [("random", "stopped"), ("hyperband", "done")])
def test_the_median_rule_stops_a_trial_and_hyperband_has_its_own(opened, tuner, status):
    def by_trial(job) -> Score:
        return Score(10, 0.9 if job.trial == "0005" else 0.5, 0.1, 0.9, 0.1, 1.0)

    trials = work(opened(tuner=tuner, trials=6), result=by_trial)
    table = results.tabulate(trials.oracle.history(), trials.search).set_index("trial")
    assert table.loc["0005", "status"] == status


def test_no_trial_is_begun_that_would_end_too_late(opened):
    trials = work(opened(tuner="random", trials=None, hours=1.0), 3)
    trials.oracle.records["0000"].began = trials.oracle.records["0000"].ended - 1800.0
    trials.oracle._spent = 1700.0
    assert len(list(islice(trials.jobs(None), 1))) == 1
    trials.oracle._spent = 1900.0
    assert trials.oracle.ask() is None


def test_time_counts_over_calls_without_the_breaks(opened):
    first = opened(tuner="random", trials=None, hours=1.0)
    first.oracle._spent = 3601.0
    first.oracle.save()
    assert list(opened(tuner="random", trials=None, hours=1.0).jobs(None)) == []


def test_a_trial_has_the_minutes_that_are_left_of_its_limit(opened):
    trials = opened(trial_minutes=1.0)
    ((_, (job,)),) = islice(trials.jobs(None), 1)
    assert 55 < job.seconds < 60


DAMAGED = ["{", "[]", "null", '{"trials": 3}', '{"start_order": [[]]}', "[" * 100_000]


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_files_are_an_error_that_says_so(opened, tmp_path, content):
    opened()
    (tmp_path / "trials/oracle.json").write_text(content)
    with pytest.raises(UserError, match="the trials of the search are damaged"):
        opened()


def test_a_changed_digit_is_an_error_that_says_where(opened, tmp_path):
    work(opened(), 3)
    path = tmp_path / "trials/trial_0000/trial.json"
    path.write_text(path.read_text().replace('"accuracy"', '"accuracx"', 1))
    with pytest.raises(UserError, match=r"damaged \(trial_0000/trial.json\)"):
        opened()


@pytest.mark.parametrize("name", ["../../../outside", "/outside", "0/../../outside", "0\n", "x"])
def test_a_crafted_name_of_a_trial_writes_nothing_elsewhere(opened, tmp_path, name):
    work(opened(), 1)
    for path in (tmp_path / "trials").rglob("*.json"):
        content = json.loads(path.read_text().replace('"0000"', json.dumps(name)))
        content.pop("checksum")
        path.write_text(json.dumps(content))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="the trials of the search are damaged") as refused:
        opened()
    assert "\n" not in str(refused.value)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_records_of_an_earlier_version_hold_more(opened):
    values = vars(TrialRecord(losses=[0.5], epochs=3, total=9)) | {
        "worker": "a",
        "tries": 1,
        "reached": -1,
        "heard": 0.0,
    }
    assert TrialRecord.parse(values) == TrialRecord(losses=[0.5], epochs=3, total=9)


def test_results_are_a_leaderboard_a_config_figures_and_sentences(opened, tmp_path):
    trials = work(opened(trials=12, tuner="random", median_rule=False))
    found = results.Results.of(trials.search, trials.oracle)
    found.write()
    found.write_figures()
    assert {path.stem for path in tmp_path.glob("*.png")} == {"progress", "parallel", "importance", "slices"}
    captions = json.loads((tmp_path / "results.json").read_text())["captions"]
    assert captions.keys() == {path.name for path in tmp_path.glob("*.png")}
    losses = found.done["log_loss"].tolist()
    assert losses == sorted(losses)
    text = (tmp_path / "best.yaml").read_text()
    assert f"log loss {losses[0]:.5f} ± " in text
    assert config.load(tmp_path / "best.yaml").training == found.best_config().training
    counted, caveat = json.loads((tmp_path / "results.json").read_text())["findings"]
    assert counted.startswith(f"12 trials (12 done); the best has a log loss of {losses[0]:.5f}")
    assert "the 1,078 training rows of demo, mean over 3 inner folds" in caveat
