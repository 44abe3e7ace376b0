"""Planted duplicates are found, and nothing else is."""

import numpy as np
import pandas as pd
import pytest

from digits.data.demo import demo
from digits.seeds import derive
from digits.stages.eda import duplicates, measures
from digits.stages.eda.duplicates import LIMIT

SEED = derive(1, "eda")
IMAGES = demo().train_images
DRAW = np.random.default_rng(3)


def noisy(images: np.ndarray, levels: int) -> np.ndarray:
    noise = DRAW.integers(-levels, levels + 1, images.shape)
    return np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)


def closest(images: np.ndarray) -> pd.DataFrame:
    return duplicates.closest_pairs(images, measures.components(images, SEED), SEED)


def near(images: np.ndarray) -> set[tuple[int, int]]:
    pairs = closest(images)
    return names(pairs[pairs["ratio"] <= LIMIT])


def names(pairs: pd.DataFrame) -> set[tuple[int, int]]:
    return set(zip(pairs["first"], pairs["second"], strict=True))


def test_the_first_copy_of_every_image():
    assert duplicates.first_copies(IMAGES[[4, 5, 4, 6, 5, 4]]).tolist() == [0, 1, 0, 3, 1, 0]
    assert duplicates.first_copies(IMAGES[:0]).tolist() == []


def test_a_single_grey_level_makes_another_image():
    images = IMAGES[[4, 4]].copy()
    images[1, 0, 0] = 1
    assert duplicates.first_copies(images).tolist() == [0, 1]


def test_exact_pairs_within_and_across_tables():
    images = IMAGES[[7, 8, 7, 7, 9, 7, 10, 10, 8]]  # four to train: 7 8 7 7, five to predict: 9 7 10 10 8
    pairs = duplicates.exact_pairs(images, 4)
    assert names(pairs) == {(0, 2), (0, 3), (0, 5), (6, 7), (1, 8)}
    where = dict(zip(zip(pairs["first"], pairs["second"], strict=True), duplicates.tables(pairs, 4), strict=True))
    assert where == {(0, 2): "train", (0, 3): "train", (0, 5): "across", (6, 7): "test", (1, 8): "across"}
    assert not pairs["distance"].any()


def test_test_rows_that_copy_each_other_and_a_training_row_are_pairs_of_both_kinds():
    pairs = duplicates.exact_pairs(IMAGES[[7, 9, 7, 7]], 2)
    assert sorted(duplicates.tables(pairs, 2)) == ["across", "across", "test"]


def test_without_copies_there_are_no_exact_pairs():
    assert len(duplicates.exact_pairs(IMAGES[:50], 30)) == 0


def test_a_digit_with_a_little_noise_is_a_near_duplicate():
    copied = [3, 50, 400]
    found = near(np.concatenate([IMAGES, noisy(IMAGES[copied], 8)]))
    assert found - near(IMAGES) == {(3, len(IMAGES)), (50, len(IMAGES) + 1), (400, len(IMAGES) + 2)}


def test_several_noisy_copies_of_a_digit_do_not_hide_each_other():
    copies = noisy(IMAGES[[3, 3, 3]], 8)
    rows = [3, *range(len(IMAGES), len(IMAGES) + 3)]
    found = near(np.concatenate([IMAGES, copies]))
    assert {(a, b) for a in rows for b in rows if a < b} <= found


def test_other_digits_of_one_kind_are_no_duplicates():
    ones = IMAGES[demo().train_labels == 1]
    assert near(ones) == set()


def test_the_closest_come_first_and_their_distance_is_that_of_the_pixels():
    images = np.concatenate([IMAGES, noisy(IMAGES[[9]], 5)])
    pairs = closest(images)
    assert (pairs["first"][0], pairs["second"][0]) == (9, len(IMAGES))
    assert (np.diff(pairs["ratio"]) >= 0).all()
    assert (pairs["first"] < pairs["second"]).all()
    assert len(names(pairs)) == len(pairs)
    pixels = images.reshape(len(images), -1) / 255
    assert pairs["distance"].to_numpy() == pytest.approx(
        np.linalg.norm(pixels[pairs["first"]] - pixels[pairs["second"]], axis=1), rel=1e-4
    )


def test_exact_copies_are_not_near_duplicates_too():
    found = near(np.concatenate([IMAGES, IMAGES[:20]]))
    assert found == near(IMAGES)


def test_the_same_duplicates_are_found_in_cells(monkeypatch):
    images = np.concatenate([IMAGES, noisy(IMAGES[::20], 8)])
    whole = near(images)
    monkeypatch.setattr(duplicates, "CELL", 30)
    assert len(list(duplicates._cells(measures.components(images, SEED), 11, SEED))) > 2 * duplicates.PROBES
    assert len(whole) >= 0.95 * len(IMAGES[::20])
    assert near(images) == whole


def test_cells_widen_until_they_hold_enough_neighbours(monkeypatch):
    monkeypatch.setattr(duplicates, "CELL", 2)
    points = measures.components(IMAGES[:200], SEED)
    for _, around in duplicates._cells(points, 60, SEED):
        assert len(around) >= 60


def test_no_image_is_paired_with_itself_even_where_components_cannot_tell_them_apart():
    pairs = duplicates.closest_pairs(IMAGES[:60], np.zeros((60, 2), np.float32), SEED)
    assert len(pairs)
    assert (pairs["first"] < pairs["second"]).all()
    assert pairs["distance"].min() > 0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_images_are_no_error(count):
    images = IMAGES[:count]
    assert len(closest(images)) <= count * (count - 1) // 2
    assert len(closest(np.repeat(images[:1], 5, axis=0))) == 0
