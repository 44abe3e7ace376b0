"""The figures of an evaluation."""

import numpy as np
import pytest
from small_evaluation import CONFIDENCE, LABELS, RIGHT, evaluation, predictions

from digits.stages.evaluate import calibration, figures, findings, measures
from digits.stages.evaluate.measures import Rescue
from digits.stages.evaluate.predictions import Predictions

PERFECT = np.ones(3000, bool)
FOUND = predictions()


def drawn(figure, path) -> None:
    """Save it, which finds what cannot be drawn."""
    figure.savefig(path / "figure.png")


def text_of(name: str, found: Predictions) -> str:
    return findings.captions(found, evaluation(found))[name].text


def test_a_dot_and_an_interval_for_every_score_there_is(tmp_path):
    found = evaluation()
    figure = figures.class_scores(found)
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert dots == pytest.approx([scores.f1.value for scores in found.classes])
    drawn(figure, tmp_path)
    caption = text_of("classes", FOUND)
    assert caption.startswith("The hardest digit is ")
    assert f"accuracy of all rows, {RIGHT.mean():.3%}" in caption


def test_a_class_without_rows_has_no_dot(tmp_path):
    two = np.arange(3000) % 3 < 2
    both = predictions(CONFIDENCE, PERFECT)
    taken = {name: getattr(both, name)[two] for name in ("rows", "folds", "targets", "chosen", "probabilities")}
    figure = figures.class_scores(evaluation(Predictions(**taken)))
    assert sum(line.get_marker() == "o" for line in figure.axes[0].lines) == 2
    drawn(figure, tmp_path)


def test_the_reliability_diagram_has_no_bin_of_a_few_rows_and_no_line_between_them(tmp_path):
    figure = figures.reliability_diagram(FOUND)
    (axes,) = figure.axes
    edges = calibration.populated_edges(FOUND.confidence, figures._nines(1 - FOUND.confidence))
    bins = calibration.binned(FOUND.confidence, FOUND.right, edges)
    assert bins["rows"].min() >= calibration.FEWEST
    assert bins["rows"].sum() == 3000
    points = [line for line in axes.lines if line.get_marker() in ("o", "v")]
    assert sum(len(line.get_xdata()) for line in points) == len(bins)
    assert {line.get_linestyle() for line in points} == {"None"}
    assert axes.get_xlim()[0] == 1 > axes.get_xlim()[1] > 0
    drawn(figure, tmp_path)
    error = evaluation().calibration.stages[measures.SCALED].ece
    assert f"differ by {error:.4f} on average" in text_of("reliability", FOUND)


@pytest.mark.parametrize("fewest", [1, 30, 5000])
def test_edges_are_left_out_until_every_bin_is_populated(fewest):
    edges = calibration.populated_edges(np.linspace(0, 1, 101), np.array([0.01, 0.02, 0.5, 0.995]), fewest)
    assert edges.tolist() == {1: [0.01, 0.02, 0.5, 0.995], 30: [0.5], 5000: []}[fewest]


def test_the_histogram_has_every_right_and_every_wrong_row(tmp_path):
    figure = figures.confidence_histogram(FOUND)
    heights = [sum(bar.get_height() for bar in bars) for bars in figure.axes[0].containers]
    assert heights == [RIGHT.sum(), (~RIGHT).sum()]
    drawn(figure, tmp_path)
    assert f"of the {(~RIGHT).sum():,} mistakes" in text_of("confidence", FOUND)
    assert "no row is wrong" in text_of("confidence", predictions(CONFIDENCE, PERFECT))


def test_a_certain_choice_is_on_the_axis_too(tmp_path):
    figure = figures.confidence_histogram(predictions(np.array([1.0, 1.0, 0.5]), np.array([True, True, False])))
    assert sum(bar.get_height() for bar in figure.axes[0].containers[0]) == 2
    assert "6 nines" in {text.get_text() for text in figure.axes[0].get_xticklabels()}
    drawn(figure, tmp_path)


@pytest.mark.parametrize("right", [RIGHT, ~PERFECT], ids=["some", "none"])
def test_coverage_tells_where_the_promise_ends(tmp_path, right):
    found = predictions(CONFIDENCE, right)
    curve = calibration.coverage_curve(found.confidence, found.right)
    point = curve.widest(0.999)
    figure = figures.coverage(found, evaluation(found))
    (axes,) = figure.axes
    assert not axes.texts
    if point is not None:
        assert axes.get_xlim()[0] > 0.5 * curve.shares[point]  # no panel that is empty but for its end
    drawn(figure, tmp_path)
    expected = "No threshold" if point is None else f"{curve.shares[point]:.2%} of the rows can be decided with 99.9%"
    assert expected in text_of("coverage", found)


def test_nothing_wrong_is_drawn_too(tmp_path):
    drawn(figures.confidence_histogram(predictions(CONFIDENCE, PERFECT)), tmp_path)
    drawn(figures.reliability_diagram(predictions(np.ones(6), np.ones(6, bool))), tmp_path)
    assert findings.captions(predictions(CONFIDENCE, PERFECT), evaluation())["mistakes"].title.startswith("No ")


def test_mistakes_are_shown_with_label_and_likely_classes():
    figure = figures.mistake_sheet(FOUND, np.zeros((3000, 4, 4, 1), np.uint8), LABELS)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == min((~RIGHT).sum(), 600)
    index = FOUND.mistakes[0]
    assert texts[0].startswith(f"{LABELS[index % 3]}, row {index}\n{LABELS[(index + 1) % 3]}: {CONFIDENCE[index]:.3f}")
    title = findings.captions(FOUND, evaluation())["mistakes"].title
    assert title == f"{(~RIGHT).sum():,} of 3,000 out-of-fold rows are wrong"


def test_the_matrix_shows_every_pair(tmp_path):
    choices = {"a": np.zeros(100), "b": np.arange(100) < 1, "c": np.arange(100) < 10}
    group = measures.agreement(choices)
    figure = figures.agreement_matrix(group)
    assert sorted(text.get_text() for text in figure.axes[0].texts) == sorted(["1.00%", "10.00%", "9.00%"] * 2)
    drawn(figure, tmp_path)
    assert findings._most_apart(group) == "6.67% on average, most a and c (10.00%)."
    assert findings._most_apart(measures.agreement({"a": np.zeros(100)})) == "There is one network alone."


def test_rescued_to_the_right_and_spoilt_to_the_left(tmp_path):
    rescues = {"a-s0": Rescue(100, 30, 20, 5), "b-s0": Rescue(100, 25, 12, 2)}
    figure = figures.rescued_bars(rescues)
    assert sorted(bar.get_width() for bar in figure.axes[0].patches) == [-5, -2, 12, 20]
    drawn(figure, tmp_path)
    assert findings._compared(rescues) == "alone, b-s0 has the fewest (25) and a-s0 the most (30)"
