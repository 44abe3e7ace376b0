"""One fold of a trial, scored in this process."""

import json
from dataclasses import replace

import numpy as np
import pytest

from digits import config
from digits.data.demo import demo
from digits.stages.tune import fold
from digits.stages.tune.fold import FoldJob, Score, combine, score_fold
from digits.training import backend

backend.start(threads=1)  # as everywhere: the tests of one process share its TensorFlow
ROWS = demo().rows.take(np.arange(200))
FOLDS = np.arange(200) % 2


@pytest.fixture
def job(tmp_path) -> FoldJob:
    settings = {"architectures": ["mlp"], "training": {"epochs": 2, "ema": 0.0}, "tune": {"trial_minutes": 1.0}}
    return FoldJob("0003", config.parse(settings, "test"), fold=1, epochs=2, folder=tmp_path)


def test_a_fold_tells_of_its_epochs_and_resumes_from_its_checkpoint(job, capsys):
    score = score_fold(job, ROWS, FOLDS)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["member"] for line in lines} == {"0003"}
    assert sorted({line["epoch"] for line in lines if "epoch" in line}) == [2, 3]
    assert score_fold(job, ROWS, FOLDS) == score
    assert not [line for line in capsys.readouterr().out.splitlines() if "epoch" in json.loads(line)]


def test_a_fold_that_nobody_will_resume_leaves_nothing(job, tmp_path):
    assert isinstance(score_fold(replace(job, folder=None), ROWS, FOLDS), Score)
    assert list(tmp_path.iterdir()) == []


def test_a_fold_ends_when_the_time_is_up(job):
    assert score_fold(replace(job, seconds=-1.0), ROWS, FOLDS) == "took more than 1 minutes (tune.trial_minutes)"


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError(), "out of memory"), (ValueError("no shape\nmore"), "ValueError: no shape")],
)
def test_what_a_library_raises_is_the_reason(job, monkeypatch, error, reason):
    def fail(*_):
        raise error

    monkeypatch.setattr(fold, "_score", fail)
    assert score_fold(job, ROWS, FOLDS) == reason


def test_a_disk_that_refuses_is_no_fault_of_the_trial(job, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fold, "_score", refuse)
    with pytest.raises(OSError, match="No space left"):
        score_fold(job, ROWS, FOLDS)


def test_folds_count_alike():
    whole = combine([Score(10, 1.0, 0.3, 0.5, 0.3, 2.0), Score(30, 2.0, 0.4, 1.0, 0.4, 3.0)])
    assert whole == Score(40, 1.5, 0.25, 0.75, 0.25, 5.0)
