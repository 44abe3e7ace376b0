"""The competitions that `make bench-scale` measures are reproducible, accepted, and without copies."""

import errno

import numpy as np
import pytest

import big_table
from digits.data import find, read
from digits.data.demo import demo

ORIGINALS = demo().rows.take(np.arange(50))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("big")
    big_table.write(ORIGINALS, folder, 230, seed=3)
    return folder


def test_it_is_read_as_any_competition(folder, tmp_path):
    dataset = read(find(str(folder)), tmp_path)
    assert dataset.train_images.shape == (230, 28, 28, 1)
    assert dataset.test_images.shape == (57, 28, 28, 1)
    each = np.bincount(dataset.train_labels, minlength=10)
    assert (np.abs(each - 230 / 50 * np.bincount(ORIGINALS.targets, minlength=10)) <= 10).all()
    ink = dataset.train_images.mean() / ORIGINALS.images.mean()
    assert 0.9 < ink < 1.1


def test_no_image_comes_twice(folder, tmp_path):
    dataset = read(find(str(folder)), tmp_path)
    images = np.concatenate([dataset.train_images, dataset.test_images])
    assert len(np.unique(images, axis=0)) == len(images)


def test_an_image_that_comes_again_is_left_out():
    same = ORIGINALS.take(np.zeros(40, int))  # packs of 16 share a draw
    assert len(next(big_table.redrawn(same, 0))) == 3


def test_the_seed_decides_every_byte(folder, tmp_path):
    def written(seed):
        big_table.write(ORIGINALS, tmp_path, 230, seed)
        return [(tmp_path / name).read_bytes() for name in ("train.csv", "test.csv")]

    assert written(3) == [(folder / name).read_bytes() for name in ("train.csv", "test.csv")]
    assert written(4) != written(3)


def test_without_the_test_rows_no_table_is_left(tmp_path, monkeypatch):
    def full(path, blocks, rows, labelled):
        path.write_text("rows")
        if not labelled:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(big_table, "_write", full)
    with pytest.raises(OSError, match="No space"):
        big_table.write(ORIGINALS, tmp_path, 230)
    assert list(tmp_path.iterdir()) == []
