"""The pictures of README and docs/: the map of digits, and what is asked for first."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

import docs_pictures
from command import refuse
from digits.data.demo import demo
from docs_pictures import GLYPH, LIGHTS, PAPER, SIDE, WIDEST, digit_map, save, side_by_side
from finished_run import finish


def _ink(sheet: np.ndarray) -> np.ndarray:
    return np.abs(sheet - to_rgb(PAPER)).max(axis=2) > 1e-9


def test_digits_lie_where_their_points_do_in_the_colour_of_their_class():
    points = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
    sheet = digit_map(points, np.full((4, 28, 28), 255, np.uint8), np.arange(4))
    last = (SIDE // GLYPH - 1) * GLYPH
    for (x, y), colour in zip(points, LIGHTS, strict=False):
        top, left = int(last * y / 10), int(last * x / 10)
        assert np.allclose(sheet[top : top + GLYPH, left : left + GLYPH], to_rgb(colour))
    assert _ink(sheet).sum() == 4 * GLYPH**2


def test_no_digit_is_drawn_over_another():
    points = np.random.default_rng(0).normal(size=(3000, 2))
    images = np.full((3000, 28, 28), 255, np.uint8)
    sheet = digit_map(points, images, np.arange(3000) % 12)  # more classes than colours
    cells = sheet[: SIDE // GLYPH * GLYPH, : SIDE // GLYPH * GLYPH].reshape(SIDE // GLYPH, GLYPH, -1, GLYPH, 3)
    assert np.ptp(cells, axis=(1, 3)).max() < 1e-9


def test_a_picture_is_made_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 3200, 3), dtype=np.uint8)
    save(Image.fromarray(noise), "wide", tmp_path)
    with Image.open(tmp_path / "wide.png") as picture:
        assert picture.size == (WIDEST, 150)
        assert picture.mode == "P"
    assert [path.name for path in tmp_path.iterdir()] == ["wide.png"]


def test_maps_stand_side_by_side_pixel_for_pixel():
    figure = side_by_side({"one": np.ones((SIDE, SIDE, 3)), "other": np.zeros((SIDE, SIDE, 3))})
    drawn = np.asarray(docs_pictures._drawn(figure))
    assert drawn.shape[1] == WIDEST
    assert (drawn == 255).all(axis=2).sum() == SIDE**2


@pytest.mark.parametrize("stage", ["history.png", "clusters/map_tsne.png", "report.html"])
def test_what_was_not_made_yet_is_named(tmp_path, stage):
    folder = finish(tmp_path / "output/some", demo()).folder
    for name in (*docs_pictures.FIGURES.values(), "report.html"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / stage).unlink()
    options = ("--output", folder.parent, "--run", folder.name, "--data", "demo")
    line = refuse(*options, app=docs_pictures.app)
    assert f"has no {stage}; make it: make evaluate cluster report RUN={folder.name}" in line
