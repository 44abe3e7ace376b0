"""What the rows hold, on images whose ink, slant and blank pixels are known."""

import cv2
import numpy as np
import pytest

from digits.data.demo import demo
from digits.seeds import derive
from digits.stages.eda import measures

SEED = derive(1, "eda")
SIDE = 28
DRAW = np.random.default_rng(0)
IMAGES = measures.grey(demo().train_images)


def bar(top: int = 6, bottom: int = 22, left: int = 13, right: int = 15) -> np.ndarray:
    image = np.zeros((1, SIDE, SIDE), np.uint8)
    image[0, top:bottom, left:right] = 255
    return image


def leaning(image: np.ndarray, degrees: float) -> np.ndarray:
    """The image sheared to the right of its middle row: what is above moves right, what is below moves left."""
    middle, shear = (SIDE - 1) / 2, np.tan(np.radians(degrees))
    moves = np.float32([[1, -shear, shear * middle], [0, 1, 0]])
    return cv2.warpAffine(image[0], moves, (SIDE, SIDE))[None]


def test_mean_and_deviation_of_each_class():
    images = np.array([[[0, 255]], [[0, 255]], [[255, 0]], [[0, 0]]], np.uint8)
    means, deviations = measures.class_images(images, np.array([1, 1, 0, 0]), 2)
    assert means.tolist() == [[[0.5, 0]], [[0, 1]]]
    assert deviations.tolist() == [[[0.5, 0]], [[0, 0]]]


def test_intensities_are_counted_by_class():
    images = np.array([[[0, 7], [7, 255]], [[0, 0], [0, 0]]], np.uint8)
    counts = measures.intensity_counts(images, np.array([1, 0]), 2)
    assert counts.shape == (2, 256)
    assert counts[0, 0] == 4
    assert counts[1, [0, 7, 255]].tolist() == [1, 2, 1]
    assert counts.sum() == images.size


def test_ink_is_the_mean_share_of_white():
    images = np.concatenate([bar(), bar() // 255 * 51, np.zeros((1, SIDE, SIDE), np.uint8)])
    share = 16 * 2 / SIDE**2
    assert measures.shapes(images).ink == pytest.approx([share, 0.2 * share, 0])


@pytest.mark.parametrize("degrees", [-30, -10, 0, 5, 20, 40])
def test_the_slant_is_the_angle_by_which_a_bar_leans(degrees):
    assert measures.shapes(leaning(bar(), degrees)).slant[0] == pytest.approx(degrees, abs=1)


def test_the_slant_does_not_depend_on_where_the_digit_is():
    digits = leaning(IMAGES[:1], 15)
    moved = np.roll(digits, (2, -3), axis=(1, 2))
    assert measures.shapes(moved).slant == pytest.approx(measures.shapes(digits).slant, abs=1e-3)


def test_shearing_a_digit_adds_to_its_slant():
    digit = IMAGES[:1]
    before, after = (measures.shapes(of).slant[0] for of in (digit, leaning(digit, 20)))
    added = np.tan(np.radians(after)) - np.tan(np.radians(before))
    assert np.degrees(np.arctan(added)) == pytest.approx(20, abs=2)


def test_without_height_there_is_no_slant():
    flat = bar(top=10, bottom=11, left=4, right=20)
    corner = np.zeros((1, SIDE, SIDE), np.uint8)
    corner[0, 0, 0] = 1
    shapes = measures.shapes(np.concatenate([flat, corner, np.zeros_like(flat)]))
    assert shapes.slant.tolist() == [0, 0, 0]


def test_components_never_lengthen_a_distance_and_keep_most_of_it():
    images = IMAGES[:300]
    points = measures.components(images, SEED)
    pixels = images.reshape(300, -1) / 255
    true = np.linalg.norm(pixels[:150] - pixels[150:], axis=1)
    seen = np.linalg.norm(points[:150] - points[150:], axis=1)
    assert points.shape == (300, measures.COMPONENTS)
    assert points.dtype == np.float32
    assert (seen <= true + 1e-4).all()
    assert (seen**2).sum() > 0.8 * (true**2).sum()


def test_fewer_rows_or_pixels_make_fewer_components(monkeypatch):
    assert measures.components(IMAGES[:7], SEED).shape == (7, 7)
    assert measures.components(IMAGES[:90, 12:16, 12:16], SEED).shape == (90, 16)
    monkeypatch.setattr(measures, "FITTED_ROWS", 20)
    assert measures.components(IMAGES[:90], SEED).shape == (90, 20)


def test_blocks_change_nothing(monkeypatch):
    shapes, components = measures.shapes(IMAGES), measures.components(IMAGES, SEED)
    monkeypatch.setattr(measures, "BLOCK", 100)
    for before, after in zip(
        (*shapes, components), (*measures.shapes(IMAGES), measures.components(IMAGES, SEED)), strict=True
    ):
        assert after == pytest.approx(before, abs=1e-5)


def test_colours_become_brightness():
    colours = np.array([[[[255, 0, 0], [9, 9, 9]]]], np.uint8)
    assert measures.grey(colours).tolist() == [[[85, 9]]]
    assert measures.grey(colours[..., :1]).tolist() == [[[255, 9]]]
    assert measures.components(DRAW.integers(0, 256, (9, 2, 2, 3)).astype(np.uint8), SEED).shape == (9, 9)
