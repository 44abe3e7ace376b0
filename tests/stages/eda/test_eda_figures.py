"""The figures of the exploration."""

import io

import numpy as np
import pandas as pd
import pytest

from digits.config import Augmentation
from digits.ensemble.interval import Interval
from digits.stages.eda import figures
from digits.stages.eda.drift import TwoSampleTest

DRAW = np.random.default_rng(0)
CLASSES = np.array([3, 5, 8])
IMAGES = DRAW.integers(1, 256, (3, 4, 8, 8, 1)).astype(np.uint8)


def text(figure) -> str:
    return " ".join(found.get_text() for found in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def told(figure) -> str:
    """The caption. The figure is saved first, which is when most of it is drawn."""
    figure.savefig(io.BytesIO())
    return " ".join(figure.get_supxlabel().split())


def test_every_bar_has_its_count_and_share():
    figure = figures.label_distribution(np.array([1500, 300, 200]), CLASSES, "A note.")
    assert [bar.get_height() for bar in figure.axes[0].patches] == [1500, 300, 200]
    shown = text(figure)
    assert "1,500\n75.0%" in shown
    assert "200\n10.0%" in shown
    assert told(figure) == "2,000 labelled rows. A note. Dashed: an even share, 33.3%."


def test_samples_have_a_line_a_class():
    figure = figures.class_samples(IMAGES, CLASSES, 1234)
    axes = figure.axes[0]
    assert [found.get_text() for found in axes.texts] == ["3", "5", "8"]
    assert not axes.patches
    height, width = axes.images[0].get_array().shape
    assert width / height == pytest.approx(4 / 3, abs=0.05)
    assert "4 training images of each digit" in told(figure)
    assert "1,234 rows" in told(figure)


def test_intensities_are_a_panel_a_class_without_blank_pixels():
    counts = np.zeros((3, 256), int)
    counts[:, 0] = [80, 50, 90]
    counts[:, 255] = [20, 50, 10]
    figure = figures.intensity_histograms(counts, CLASSES)
    assert [axes.get_title() for axes in figure.axes if axes.patches] == [
        "3: 80.0% blank", "5: 50.0% blank", "8: 90.0% blank",
    ]  # fmt: skip
    values, edges, _ = figure.axes[1].patches[0].get_data()
    assert values.sum() == pytest.approx(0.5)
    assert edges[0] == 1
    assert "from 50.0% (5) to 90.0% (8)" in told(figure)
    assert "100% are brighter than 90% of white" in told(figure)


def test_every_class_has_a_mean_and_a_deviation():
    means, deviations = DRAW.random((2, 3, 8, 8))
    deviations[1] = 2
    figure = figures.class_images(means, deviations, CLASSES)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert np.array_equal(shown, [*means, *deviations])
    assert "to 200.0% (5)" in told(figure)


def test_blank_pixels_are_outlined_and_counted():
    train, test = np.full((2, 6, 6), 0.5)
    train[0, :3] = 0
    test[0, :2] = 0
    figure = figures.blank_map(train, test)
    left, right = figure.axes[:2]
    assert left.get_title() == "training: 3 of 36 pixels always blank"
    assert right.get_title() == "test: 2 of 36 pixels always blank"
    assert [len(axes.collections[0].get_segments()) for axes in (left, right)] == [8, 6]
    assert "2 of them in both tables; 1 have ink in test images only" in told(figure)


def test_without_any_blank_pixel_the_map_draws():
    figure = figures.blank_map(np.ones((4, 4)), np.ones((4, 4)))
    assert "0 of them in both tables; 0 have ink" in told(figure)
    assert "0 of 16 pixels always blank" in text(figure)


def test_ink_and_slant_show_every_class():
    targets = np.repeat([0, 1, 2], 50)
    ink, slant = np.array([0.1, 0.3, 0.2])[targets], np.array([5.0, -2.0, 9.0])[targets]
    ink = ink + DRAW.normal(0, 0.001, 150)
    figure = figures.ink_and_slant(ink, slant, targets, CLASSES)
    assert [len(axes.collections) for axes in figure.axes] == [3, 3]
    assert "median ink: from 10.0% (3) to 30.0% (5); median slant in degrees: from -2.0 (5) to 9.0 (8)" in told(figure)


def test_duplicates_among_the_closest_pairs_are_framed():
    pairs = pd.DataFrame({"distance": [0, 1.5, 3], "ratio": [0, 0.2, 0.4]})
    names = [("train row 1\na 3", f"test row {row}\nno label") for row in range(3)]
    figure = figures.closest_pairs(IMAGES[:, :2], names, pairs, 0.25, "A note.")
    assert [len(axes.patches) for axes in figure.axes[:3]] == [1, 1, 0]
    shown = text(figure)
    assert "the same image" in shown
    assert "distance 1.50, ratio 0.20" in shown
    assert "test row 2\nno label" in shown
    assert told(figure).startswith("A note. Ratio: ")


def test_no_pairs_are_an_empty_sheet():
    none = pd.DataFrame({"distance": [], "ratio": []})
    assert told(figures.closest_pairs(np.zeros((0, 2, 8, 8, 1), np.uint8), [], none, 0.25, "None.")).startswith("None.")


def test_the_roc_curve_goes_through_every_threshold():
    is_test, scores = np.repeat([False, True], 3), np.array([0.1, 0.2, 0.6, 0.3, 0.7, 0.8])
    test = TwoSampleTest(is_test, scores, Interval(0.75, 0.7, 0.8), 0.61, 1e-9)
    figure = figures.two_sample_test(test, "A note.")
    curve = figure.axes[0].lines[1].get_xydata()
    assert curve == pytest.approx(
        np.array([[0, 0], [0, 1 / 3], [0, 2 / 3], [1 / 3, 2 / 3], [1 / 3, 1], [2 / 3, 1], [1, 1]])
    )
    assert told(figure).startswith("A note. Boosted trees were fitted to 3 rows of each table")


def test_the_originals_of_augmentation_are_framed():
    settings = Augmentation(zoom=0.0, shear=0.0, pack=1)
    figure = figures.augmentation_sheet(IMAGES[:, 0], np.repeat(IMAGES[:, :1], 3, axis=1), CLASSES, settings)
    assert len(figure.axes[0].patches) == 3
    assert "3 independent draws: rotation up to 12°, shift up to 10%; " in told(figure)
    assert "100% of the original's ink, and differs from it by 0%" in told(figure)


def test_augmentation_that_is_off_says_so():
    off = Augmentation(rotation=0.0, shift=0.0, zoom=0.0, shear=0.0)
    assert "nothing is on" in told(figures.augmentation_sheet(IMAGES[:, 0], IMAGES, CLASSES, off))
