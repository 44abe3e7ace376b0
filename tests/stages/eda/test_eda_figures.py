"""The figures of the exploration."""

import io

import numpy as np
import pandas as pd
import pytest

from digits.config import Augmentation
from digits.ensemble.interval import Interval
from digits.stages.eda import figures, findings
from digits.stages.eda.drift import TwoSampleTest

DRAW = np.random.default_rng(0)
CLASSES = np.array([3, 5, 8])
IMAGES = DRAW.integers(1, 256, (3, 4, 8, 8, 1)).astype(np.uint8)

NO_PAIRS = {"train": 0, "test": 0, "across": 0, "conflicting": 0}
RECORD = {
    "rows": {"train": 2000, "test": 500},
    "classes": [
        {"class": label, "rows": rows, "share": rows / 2000, "ink": ink, "slant": slant}
        for label, rows, ink, slant in ((3, 1500, 0.1, 5.0), (5, 300, 0.3, -2.0), (8, 200, 0.2, 9.0))
    ],
    "blank": {"train": 3, "test": 2, "both": 2, "train_only": 1},
    "duplicates": {"exact": NO_PAIRS, "near": NO_PAIRS, "limit": 0.25, "neighbours": 10},
    "drift": {
        "auc": 0.5,
        "auc_interval": [0.4, 0.6],
        "accuracy": 0.5,
        "p_value": 0.5,
        "differ": False,
        "judged_rows": 4,
    },
}  # fmt: skip


def text(figure) -> str:
    return " ".join(found.get_text() for found in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def drawn(figure) -> None:
    """Save it, which is when most of it is drawn."""
    figure.savefig(io.BytesIO())


def test_every_bar_has_its_count_and_share():
    figure = figures.label_distribution(np.array([1500, 300, 200]), CLASSES)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [1500, 300, 200]
    shown = text(figure)
    assert "1,500\n75.0%" in shown
    assert "200\n10.0%" in shown
    drawn(figure)


def test_samples_have_a_line_a_class():
    figure = figures.class_lines(IMAGES, CLASSES)
    axes = figure.axes[0]
    assert [found.get_text() for found in axes.texts] == ["3", "5", "8"]
    assert not axes.patches
    height, width = axes.images[0].get_array().shape
    assert width / height == pytest.approx(4 / 3, abs=0.05)
    drawn(figure)
    assert findings.samples(4, 1234).text == "4 of each, drawn at random from 1,234 rows and not selected."


def test_intensities_leave_out_blank_pixels():
    counts = np.zeros((3, 256), int)
    counts[:, 0] = [80, 50, 90]
    counts[:, 255] = [20, 50, 10]
    figure = figures.intensity_histogram(counts)
    values, edges, _ = figure.axes[0].patches[0].get_data()
    assert values.sum() == pytest.approx(80 / 300)
    assert edges[0] == 1
    drawn(figure)
    told = findings.intensities(counts, CLASSES).text
    assert "from 50.0% (5) to 90.0% (8)" in told
    assert "100% are brighter than 90% of white" in told


def test_every_class_has_a_mean_and_a_deviation():
    means, deviations = DRAW.random((2, 3, 8, 8))
    deviations[1] = 2
    figure = figures.class_images(means, deviations, CLASSES)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert np.array_equal(shown, [*means, *deviations])
    drawn(figure)
    assert "to 200.0% (5)" in findings.means(deviations, CLASSES).text


def test_blank_pixels_are_outlined_and_counted():
    train = np.full((6, 6), 0.5)
    train[0, :3] = 0
    figure = figures.blank_map(train)
    assert len(figure.axes[0].collections[0].get_segments()) == 8
    drawn(figure)
    drawn(figures.blank_map(np.ones((4, 4))))
    told = findings.captions(RECORD)["blank"].text
    assert "the 3 pixels that are blank in every training image; 2 are in every test image, 2 in both; 1 have" in told


def test_ink_and_slant_show_every_class():
    targets = np.repeat([0, 1, 2], 50)
    ink, slant = np.array([0.1, 0.3, 0.2])[targets], np.array([5.0, -2.0, 9.0])[targets]
    ink = ink + DRAW.normal(0, 0.001, 150)
    figure = figures.ink_and_slant(ink, slant, targets, CLASSES)
    assert [len(axes.collections) for axes in figure.axes] == [3, 3]
    drawn(figure)
    told = findings.captions(RECORD)["ink_slant"].text
    assert "Median ink from 10.0% (3) to 30.0% (5); median slant in degrees from -2.0 (5) to 9.0 (8)." in told


def test_duplicates_among_the_closest_pairs_are_framed():
    pairs = pd.DataFrame({"distance": [0, 1.5, 3], "ratio": [0, 0.2, 0.4]})
    names = [("train row 1\na 3", f"test row {row}\nno label") for row in range(3)]
    figure = figures.closest_pairs(IMAGES[:, :2], names, pairs, 0.25)
    assert [len(axes.patches) for axes in figure.axes[:3]] == [1, 1, 0]
    shown = text(figure)
    assert "the same image" in shown
    assert "distance 1.50, ratio 0.20" in shown
    assert "test row 2\nno label" in shown
    drawn(figure)
    assert "Ratio: the distance over that to the 10th neighbour" in findings.captions(RECORD)["duplicates"].text


def test_the_scores_of_both_tables_are_drawn():
    is_test, scores = np.repeat([False, True], 3), np.array([0.1, 0.2, 0.6, 0.3, 0.7, 0.8])
    figure = figures.two_sample_test(TwoSampleTest(is_test, scores, Interval(0.75, 0.7, 0.8), 0.61, 1e-9))
    assert [name.get_text() for name in figure.axes[0].get_legend().get_texts()] == ["training rows", "test rows"]
    drawn(figure)
    drift = RECORD["drift"] | {"judged_rows": 6}
    assert "fitted to 3 rows of each table" in findings.captions(RECORD | {"drift": drift})["drift"].text
    assert "drift" not in findings.captions(RECORD | {"drift": None})


def test_the_originals_of_augmentation_are_framed():
    settings, draws = Augmentation(zoom=0.0, shear=0.0, pack=1), np.repeat(IMAGES[:, :1], 3, axis=1)
    figure = figures.class_lines(np.concatenate([IMAGES[:, :1], draws], axis=1), CLASSES, framed=True)
    assert len(figure.axes[0].patches) == 3
    drawn(figure)
    told = findings.augmentation(IMAGES[:, 0], draws, settings).text
    assert "3 independent draws: rotation up to 12°, shift up to 10%. " in told
    assert "100% of the original's ink, and differs from it by 0%" in told


def test_augmentation_that_is_off_says_so():
    off = Augmentation(rotation=0.0, shift=0.0, zoom=0.0, shear=0.0)
    assert "nothing is on" in findings.augmentation(IMAGES[:, 0], IMAGES, off).text
