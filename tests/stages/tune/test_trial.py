"""A trial in this process, without chief and worker."""

import numpy as np

from digits import config
from digits.data import Rows
from digits.data.demo import demo
from digits.stages.tune.trial import Job, evaluate

EPOCHS, FOLDS = 2, 2


def test_a_trial_that_goes_on_tells_of_the_epochs_of_before(tmp_path):
    """Those of folds that are scored already, and of one that was killed between its last epoch and its score."""
    settings = config.parse({"architectures": ["mlp"], "training": {"epochs": EPOCHS, "ema": 0.0}}, "test")
    rows = Rows(demo().train_images[:200], demo().targets[:200])
    job = Job(settings, rows, np.arange(200) % FOLDS, range(FOLDS), tmp_path)
    told: list[dict] = []
    evaluate(job, told.append)
    assert [of["epochs"] for of in told if "epochs" in of] == [1, 2, 2, 3, 4, 4]
    (tmp_path / "fold-1.json").unlink()
    again: list[dict] = []
    evaluate(job, again.append)
    assert [of["epochs"] for of in again if "epochs" in of] == [2, 4]
    assert all(of["total"] == EPOCHS * FOLDS for of in again if "epochs" in of)
    assert [of["score"] for of in again if "score" in of] == [of["score"] for of in told if "score" in of]
