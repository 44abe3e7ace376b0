"""Augmentation: seeded, in order, and each transform does what its name says."""

import numpy as np
import pytest

from digits.config import Augmentation
from digits.data.demo import demo
from digits.seeds import derive
from digits.training.augment import augment

SEED = derive(1, "augment")
OFF = {"rotation": 0.0, "shift": 0.0, "zoom": 0.0, "shear": 0.0}
ALL = {
    "rotation": {"rotation": 20.0},
    "shift": {"shift": 0.2},
    "zoom": {"zoom": 0.3},
    "shear": {"shear": 20.0},
    "elastic": {"elastic": {"probability": 1.0}},
    "grid": {"grid": {"probability": 1.0}},
    "erasing": {"erasing": {"probability": 1.0, "scale": 0.3}},
}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return demo().train_images[:100]


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_bytes_other_seed_others(images, name):
    settings = Augmentation.model_validate(OFF | ALL[name])
    first = augment(images, settings, SEED)
    assert first.dtype == np.uint8
    assert first.shape == images.shape
    assert np.array_equal(first, augment(images, settings, SEED))
    assert not np.array_equal(first, augment(images, settings, derive(2, "augment")))
    assert not np.array_equal(first, images)


def test_nothing_on_changes_nothing(images):
    assert augment(images, Augmentation(**OFF), SEED) is images
    assert np.array_equal(augment(images, Augmentation(**OFF), SEED, np.array([5, 2])), images[[5, 2]])


def test_some_rows_of_a_table_are_drawn_as_a_table_of_them(images):
    settings, rows = Augmentation.model_validate(OFF | ALL["rotation"]), np.arange(90, 10, -3)
    assert np.array_equal(augment(images, settings, SEED, rows), augment(images[rows], settings, SEED))


@pytest.mark.parametrize("pack", [1, 7, 16, 1000])
def test_images_keep_their_rows(images, pack):
    """Whatever the packing, row i of the result is made from row i: it is nearest to it of all."""
    settings = Augmentation(**OFF | {"rotation": 5.0, "zoom": 0.05}, pack=pack)
    flat = augment(images, settings, SEED).reshape(len(images), -1).astype(float)
    sources = images.reshape(len(images), -1).astype(float)
    distances = ((flat[:, None] - sources[None]) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == np.arange(len(images))).mean() > 0.95


def test_a_pack_shares_one_draw_and_packs_differ():
    square = np.zeros((28, 28, 1), np.uint8)
    square[10:18, 10:18] = 255
    images = np.repeat(square[None], 64, axis=0)
    augmented = augment(images, Augmentation(**OFF | {"rotation": 30.0}, pack=16), SEED)
    assert len(np.unique(augmented.reshape(64, -1), axis=0)) == 4


def test_shift_moves_by_no_more_than_its_share():
    dot = np.zeros((500, 20, 20, 1), np.uint8)
    dot[:, 10, 10] = 255
    moved = augment(dot, Augmentation(**OFF | {"shift": 0.2}, pack=1), SEED)[..., 0]
    rows, columns = np.indices((20, 20))
    mass = moved.sum(axis=(1, 2))
    away = np.abs(np.stack([(moved * rows).sum((1, 2)) / mass, (moved * columns).sum((1, 2)) / mass]) - 10)
    assert away.max() <= 4.0 + 1e-6
    assert away.max() >= 3.0


def test_erasing_only_takes_ink_away(images):
    erased = augment(images, Augmentation.model_validate(OFF | ALL["erasing"]), SEED)
    assert (erased <= images).all()
    assert (erased < images).any()


@pytest.mark.parametrize("shape", [(1, 12, 12, 1), (40, 12, 9, 3)])
def test_images_of_another_size_a_single_image_and_colours(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    settings = Augmentation.model_validate({key: value for part in ALL.values() for key, value in part.items()})
    assert augment(images, settings, SEED).shape == shape


def test_the_channels_of_an_image_stay_together(images):
    colours = np.concatenate([images, images // 2, images * 0], axis=3)
    settings = Augmentation(**OFF | {"rotation": 5.0}, pack=7)
    drawn = augment(colours, settings, SEED).astype(float)
    assert np.abs(drawn[..., 0] / 2 - drawn[..., 1]).max() < 2
    assert not drawn[..., 2].any()
