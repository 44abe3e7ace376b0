"""Contact sheets."""

import numpy as np
import pytest
from PIL import Image

from digits.figures import sheets

IMAGES = np.random.default_rng(0).integers(1, 256, (5, 8, 8, 1)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_has_every_text_over_its_image(channels):
    images = np.repeat(IMAGES, channels, axis=3)
    figure = sheets.sheet(images, [f"{number}\nsecond" for number in range(5)], columns=3)
    (axes,) = figure.axes
    positions = [text.get_position() for text in axes.texts]
    assert len({x for x, _ in positions}) == 3
    assert len({y for _, y in positions}) == 2
    x, y = positions[4]  # the second of the second line
    shown = np.asarray(axes.images[0].get_array())
    top, left = int(y) + 1, int(x) - 4
    expected = 1 - IMAGES[4, :, :, 0] / IMAGES[4].max() if channels == 1 else images[4] / 255
    assert np.allclose(shown[top : top + 8, left : left + 8], expected)
    assert (shown[top - 2 : top, left : left + 8] == 1).all()


def test_a_grey_picture_is_the_same_to_the_eye(tmp_path):
    figure = sheets.sheet(IMAGES, ["text"] * 5)
    sheets.save_grey(figure, tmp_path / "grey.png")
    figure.savefig(tmp_path / "full.png")
    grey, full = (np.asarray(Image.open(tmp_path / name).convert("L"), int) for name in ("grey.png", "full.png"))
    assert np.abs(grey - full).max() <= 5
    assert grey.max() == 255
    assert (tmp_path / "grey.png").stat().st_size < (tmp_path / "full.png").stat().st_size / 2
