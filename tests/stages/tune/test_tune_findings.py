"""Sentences about a search, of made-up trials."""

import pytest

from digits.config import Tune
from digits.stages.tune import findings

DONE = [
    {"status": "done", "log_loss": loss, "log_loss_se": 0.1, "epochs": 9, "total": 9, "seconds": 30.0}
    for loss in (0.5, 0.55, 0.9)
]
STOPPED = {"status": "stopped", "log_loss": 0.8, "log_loss_se": 0.1, "epochs": 3, "total": 9, "seconds": 30.0}


def test_a_best_trial_is_said_to_be_no_clear_one():
    sentence = findings.outcome([*DONE, STOPPED], "log_loss")
    assert sentence.startswith(
        "4 trials (3 done, 1 stopped); the best has a log loss of 0.50000, standard error 0.10000"
    )
    assert "and 1 other is within one standard error of it" in sentence
    assert "none of them has a score" in findings.outcome([STOPPED], "log_loss")


def test_what_was_spared_is_said_where_something_was():
    assert findings.saving(DONE, Tune(), 9) == []
    assert findings.saving([*DONE, STOPPED], Tune(), 9) == ["The median rule spared about 1 min 00 s of training."]
    halved = [{"tuner/round": 0, "epochs": 1}, {"tuner/round": 0, "epochs": 1}, {"tuner/round": 1, "epochs": 7}]
    (sentence,) = findings.saving(halved, Tune(tuner="hyperband"), 9)
    assert sentence == "Hyperband trained 2 configs with 50% fewer epochs than all to the end."


@pytest.mark.parametrize("status", ["done", "stopped", "failed"])
def test_every_trial_has_a_verdict(status):
    row = STOPPED | {"status": status, "reason": "diverged"}
    words = {"done": "log loss 0.80000 ± 0.10000", "stopped": "worse than the median", "failed": "failed: diverged"}
    assert words[status] in findings.verdict(row, "log_loss")
