import numpy as np
import pytest

from digits.data.folds import assign
from digits.errors import UserError


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (200, 4, 4), dtype=np.uint8), np.arange(200) % 4


def test_folds_are_stratified(rows):
    folds = assign(*rows, count=5, seed=1)
    assert folds.dtype == np.int64 and folds.shape == (200,)
    counts = np.zeros((5, 4), int)
    np.add.at(counts, (folds, rows[1]), 1)
    assert (counts == 10).all()


def test_the_seed_decides(rows):
    one = assign(*rows, count=5, seed=1)
    np.testing.assert_array_equal(one, assign(*rows, count=5, seed=1))
    assert (one != assign(*rows, count=5, seed=2)).any()
    assign(*rows, count=5, seed=2**70)


def test_duplicates_share_a_fold(rows):
    images, labels = rows
    images[100:150] = images[:50]  # each with the label of its first copy: 100 is a multiple of 4
    images[150] = images[1]  # and one with another label
    folds = assign(images, labels, count=5, seed=3)
    np.testing.assert_array_equal(folds[100:150], folds[:50])
    assert folds[150] == folds[1]
    assert set(folds) == set(range(5))


def test_views_are_read_as_they_look(rows):
    images, labels = rows
    np.testing.assert_array_equal(
        assign(images.transpose(0, 2, 1), labels, 5, 0),
        assign(np.ascontiguousarray(images.transpose(0, 2, 1)), labels, 5, 0),
    )


def test_a_class_with_too_few_rows_is_named(rows):
    images, labels = rows
    labels = np.where(np.arange(200) < 3, 7, labels)
    words = r"class 7 has 3 distinct training images, too few for 5 folds; lower folds.count to 3, or add rows of it"
    with pytest.raises(UserError, match=words):
        assign(images, labels, count=5, seed=0)
    assign(images, labels, count=3, seed=0)
    images[:10] = images[0]
    labels[:10] = 9
    for count in (2, 5):  # two folds are the fewest
        with pytest.raises(UserError, match=rf"1 distinct training image, too few for {count} folds; add rows of it"):
            assign(images, labels, count, seed=0)
