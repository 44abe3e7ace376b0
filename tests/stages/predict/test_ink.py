"""From pictures of pages to digits."""

import cv2
import numpy as np
import pytest

from digits.data.demo import demo
from digits.stages.predict import ink

DATA = demo()
DIGITS = DATA.train_images[..., 0]
DIGIT = DIGITS[3]
SIDE = 28


def page(digit: np.ndarray, scale: int = 8, dark: int = 20, light: int = 230, margin: int = 60) -> np.ndarray:
    """A digit as a larger picture with dark ink, off the middle: uint8 (height, width)."""
    large = cv2.resize(digit, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) / 255.0
    padded = np.pad(large.clip(0, 1), ((margin, 3 * margin), (2 * margin, margin)))
    return (light + (dark - light) * padded).astype(np.uint8)


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


EXPECTED = ink.to_digit(page(DIGIT), SIDE)


def test_a_training_image_is_nearly_what_it_was():
    assert alike(ink.to_digit(DIGIT, SIDE), DIGIT) > 0.97
    assert alike(EXPECTED, DIGIT) > 0.9


@pytest.mark.parametrize(("dark", "light"), [(230, 20), (100, 160)], ids=["light on dark", "pale"])
def test_ink_is_found_whatever_its_shade(dark, light):
    seen = ink.to_digit(page(DIGIT, dark=dark, light=light), SIDE)
    assert seen.dtype == np.uint8
    assert seen.shape == (SIDE, SIDE)
    assert seen.max() == 255
    assert alike(seen, EXPECTED) > 0.97


def test_it_is_centred_in_a_box_like_that_of_the_training_data():
    rows, columns = np.indices(EXPECTED.shape)
    assert np.average(rows, weights=EXPECTED) == pytest.approx(13.5, abs=0.6)
    assert np.average(columns, weights=EXPECTED) == pytest.approx(13.5, abs=0.6)
    inked = EXPECTED > 40
    spans = [np.ptp(np.flatnonzero(inked.any(axis=axis))) + 1 for axis in (0, 1)]
    assert max(spans) == pytest.approx(20, abs=1)


@pytest.mark.parametrize("side", [12, 28, 40])
def test_any_side(side):
    assert ink.to_digit(page(DIGIT), side).shape == (side, side)


def test_uneven_light_and_the_edge_of_a_shadow_are_no_ink():
    picture = page(DIGIT, dark=110).astype(np.float32)
    height, width = picture.shape
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    shadow = np.where(across + 0.5 * down > 0.9, 0.65, 1.0)
    grain = np.random.default_rng(0).normal(0, 3, picture.shape)
    lit = (picture * (0.75 + 0.25 * down) * shadow + grain).clip(0, 255).astype(np.uint8)
    assert alike(ink.to_digit(lit, SIDE), EXPECTED) > 0.9


def test_a_table_beside_the_paper_hides_no_pencil():
    picture = page(DIGIT, dark=170)
    picture[:18] = 10
    assert alike(ink.to_digit(picture, SIDE), EXPECTED) > 0.9


def test_ruled_paper_specks_and_a_frame_are_left_out():
    picture = page(DIGIT, dark=60)
    picture[20::60] -= 35
    picture[30:33, 400:403] = 60
    assert alike(ink.to_digit(picture, SIDE), EXPECTED) > 0.9
    framed = page(DIGIT)
    cv2.rectangle(framed, (40, 20), (380, 380), 20, 3)
    assert alike(ink.to_digit(framed, SIDE), EXPECTED) > 0.95


@pytest.mark.parametrize("pen", [3, 31], ids=["thin", "thick"])
def test_any_pen_becomes_one_like_that_of_the_training_data(pen):
    picture = np.full((400, 300), 255, np.uint8)
    cv2.polylines(picture, [np.array([[60, 80], [220, 80], [120, 330]])], False, 0, pen)
    seen = ink.to_digit(picture, SIDE)
    assert 1.5 < ink.stroke_width(seen / 255) < 5
    assert not seen[14:, 20:].any()  # it is still a 7


def test_digits_side_by_side_come_from_left_to_right():
    numbers = [3, 7, 11]
    row = np.hstack([page(DIGITS[number], margin=20) for number in numbers])
    seen = ink.to_digits(row, SIDE)
    assert len(seen) == 3
    for image, number in zip(seen, numbers, strict=True):
        assert alike(image, ink.to_digit(page(DIGITS[number]), SIDE)) > 0.95


def test_a_digit_in_pieces_is_one():
    picture = np.full((300, 300), 255, np.uint8)
    cv2.line(picture, (100, 60), (100, 140), 0, 14)  # a 5, its bar set off
    cv2.line(picture, (125, 60), (200, 60), 0, 14)
    cv2.ellipse(picture, (120, 190), (60, 55), 0, -110, 120, 0, 14)
    assert len(ink.to_digits(picture, SIDE)) == 1


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_page_has_no_digit(value):
    blank = np.full((50, 40), value, np.uint8)
    assert ink.to_digit(blank, SIDE) is None
    assert ink.to_digits(blank, SIDE).shape == (0, SIDE, SIDE)


def test_the_grain_of_paper_is_no_ink():
    grain = np.random.default_rng(0).normal(200, 6, (500, 400)).clip(0, 255).astype(np.uint8)
    assert ink.to_digit(grain, SIDE) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (2, 3), (3000, 5)])
def test_pictures_of_odd_shapes_are_no_crash(shape):
    draw = np.random.default_rng(0)
    for picture in (np.zeros(shape, np.uint8), draw.integers(0, 256, shape).astype(np.uint8)):
        seen = ink.to_digits(picture, SIDE)
        assert seen.shape[1:] == (SIDE, SIDE)


def test_one_pixel_of_ink_is_no_crash():
    picture = np.full((50, 40), 255, np.uint8)
    picture[7, 9] = 0
    assert ink.to_digits(picture, SIDE).shape[1:] == (SIDE, SIDE)


@pytest.mark.parametrize("kind", [cv2.INTER_CUBIC, cv2.INTER_NEAREST], ids=["soft", "hard"])
@pytest.mark.parametrize("number", [2, 6, 27, 37, 140])  # whose lines are the widest, or enclose the smallest holes
def test_bold_digits_are_the_same_dark_on_light_and_light_on_dark(number, kind):
    light = np.pad(cv2.resize(DIGITS[number], (240, 240), interpolation=kind), 20)
    (seen,) = ink.to_digits(light, SIDE)
    assert alike(seen, DIGITS[number]) > 0.8
    (dark,) = ink.to_digits(255 - light, SIDE)
    assert alike(dark, seen) > 0.99


@pytest.mark.parametrize("side", [28, 400])
def test_what_a_thin_line_encloses_is_no_ink(side):
    picture = np.full((side, side), 255, np.uint8)
    cv2.ellipse(picture, (side // 2, side // 2), (side // 4, side * 3 // 8), 0, 0, 360, 0, 1)
    cv2.line(picture, (side * 3 // 4, side // 7), (side // 4, side * 6 // 7), 0, 1)  # a slashed 0
    (seen,) = ink.to_digits(picture, SIDE)
    assert 0 < (seen > 128).mean() < 0.25


def test_a_line_in_many_short_pieces_loses_none():
    picture = np.full((400, 400), 255, np.uint8)
    for start in range(0, 360, 30):  # a 0, dashed
        cv2.ellipse(picture, (200, 200), (90, 140), 0, start, start + 18, 0, 8)
    (seen,) = ink.to_digits(picture, SIDE)
    whole = picture.copy()
    cv2.ellipse(whole, (200, 200), (90, 140), 0, 0, 360, 0, 8)
    assert alike(seen, ink.to_digit(whole, SIDE)) > 0.75
