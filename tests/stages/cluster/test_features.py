"""Features of all members in one space, gathered and kept."""

import numpy as np
import pytest

from digits import runs
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import arrays
from digits.stages.cluster import features
from finished_run import finish


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finish(tmp_path_factory.mktemp("output") / "whole", demo(), seeds=2)


@pytest.fixture(scope="module")
def gathered(run):
    return features.gather(run)


def test_members_of_one_row_agree_once_aligned(run, gathered):
    assert gathered.rows.tolist() == list(range(1078))
    means = np.array([gathered.sources["aligned"][gathered.targets == target].mean(axis=0) for target in range(10)])
    spread = np.mean(
        [gathered.sources["aligned"][gathered.targets == target].std(axis=0).mean() for target in range(10)]
    )
    assert spread < 0.5 * means.std(axis=0).mean()
    for fold in range(3):
        rows = arrays.read(run.member(runs.Member("small", 0, fold)) / "oof.npz")["rows"]
        assert (gathered.folds[rows] == fold).all()


def test_what_is_kept_is_what_was_gathered(run, gathered):
    gathered.store(run)
    restored = features.restore(run)
    for name in ("aligned", "logits", "pixels"):
        assert np.array_equal(restored.sources[name], gathered.sources[name])


def test_a_run_that_was_never_clustered_says_what_to_do(run):
    (run.clusters / "features.npz").unlink(missing_ok=True)
    with pytest.raises(UserError, match="no clusters yet; make them: make cluster RUN=whole"):
        features.restore(run)
    run.clusters.mkdir(exist_ok=True)
    (run.clusters / "features.npz").write_bytes(b"damaged")
    with pytest.raises(UserError, match="no clusters yet"):
        features.restore(run)


def test_a_sample_keeps_rows_together(gathered):
    few = gathered.sample(100, seed=1)
    assert len(few.rows) == 100
    assert (np.diff(few.rows) > 0).all()
    assert np.array_equal(few.sources["aligned"], gathered.sources["aligned"][few.rows])
    assert np.array_equal(few.targets, gathered.targets[few.rows])
    assert gathered.sample(None, seed=1) is gathered


def test_pixels_stay_the_bytes_that_were_read(run, gathered):
    assert np.shares_memory(gathered.sources["pixels"], run.dataset.train_images)
