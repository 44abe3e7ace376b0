"""The figures of an evaluation."""

import numpy as np
import pytest
from small_evaluation import CONFIDENCE, LABELS, RIGHT, evaluation, predictions

from digits.stages.evaluate import figures, measures
from digits.stages.evaluate.measures import RAW, SCALED, Rescue

PERFECT = np.ones(3000, bool)


def drawn(figure, path) -> str:
    """Save it, which finds what cannot be drawn; its caption."""
    figure.savefig(path / "figure.png")
    return " ".join(figure.get_supxlabel().split())


def test_a_dot_and_an_interval_for_every_score_there_is(tmp_path):
    found = evaluation()
    figure = figures.class_scores(found)
    for axes, name in zip(figure.axes, ("precision", "recall", "f1"), strict=True):
        dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
        assert dots == pytest.approx([getattr(scores, name).value for scores in found.classes])
    caption = drawn(figure, tmp_path)
    assert caption.startswith("The hardest digit is ")
    assert f"accuracy of all rows, {RIGHT.mean():.3%}" in caption


def test_a_class_without_rows_has_no_dot(tmp_path):
    two = np.arange(3000) % 3 < 2
    both = predictions(CONFIDENCE, PERFECT)
    taken = {name: getattr(both, name)[two] for name in ("rows", "folds", "targets", "chosen", "probabilities")}
    figure = figures.class_scores(evaluation(measures.Predictions(**taken)))
    assert all(sum(line.get_marker() == "o" for line in axes.lines) == 2 for axes in figure.axes)
    drawn(figure, tmp_path)


def test_the_reliability_diagram_counts_every_row_twice(tmp_path):
    steps = {RAW: predictions(CONFIDENCE / 2 + 0.3), SCALED: predictions()}
    found = evaluation(steps[SCALED], steps[RAW])
    figure = figures.reliability_diagram(steps, found)
    plain, nines, below, rows = figure.axes
    for axes in (below, rows):
        assert [int(line.get_ydata().sum()) for line in axes.lines] == [3000, 3000]
    assert nines.get_xlim()[0] == 1 > nines.get_xlim()[1] > 0
    errors = [found.calibration.stages[name].ece for name in steps]
    texts = [text.get_text() for text in plain.get_legend().get_texts()]
    assert texts == [f"{name}: ECE {error:.4f}" for name, error in zip(steps, errors, strict=True)]
    assert f"differ by {errors[1]:.4f} on average" in drawn(figure, tmp_path)


def test_the_histogram_has_every_right_and_every_wrong_row(tmp_path):
    figure = figures.confidence_histogram(predictions())
    heights = [sum(bar.get_height() for bar in bars) for bars in figure.axes[0].containers]
    assert heights == [RIGHT.sum(), (~RIGHT).sum()]
    assert f"of the {(~RIGHT).sum():,} mistakes" in drawn(figure, tmp_path)


def test_a_certain_choice_is_on_the_axis_too(tmp_path):
    figure = figures.confidence_histogram(predictions(np.array([1.0, 1.0, 0.5]), np.array([True, True, False])))
    assert sum(bar.get_height() for bar in figure.axes[0].containers[0]) == 2
    assert "6 nines" in {text.get_text() for text in figure.axes[0].get_xticklabels()}
    drawn(figure, tmp_path)


@pytest.mark.parametrize("right", [RIGHT, PERFECT, ~PERFECT], ids=["some", "all", "none"])
def test_coverage_tells_where_the_promise_ends(tmp_path, right):
    found = predictions(CONFIDENCE, right)
    curve = measures.coverage_curve(found.confidence, found.right)
    point = curve.widest(0.999)
    caption = drawn(figures.coverage(found, evaluation(found)), tmp_path)
    expected = "No threshold" if point is None else f"{curve.shares[point]:.2%} of the rows can be decided with 99.9%"
    assert expected in caption


def test_nothing_wrong_is_drawn_too(tmp_path):
    perfect = predictions(CONFIDENCE, PERFECT)
    assert "no row is wrong" in drawn(figures.confidence_histogram(perfect), tmp_path)
    certain = predictions(np.ones(6), np.ones(6, bool))
    drawn(figures.reliability_diagram({SCALED: certain}, evaluation(certain)), tmp_path)


def test_mistakes_are_shown_with_label_and_likely_classes():
    found = predictions()
    figure = figures.mistake_sheet(found, np.zeros((3000, 4, 4, 1), np.uint8), LABELS)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == min((~RIGHT).sum(), 600)
    index = found.mistakes[0]
    assert texts[0].startswith(f"{LABELS[index % 3]}, row {index}\n{LABELS[(index + 1) % 3]}: {CONFIDENCE[index]:.3f}")
    assert f"{(~RIGHT).sum():,} of 3,000 out-of-fold rows are wrong" in figure.get_suptitle()


def test_the_matrix_shows_every_pair(tmp_path):
    choices = {"a": np.zeros(100), "b": np.arange(100) < 1, "c": np.arange(100) < 10}
    alone = measures.agreement({"a": np.zeros(100)})
    figure = figures.agreement_matrix({"rows": measures.agreement(choices), "one": alone})
    assert sorted(text.get_text() for text in figure.axes[0].texts) == sorted(["1.00", "10.00", "9.00"] * 2)
    caption = drawn(figure, tmp_path)
    assert "rows: 6.67% on average, most a and c (10.00%); one: there is no pair" in caption


def test_rescued_to_the_right_and_spoilt_to_the_left(tmp_path):
    figure = figures.rescued_bars({"a-s0": Rescue(100, 30, 20, 5), "b-s0": Rescue(100, 25, 12, 2)}, 15)
    assert sorted(bar.get_width() for bar in figure.axes[0].patches) == [-5, -2, 12, 20]
    caption = drawn(figure, tmp_path)
    assert "The ensemble has 15 mistakes; alone, b-s0 has the fewest (25) and a-s0 the most (30)" in caption
    alone = figures.rescued_bars({"a-s0": Rescue(100, 30, 0, 0)}, 30)
    assert "there is nothing to rescue" in drawn(alone, tmp_path)
