"""The figures of an evaluation."""

import numpy as np
import pytest
from PIL import Image

from digits.ensemble.interval import wilson
from digits.figures import sheets
from digits.figures.history import fold_histories
from digits.stages.evaluate import figures
from digits.stages.evaluate import measures as evaluation
from digits.stages.evaluate.measures import Rescue

DRAW = np.random.default_rng(0)
CONFIDENCE = 1 - 10 ** DRAW.uniform(-6, -0.2, 3000)
RIGHT = DRAW.random(3000) < CONFIDENCE
PERFECT = np.ones(3000, bool)
CLASSES = np.array([3, 5, 8])


def drawn(figure, path) -> str:
    """Save it, which finds what cannot be drawn; its caption."""
    figure.savefig(path / "figure.png")
    return " ".join(figure.get_supxlabel().split())


def test_a_dot_and_an_interval_for_every_score_there_is(tmp_path):
    counts = np.array([[90, 10, 0], [0, 99, 1], [5, 5, 0]])
    figure = figures.digit_scores(evaluation.by_digit(counts), CLASSES, wilson(189, 210))
    dots = [[line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"] for axes in figure.axes]
    assert dots[0] == pytest.approx([90 / 95, 99 / 114, 0])
    assert dots[1] == pytest.approx([0.9, 0.99, 0])
    caption = drawn(figure, tmp_path)
    assert "F1 is lowest for 8 (0.00%), highest for 5 (92.52%);" in caption
    assert "accuracy 90.000%" in caption


def test_a_digit_without_rows_has_no_dot(tmp_path):
    figure = figures.digit_scores(evaluation.by_digit(np.diag([9, 9, 0])), CLASSES, wilson(18, 18))
    assert all(sum(line.get_marker() == "o" for line in axes.lines) == 2 for axes in figure.axes)
    assert "F1 is 100.00% for every digit" in drawn(figure, tmp_path)


def test_intervals_that_overlap_are_said_to(tmp_path):
    digits = evaluation.by_digit(np.array([[9, 1, 0], [0, 9, 0], [0, 0, 9]]))
    figure = figures.digit_scores(digits, CLASSES, wilson(27, 28))
    assert "their intervals overlap" in drawn(figure, tmp_path)


def test_the_reliability_diagram_counts_every_row_twice(tmp_path):
    stages = {"before": (CONFIDENCE / 2, RIGHT), "after": (CONFIDENCE, RIGHT)}
    figure = figures.reliability_diagram(stages, {"before": 0.4567, "after": 0.0123})
    plain, nines, below, rows = figure.axes
    for axes in (below, rows):
        assert [int(line.get_ydata().sum()) for line in axes.lines] == [3000, 3000]
    assert nines.get_xlim()[0] == 1 > nines.get_xlim()[1] > 0
    assert [text.get_text() for text in plain.get_legend().get_texts()] == ["before: ECE 0.4567", "after: ECE 0.0123"]
    caption = drawn(figure, tmp_path)
    assert f"after: mean confidence {CONFIDENCE.mean():.3%}, {RIGHT.mean():.3%} right, ECE 0.0123" in caption


def test_the_histogram_has_every_right_and_every_wrong_row(tmp_path):
    figure = figures.confidence_histogram(CONFIDENCE, RIGHT)
    heights = [sum(bar.get_height() for bar in bars) for bars in figure.axes[0].containers]
    assert heights == [RIGHT.sum(), (~RIGHT).sum()]
    assert f"of the {(~RIGHT).sum():,} mistakes" in drawn(figure, tmp_path)


def test_a_certain_choice_is_on_the_axis_too(tmp_path):
    figure = figures.confidence_histogram(np.array([1.0, 1.0, 0.5]), np.array([True, True, False]))
    assert sum(bar.get_height() for bar in figure.axes[0].containers[0]) == 2
    assert "6 nines" in {text.get_text() for text in figure.axes[0].get_xticklabels()}
    drawn(figure, tmp_path)


def test_coverage_says_where_the_promise_ends(tmp_path):
    curve = evaluation.coverage(CONFIDENCE, RIGHT)
    point = curve.widest(0.99)
    caption = drawn(figures.coverage_curve(curve, 0.99), tmp_path)
    assert f"99.0% (dashed) holds for {curve.shares[point]:.2%} of the rows" in caption
    assert "is never reached" in drawn(figures.coverage_curve(evaluation.coverage(CONFIDENCE, ~PERFECT), 0.9), tmp_path)


def test_nothing_wrong_is_drawn_too(tmp_path):
    curve = evaluation.coverage(CONFIDENCE, PERFECT)
    assert "no row is wrong: " in drawn(figures.coverage_curve(curve, 0.999), tmp_path)
    assert "no row is wrong" in drawn(figures.confidence_histogram(CONFIDENCE, PERFECT), tmp_path)
    drawn(figures.reliability_diagram({"only": (np.ones(5), np.ones(5, bool))}, {"only": 0.0}), tmp_path)


def test_the_matrix_shows_every_pair_that_has_rows_in_common(tmp_path):
    shares = np.array([[1, 0.99, np.nan], [0.99, 1, 0.9], [np.nan, 0.9, 1]])
    figure = figures.agreement_matrix({"rows": (["a", "b", "c"], shares), "one": (["a"], np.ones((1, 1)))})
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["1.00", "1.00", "10.00", "10.00"]
    caption = drawn(figure, tmp_path)
    assert "rows: 5.50% on average, most b and c (10.00%); one: there is no pair" in caption


def test_rescued_to_the_right_and_spoilt_to_the_left(tmp_path):
    figure = figures.rescued_bars({"a-s0": Rescue(100, 30, 20, 5), "b-s0": Rescue(100, 25, 12, 2)}, 15)
    assert sorted(bar.get_width() for bar in figure.axes[0].patches) == [-5, -2, 12, 20]
    caption = drawn(figure, tmp_path)
    assert "the ensemble has 15 mistakes; alone, b-s0 has the fewest (25) and a-s0 the most (30)" in caption
    alone = figures.rescued_bars({"a-s0": Rescue(100, 30, 0, 0)}, 30)
    assert "there is nothing to rescue" in drawn(alone, tmp_path)


def test_every_fold_has_its_curve_and_every_architecture_its_column(tmp_path):
    def history(epochs: int, last: float) -> np.ndarray:
        rows = np.zeros(epochs, dtype=[(name, float) for name in ("epoch", "held_out_loss", "held_out_accuracy")])
        rows["epoch"] = np.arange(1, epochs + 1)
        rows["held_out_loss"], rows["held_out_accuracy"] = 1 / rows["epoch"], np.linspace(0.5, last, epochs)
        return rows

    folds = {0: [history(4, 0.98)], 1: [history(6, 0.99)]}
    figure = fold_histories({"small": folds, "mlp": {0: [history(6, 0.9)] * 2, 1: [history(1, 0.5)]}})
    small, mlp, small_error, _ = figure.axes
    assert [axes.get_title() for axes in (small, mlp)] == ["small", "mlp"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 4, 3, 4]  # and their mean
    mean = small_error.lines[-1].get_ydata()
    expected = (folds[0][0]["held_out_accuracy"] + folds[1][0]["held_out_accuracy"][:4]) / 2
    assert mean == pytest.approx(1 - expected)
    assert "small 1.00% to 2.00%, worst in fold 0; mlp 10.00% to 50.00%, worst in fold 1" in drawn(figure, tmp_path)


def test_a_sheet_has_every_text_over_its_image():
    images = DRAW.integers(1, 256, (5, 8, 8)).astype(np.uint8)
    figure = sheets.sheet(images, [f"{number}\nsecond" for number in range(5)], "title", "note", columns=3)
    (axes,) = figure.axes
    places = [text.get_position() for text in axes.texts]
    assert len({x for x, _ in places}) == 3
    assert len({y for _, y in places}) == 2
    x, y = places[4]  # the second of the second line
    shown = np.asarray(axes.images[0].get_array())
    top, left = int(y) + 1, int(x) - 4
    assert np.allclose(shown[top : top + 8, left : left + 8], 1 - images[4] / images[4].max())
    assert (shown[top - 2 : top, left : left + 8] == 1).all()


def test_a_grey_picture_is_the_same_to_the_eye(tmp_path):
    images = DRAW.integers(1, 256, (5, 8, 8)).astype(np.uint8)
    figure = sheets.sheet(images, ["text"] * 5, "title", "note")
    sheets.save_grey(figure, tmp_path / "grey.png")
    figure.savefig(tmp_path / "full.png")
    grey, full = (np.asarray(Image.open(tmp_path / name).convert("L"), int) for name in ("grey.png", "full.png"))
    assert np.abs(grey - full).max() <= 5
    assert grey.max() == 255
    assert (tmp_path / "grey.png").stat().st_size < (tmp_path / "full.png").stat().st_size / 2


def test_a_long_caption_goes_on_several_lines():
    figure = sheets.sheet(np.zeros((1, 8, 8), np.uint8), ["x"], "title", "word " * 100, columns=4)
    assert max(map(len, figure.get_supxlabel().splitlines())) <= 14 * figure.get_figwidth()
