"""What recipes cost, and which members fit into a time limit; on clocks that the tests set."""

import math

import pytest

from digits import config, runs
from digits.runs import Member
from digits.training import cost
from digits.training.cost import Work
from digits.workers import budget
from digits.workers.budget import MARGIN, Budget, Deadline, Speed

RECIPE = config.parse({"folds": {"count": 3}, "architectures": ["mlp", "small"]}, "test")
MACS = {"mlp": 10, "small": 100}
FIRST, SECOND = Member("mlp", 0, 0), Member("small", 0, 0)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    return now


def planned(hours=math.inf, workers=1, took=lambda member: None, speeds=None, count=3):
    """Of a recipe whose mlp takes 60 s and whose small 600 s, all in all."""
    recipe = config.parse({"folds": {"count": count}, "architectures": ["mlp", "small"]}, "test")
    works = {member: Work(100, 10, 0, 0, MACS[member.architecture]) for member in runs.training_order(recipe)}
    known = {"mlp": Speed(1000 / 60, 0.0), "small": Speed(1000 / 600, 0.0)} if speeds is None else speeds
    return Budget(works, workers, Deadline(0.0, hours), known, took)


def test_every_kind_of_network_comes_before_the_second_fold_of_any():
    names = [member.name for member in runs.training_order(RECIPE)]
    assert names[:4] == ["mlp-s0-f0", "small-s0-f0", "mlp-s0-f1", "small-s0-f1"]
    twice = config.parse({"folds": {"count": 2}, "architectures": ["mlp"], "seeds": 2}, "test")
    assert [member.name for member in runs.training_order(twice)][1:3] == ["mlp-s0-f1", "mlp-s1-f0"]


def test_training_macs_by_hand():
    works = cost.works(RECIPE, MACS, rows=1000, test_rows=50)
    steps = 667 // RECIPE.training.batch_size
    assert cost.training_macs(works.values()) == 3 * 3 * (10 + 100) * steps * 128 * RECIPE.training.epochs
    assert works[FIRST].predicted == 333 + 50


def test_an_inner_split_is_not_trained_on():
    watching = config.parse({"training": {"batch_size": 10, "early_stopping": {"patience": 3}}}, "test").training
    assert cost.images_per_epoch(105, watching) == 90
    assert cost.images_per_epoch(7, watching) == 6


@pytest.mark.parametrize(("macs", "said"), [(7.54e14, "7.5e14"), (3e9, "3.0e9"), (0, "0.0e0")])
def test_macs_are_short(macs, said):
    assert cost.short(macs) == said


def test_the_end_of_training_leaves_time_for_what_follows():
    assert Deadline(100.0, 1.0).training_ends == pytest.approx(100 + 3600 * 0.95)
    assert Deadline(100.0, 10.0).training_ends == pytest.approx(100 + 36000 - 600)
    assert Deadline(100.0).training_ends == math.inf


@pytest.mark.parametrize("seconds", [1, 1000, 100_000])
def test_the_hours_that_are_named_do(clock, seconds):
    clock[0] = 30.0
    hours = Deadline(0.0, 0.001).hours_for(seconds)
    assert seconds <= Deadline(0.0, hours).left() <= seconds / 0.95 + 36


def test_prediction_costs_a_third_of_training():
    assert Speed(100.0, 5.0).seconds(Work(1000, 2, 0, 0, 1)) == 25
    assert Speed(100.0, 5.0).seconds(Work(1000, 2, 300, 600, 1), slowdown=2.0) == pytest.approx(5 + 2 * 24)


def test_without_a_limit_everything_is_trained_in_its_order():
    assert list(planned(speeds={}).in_time()) == list(planned().works)


def test_a_faster_network_is_trained_where_the_next_one_does_not_fit(clock):
    names = []
    for member in planned(hours=1200 / 3600).in_time():
        names.append(member.name)
        clock[0] += 600 if member.architecture == "small" else 60
    assert names == ["mlp-s0-f0", "small-s0-f0", "mlp-s0-f1", "mlp-s0-f2"]


def test_what_does_not_fit_is_said(clock, capsys):
    clock[0] = 3600 * 0.95 - 60
    assert list(planned(hours=1.0).in_time()) == []
    assert capsys.readouterr().out == "No time for 6 of 6 members: 1 min 00 s or more each\n"


def test_times_that_were_measured_replace_those_of_the_warm_up(clock):
    times = {}
    limited = planned(hours=1.0, took=times.get)
    coming = limited.in_time()
    assert next(coming) == FIRST
    times[FIRST] = 12.0  # an epoch: twice as long as expected
    assert limited.seconds()[Member("mlp", 0, 1)] == pytest.approx(120)
    assert limited.seconds()[SECOND] == pytest.approx(1200)  # as the machine is slower, so is this one
    assert next(coming) == SECOND
    times[SECOND] = 60.0
    assert limited.seconds()[SECOND] == pytest.approx(600)
    assert limited.seconds()[FIRST] == pytest.approx(120)


def test_expected_time_of_two_at_a_time(clock, capsys):
    assert budget.print_expected(planned(workers=2)) == pytest.approx(1260)
    assert "Expected: 21 min with 2 networks at a time (5 images/s), to about " in capsys.readouterr().out
    ends = planned(hours=300 / 3600, workers=2).schedule()
    assert [member.name for member in ends] == ["mlp-s0-f0", "mlp-s0-f1", "mlp-s0-f2"]


def test_where_nothing_fits_it_says_what_would(clock):
    said = planned(hours=0.01).too_little()
    assert "the quickest, mlp-s0-f0, takes 1 min 00 s here" in said
    assert "give HOURS=0.03 or more (in a kernel MAX_HOURS), or SET=training.epochs=4 and another RUN=" in said
    assert Deadline(0.0, 0.01).left() >= MARGIN * 60 * 4 / 10
    assert "epochs" not in planned(hours=0.0001).too_little()
