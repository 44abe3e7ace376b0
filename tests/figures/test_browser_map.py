"""Images and names of the map in a browser."""

import io

import numpy as np
import pytest
from PIL import Image

from digits.figures import browser_map
from digits.figures.browser_map import SIDE, middles, sprite

RANDOM = np.random.default_rng(0)


def _opened(images: np.ndarray) -> tuple[np.ndarray, int, int]:
    made = sprite(images, "PNG")
    return np.asarray(Image.open(io.BytesIO(made.file))), made.side, made.across


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_stands_in_its_place_on_white(channels):
    images = RANDOM.integers(0, 256, (7, 28, 28, channels), np.uint8)
    sheet, side, across = _opened(images)
    assert (side, across) == (28, 3)
    shown = 255 - images[..., 0] if channels == 1 else images
    for index, image in enumerate(shown):
        top, left = index // across * side, index % across * side
        assert np.array_equal(sheet[top : top + side, left : left + side], image)
    assert (sheet[2 * side :, side:] == 255).all()


@pytest.mark.parametrize("shape", [(40, 56, 56, 1), (40, 56, 30, 3), (1, 9, 5, 1)])
def test_images_of_any_size_become_small_squares(shape):
    sheet, side, across = _opened(np.full(shape, 100, np.uint8))
    assert side == min(SIDE, max(shape[1:3]))
    assert sheet[side // 2, side // 2].max() == (155 if shape[3] == 1 else 100)
    assert sheet.shape[1] == across * side


def test_a_sprite_of_many_images_is_no_wider_than_a_browser_draws(monkeypatch):
    monkeypatch.setattr(browser_map, "WIDEST", 100)
    sheet, side, across = _opened(np.zeros((50, 28, 28, 1), np.uint8))
    assert (side, across) == (12, 8)
    assert sheet.shape == (7 * side, across * side)


def test_names_stand_in_the_midst_of_their_points():
    points = np.array([[0, 0], [2, 2], [1, 9], [7, 7]])
    assert middles(points, np.array([0, 0, 0, 2]), ["a", "b", "c"]) == [("a", 1.0, 2.0), ("c", 7.0, 7.0)]
    assert middles(points[:0], np.array([], int), []) == []
