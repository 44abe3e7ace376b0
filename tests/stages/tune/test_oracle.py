"""The books of a search, without any training: what a worker would report is made up."""

import copy
import errno
import json
import math
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FailedTrialError

from digits import config
from digits.errors import UserError
from digits.stages.tune import space
from digits.stages.tune.oracle import BECAUSE, open_books
from digits.stages.tune.trial import Nursery, Score
from digits.stages.tune.worker import Chief, ChiefLost, Childless, Worker, announce

RANGES = {
    "training.optimizer.learning_rate": {"float": [0.0001, 0.1], "log": True},
    "training.ema": {"float": [0.0, 0.9]},
    "training.batch_size": {"choice": [16, 32, 64]},
}
TUNERS = ("bayesian", "hyperband", "random")


def _space(**tune):
    settings = {"architectures": ["mlp"], "training": {"epochs": 9, "ema": 0.5, "batch_size": 32}, "tune": tune}
    return space.parse(RANGES, config.parse(settings, "test"), "test")


@pytest.fixture
def books(tmp_path, monkeypatch):
    """A function that opens the books of a search in a folder, as a chief that is started, or started again."""

    def opened(**tune):
        for name in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT"):
            monkeypatch.setenv(f"KERASTUNER_{name}", "")  # so that what is announced ends with the test
        announce("chief", "127.0.0.1:1")
        chief = Chief(open_books(_space(**tune), {"name": "test"}), tmp_path)
        chief.save()
        return chief.oracle

    return opened


def _file(books) -> Path:
    return Path(books._get_oracle_fname())


def _loss(trial) -> float:
    rate = trial.hyperparameters.values["training.optimizer.learning_rate"]
    return (math.log10(rate) + 2.5) ** 2 + trial.hyperparameters.values["training.ema"]


def _finish(books, trial, folds=(0.5, 0.5, 0.5)) -> None:
    """Report a whole trial."""
    for fold, loss in enumerate(folds):
        books.update_trial(trial.trial_id, {"epochs": 3 * (fold + 1), "total": 9})
        books.update_trial(trial.trial_id, {"fold_loss": loss}, fold)
    books.update_trial(trial.trial_id, {"log_loss": _loss(trial), "accuracy": 0.9})
    trial.status = TrialStatus.COMPLETED
    books.end_trial(trial)


def _search(books, limit=200) -> list:
    trials = []
    while (trial := books.create_trial("worker")).status != TrialStatus.STOPPED:
        assert trial.status == TrialStatus.RUNNING
        trials.append(trial)
        _finish(books, trial)
        assert len(trials) < limit
    return trials


@pytest.mark.parametrize("tuner", TUNERS)
def test_every_tuner_searches_as_many_trials_as_it_is_told(books, tuner):
    opened = books(tuner=tuner, trials=12)
    trials = _search(opened)
    assert len(trials) == 12
    assert len({trial.trial_id for trial in trials}) == 12
    assert opened.is_done
    assert not opened.has_work


@pytest.mark.parametrize("tuner", TUNERS)
def test_no_values_are_tried_twice(books, tuner):
    opened = books(tuner=tuner, trials=25)
    tried = [json.dumps(trial.hyperparameters.values, sort_keys=True) for trial in _search(opened)]
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("tuner", ["bayesian", "random"])
def test_the_first_trial_is_the_base_config(books, tuner):
    opened = books(tuner=tuner, trials=3)
    first = opened.create_trial("worker")
    assert opened.space.config(first.hyperparameters.values) == opened.space.base


def test_hyperband_ends_after_one_sweep_where_nothing_limits_it(books):
    trials = _search(books(tuner="hyperband", trials=None))
    epochs = [trial.hyperparameters.values["tuner/epochs"] for trial in trials]
    assert min(epochs) == 1
    assert max(epochs) == 9
    assert epochs.count(9) < len(epochs) / 2


@pytest.mark.parametrize("tuner", TUNERS)
def test_a_stopped_search_goes_on_where_it_was(books, tuner):
    first = books(tuner=tuner, trials=10)
    _finish(first, first.create_trial("a"))
    running = [first.create_trial("a"), first.create_trial("b")]
    again = books(tuner=tuner, trials=10)
    back = [again.create_trial("c"), again.create_trial("d")]
    assert {trial.trial_id for trial in back} == {trial.trial_id for trial in running}
    for trial in back:
        _finish(again, trial)
    rest = _search(again)
    assert len(rest) == 7
    assert len(again.books()) == 10
    assert all(trial.status == TrialStatus.COMPLETED for trial, _ in again.books())


def test_a_trial_that_ended_just_before_the_kill_does_not_run_again(books):
    first = books(tuner="random", trials=3)
    trial = first.create_trial("a")
    before = _file(first).read_text()
    _finish(first, trial)
    _file(first).write_text(before)  # the kill came between the two files
    again = books(tuner="random", trials=3)
    assert again.create_trial("a").trial_id != trial.trial_id
    assert again.trials[trial.trial_id].status == TrialStatus.COMPLETED


def test_a_trial_entered_by_half_is_forgotten(books):
    first = books(tuner="random", trials=3)
    before = _file(first).read_text()
    first.create_trial("a")
    _file(first).write_text(before)
    again = books(tuner="random", trials=3)
    assert len(_search(again)) == 3


def test_damaged_books_are_an_error_that_says_so(books):
    _file(books(tuner="random", trials=3)).write_text("{")
    with pytest.raises(UserError, match="damaged"):
        books(tuner="random", trials=3)


def test_a_changed_digit_in_the_books_is_an_error_that_says_where(books):
    first = books(trials=2)
    _finish(first, first.create_trial("worker"))
    (path,) = Path(first._project_dir).glob("trial_*/trial.json")
    path.write_text(path.read_text().replace('"accuracy"', '"accuracx"', 1))
    with pytest.raises(UserError, match=rf"damaged \({path.parent.name}/trial.json\)"):
        books(trials=2)


def test_more_trials_can_be_asked_for_later(books):
    assert len(_search(books(tuner="random", trials=3))) == 3
    again = books(tuner="random", trials=5)
    assert len(_search(again)) == 2
    assert [trial.trial_id for trial, _ in again.books()] == ["0000", "0001", "0002", "0003", "0004"]


def test_the_trial_of_a_dead_worker_goes_to_the_next(books):
    opened = books(tuner="random", trials=2)
    lost = opened.create_trial("a")
    opened.release("a")
    assert opened.create_trial("b").trial_id == lost.trial_id


def test_a_worker_waits_while_the_trial_of_another_may_come_back(books):
    opened = books(tuner="random", trials=2)
    lost = opened.create_trial("a")
    _finish(opened, opened.create_trial("b"))
    assert opened.create_trial("b").status == TrialStatus.IDLE
    opened.release("a")
    back = opened.create_trial("b")
    assert back.trial_id == lost.trial_id
    _finish(opened, back)
    assert opened.create_trial("b").status == TrialStatus.STOPPED
    assert opened.is_done


def test_the_trial_of_a_silent_worker_goes_to_the_next_and_counts_once(books):
    opened = books(tuner="random", trials=2)
    lost = copy.copy(opened.create_trial("a"))  # as gRPC gives it
    assert opened.release_silent(3600) == []
    time.sleep(0.02)
    assert opened.release_silent(0.01) == ["a"]
    taken = opened.create_trial("b")
    assert taken.trial_id == lost.trial_id
    _finish(opened, taken)
    assert opened.update_trial(lost.trial_id, {"epochs": 9, "total": 9}).status == TrialStatus.STOPPED
    lost.status = TrialStatus.FAILED
    opened.end_trial(lost)
    assert opened.trials[lost.trial_id].status == TrialStatus.COMPLETED
    assert opened.end_order == [lost.trial_id]


def test_a_worker_that_outlived_the_chief_keeps_its_trial(books):
    first = books(tuner="random", trials=5)
    trial = first.create_trial("a")
    again = books(tuner="random", trials=5)
    assert again.update_trial(trial.trial_id, {"epochs": 4, "total": 9}).status == TrialStatus.RUNNING
    assert again.create_trial("b").trial_id != trial.trial_id
    _finish(again, trial)
    assert again.trials[trial.trial_id].status == TrialStatus.COMPLETED


def test_a_trial_whose_worker_dies_twice_at_the_same_place_has_failed(books):
    opened = books(tuner="random", trials=2)
    stuck = opened.create_trial("a")
    assert opened.create_trial("a").trial_id == stuck.trial_id
    assert opened.create_trial("a").trial_id != stuck.trial_id
    assert opened.trials[stuck.trial_id].status == TrialStatus.FAILED
    assert "died 2 times" in opened.records[stuck.trial_id].reason


def test_stopping_the_whole_search_twice_at_the_same_place_fails_no_trial(books):
    for _ in range(3):
        trial = books().create_trial("worker")
        assert trial.status == TrialStatus.RUNNING
        assert trial.trial_id == "0000"


def test_a_trial_that_gets_further_each_time_goes_on(books):
    opened = books(tuner="random", trials=2)
    trial = opened.create_trial("a")
    for epochs in (1, 2, 3, 4):
        opened.update_trial(trial.trial_id, {"epochs": epochs, "total": 9})
        assert opened.create_trial("a").trial_id == trial.trial_id


def test_a_failed_trial_is_kept_with_its_reason_and_the_search_goes_on(books):
    opened = books(tuner="bayesian", trials=9)
    for _ in range(4):
        trial = opened.create_trial("a")
        opened.update_trial(trial.trial_id, {BECAUSE + "the loss diverged": 0.0})
        trial.status = TrialStatus.FAILED
        opened.end_trial(trial)
    assert len(_search(opened)) == 5
    failed = [record.reason for trial, record in opened.books() if trial.status == TrialStatus.FAILED]
    assert failed == ["the loss diverged"] * 4


@pytest.mark.parametrize(("tuner", "status"), [("random", TrialStatus.STOPPED), ("hyperband", TrialStatus.RUNNING)])
def test_the_median_rule_stops_a_trial_and_hyperband_has_its_own(books, tuner, status):
    opened = books(tuner=tuner, trials=None)
    for _ in range(5):
        _finish(opened, opened.create_trial("a"))
    bad = opened.create_trial("a")
    opened.update_trial(bad.trial_id, {"epochs": 3, "total": 9})
    assert opened.update_trial(bad.trial_id, {"fold_loss": 0.9}, 0).status == status


def test_no_trial_is_begun_that_would_end_too_late(books):
    opened = books(tuner="random", trials=None, hours=1.0)
    _finish(opened, opened.create_trial("a"))
    opened.records["0000"].began = opened.records["0000"].ended - 1800.0
    opened._spent = 1700.0
    assert opened.has_work
    opened._spent = 1900.0
    assert opened.create_trial("a").status == TrialStatus.STOPPED


def test_times_of_trials_are_those_of_the_search_without_its_breaks(books):
    opened = books(tuner="random", trials=None)
    opened._spent = 100.0
    _finish(opened, opened.create_trial("a"))
    ((_, record),) = opened.books()
    assert 100 <= record.began <= record.ended < 160
    assert record.seconds == record.ended - record.began


def test_time_spent_counts_over_sittings(books):
    first = books(tuner="random", trials=None, hours=1.0)
    first._spent = 3601.0
    first.save()
    assert books(tuner="random", trials=None, hours=1.0).create_trial("a").status == TrialStatus.STOPPED


@pytest.mark.parametrize("name", ["../../../outside", "/outside", "0/../../outside", "0\n", "x"])
def test_a_crafted_name_of_a_trial_writes_nothing_elsewhere(books, tmp_path, name):
    first = books(tuner="random", trials=3)
    trial = first.create_trial("a")
    folder = Path(first._get_trial_dir(trial.trial_id))
    (folder / "trial.json").write_text(json.dumps(trial.get_state() | {"trial_id": name}))
    for path in (_file(first), folder / "trial.json"):
        path.write_text(path.read_text().replace(f'"{trial.trial_id}"', json.dumps(name)))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="the books of the search are damaged") as refused:
        books(tuner="random", trials=3)
    assert "\n" not in str(refused.value)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", ["[]", "null", "0", '{"trials": 3}', '{"start_order": [[]]}', "[" * 100_000])
def test_books_of_another_form_are_an_error_that_says_so(books, content):
    _file(books(tuner="random", trials=3)).write_text(content)
    with pytest.raises(UserError, match="damaged"):
        books(tuner="random", trials=3)


def test_a_chief_on_a_full_disk_says_so(books, monkeypatch, tmp_path):
    opened = books()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("digits.stages.tune.stage.oracle.write_json", refuse)
    chief = Chief(opened, tmp_path)
    chief.save()  # in a thread, where nobody would hear of it
    with pytest.raises(OSError, match="No space left"):
        opened.check()


def _worker(nursery) -> tuple[Worker, Trial, list[dict]]:
    """A worker that asks no chief, a trial for it, and the list of what it tells of that."""
    told = []
    worker = Worker.__new__(Worker)
    worker.space, worker.rows, worker.folds, worker.work = _space(), None, None, Path("nowhere")
    worker.nursery = nursery
    values = keras_tuner.HyperParameters()
    values.values = {"training.optimizer.learning_rate": 0.01, "training.ema": 0.5, "training.batch_size": 16}
    trial = Trial(values, "0001")
    worker.oracle = SimpleNamespace(update_trial=lambda _, metrics, step=0: told.append(metrics) or trial)
    return worker, trial, told


def test_a_worker_that_can_start_no_trials_leaves_its_trial_to_another():
    """keras-tuner takes any other error for a failure of the trial."""
    nursery = Nursery()
    nursery._process.kill()
    nursery._process.join()
    worker, trial, _ = _worker(nursery)
    with pytest.raises(Childless, match="was killed"):
        worker.run_trial(trial)


class Scripted:
    """A nursery whose trials tell what stands in a list for each."""

    def __init__(self, *trials: list[dict]) -> None:
        self.trials = list(trials)

    def begin(self, job):
        self.told = iter(self.trials.pop(0))

    def hear(self, patience):
        return next(self.told)

    def end(self):
        pass


FOLDS_OF_A_TRIAL = [{"fold": fold, "score": Score(10, 0.5 + fold, 0.1, 0.9, 0.1, 1.0)} for fold in range(2)]


@pytest.mark.parametrize(
    "trials",
    [
        [[*FOLDS_OF_A_TRIAL, {"done": True}]],
        [[FOLDS_OF_A_TRIAL[0], {"killed": 9}], [*FOLDS_OF_A_TRIAL, {"done": True}]],
    ],
    ids=["undisturbed", "killed once"],
)
def test_a_trial_that_is_killed_goes_on_and_counts_no_fold_twice(trials):
    worker, trial, _ = _worker(Scripted(*trials))
    assert worker.run_trial(trial)["log_loss"] == 1.0
    assert not worker.nursery.trials


def test_a_trial_that_is_killed_twice_has_failed():
    worker, trial, told = _worker(Scripted([FOLDS_OF_A_TRIAL[0], {"killed": 9}], [{"killed": 9}]))
    with pytest.raises(FailedTrialError, match=r"killed 2 times, by signal 9; is the memory too small\?"):
        worker.run_trial(trial)
    assert list(told[-1]) == [f"{BECAUSE}its process was killed 2 times, by signal 9; is the memory too small?"]


def test_a_worker_does_not_wait_for_a_chief_that_accepts_and_never_answers(books, monkeypatch, tmp_path):
    monkeypatch.setattr("digits.stages.tune.stage.worker.CHIEF_PATIENCE", 1.0)
    books()  # undoes what is announced
    with socket.create_server(("127.0.0.1", 0)) as listening:
        announce("worker", f"127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(ChiefLost, match="does not answer; start it, then this again"):
            Worker(None, None, tmp_path)
