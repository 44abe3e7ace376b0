"""Somebody's own pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from digits import pictures
from digits.data.demo import demo
from digits.errors import UserError

DIGIT = demo().train_images[3]


def photograph(digit: np.ndarray, scale: int = 8, ink: int = 20, paper: int = 230, margin: int = 60) -> np.ndarray:
    """A digit as a larger picture with dark ink, off the middle."""
    large = np.kron(digit, np.ones((scale, scale))) / 255
    page = np.pad(large, ((margin, 3 * margin), (2 * margin, margin)))
    return (paper + (ink - paper) * page).astype(np.uint8)


def file(picture: np.ndarray, kind: str = "PNG", **options: object) -> io.BytesIO:
    saved = io.BytesIO()
    Image.fromarray(picture).save(saved, kind, **options)
    saved.seek(0)
    return saved


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize(
    ("ink", "paper"), [(20, 230), (230, 20), (100, 160)], ids=["dark on light", "light on dark", "pale"]
)
def test_ink_is_found_whatever_its_colour(ink, paper):
    seen = pictures.to_digit(photograph(DIGIT, ink=ink, paper=paper), 28)
    assert seen.dtype == np.uint8
    assert seen.shape == (28, 28)
    assert seen.max() == 255
    assert alike(seen, pictures.to_digit(255 - DIGIT, 28)) > 0.9


def test_it_is_centred_in_a_box_like_that_of_the_training_data():
    seen = pictures.to_digit(photograph(DIGIT), 28).astype(float)
    rows, columns = np.indices(seen.shape)
    assert np.average(rows, weights=seen) == pytest.approx(13.5, abs=0.6)
    assert np.average(columns, weights=seen) == pytest.approx(13.5, abs=0.6)
    inked = seen > 40
    assert max(
        np.ptp(np.flatnonzero(inked.any(axis=1))), np.ptp(np.flatnonzero(inked.any(axis=0)))
    ) + 1 == pytest.approx(20, abs=1)


@pytest.mark.parametrize("side", [12, 28, 40])
def test_any_side(side):
    assert pictures.to_digit(photograph(DIGIT), side).shape == (side, side)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_page_has_no_digit(value):
    assert pictures.to_digit(np.full((50, 40), value, np.uint8), 28) is None


def test_one_pixel_of_ink_is_no_crash():
    page = np.full((50, 40), 255, np.uint8)
    page[7, 9] = 0
    assert pictures.to_digit(page, 28).shape == (28, 28)
    assert pictures.to_digit(np.zeros((1, 1), np.uint8), 28) is None


def test_transparent_paper_is_white():
    rgba = np.zeros((*photograph(DIGIT).shape, 4), np.uint8)
    rgba[..., 3] = 255 - photograph(DIGIT, paper=255, ink=0)
    assert alike(pictures.read(file(rgba)), photograph(DIGIT, paper=255, ink=0)) > 0.99


def test_a_rotation_tag_is_followed():
    tag = Image.Exif()
    tag[0x0112] = 6  # the camera was held upright
    upright = photograph(DIGIT)
    assert alike(pictures.read(file(np.rot90(upright), "JPEG", exif=tag.tobytes())), upright) > 0.9


@pytest.mark.parametrize("content", [b"", b"no picture", file(photograph(DIGIT)).getvalue()[:300]])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(UserError, match="no picture that can be read"):
        pictures.read(io.BytesIO(content))


def test_a_huge_picture_is_refused_before_it_is_opened(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1000)
    with pytest.raises(UserError, match="pixels are too many"):
        pictures.read(file(photograph(DIGIT)))
