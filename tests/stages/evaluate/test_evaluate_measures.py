"""Scores class by class, calibration, coverage and what an ensemble adds."""

import numpy as np
import pytest

from digits.ensemble import metrics
from digits.ensemble.interval import wilson
from digits.stages.evaluate import calibration, measures
from digits.stages.evaluate.measures import Pair, Rescue
from digits.stages.evaluate.predictions import Predictions

COUNTS = np.array([[8, 2, 0], [1, 9, 0], [0, 3, 0]])
LABELS = ["a", "b", "c"]


def predictions(confidence: np.ndarray, right: np.ndarray, folds: np.ndarray | None = None) -> Predictions:
    """Rows of two classes, of which the first is chosen with this confidence."""
    rows = np.arange(len(right))
    folds = np.zeros(len(right), int) if folds is None else folds
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    return Predictions(rows, folds, np.where(right, 0, 1), np.zeros(len(right), int), probabilities)


class TestClasses:
    def test_scores_by_hand(self):
        first, second, third = measures.class_scores(COUNTS, LABELS)
        assert (first.support, first.predicted) == (10, 9)
        assert first.precision.value == pytest.approx(8 / 9)
        assert first.recall.value == pytest.approx(0.8)
        assert first.f1.value == pytest.approx(2 * 8 / (10 + 9))
        assert second.precision.value == pytest.approx(9 / 14)
        assert third.recall.value == 0

    def test_a_class_that_nothing_was_taken_for_has_no_precision(self):
        third = measures.class_scores(COUNTS, LABELS)[2]
        assert np.isnan(third.precision.value)
        assert (third.precision.low, third.precision.high) == (0, 1)

    def test_counts_and_pairs(self):
        targets, chosen = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 0])
        counts = metrics.confusion(targets, chosen, 3)
        assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 1, 0]]
        assert measures.confused_pairs(COUNTS, LABELS) == [Pair(("a", "b"), 3, 2, 1), Pair(("b", "c"), 3, 0, 3)]
        assert measures.confused_pairs(np.eye(3, dtype=int), LABELS) == []

    def test_wilson_is_what_the_textbook_gives(self):
        share = wilson(81, 263)  # E. B. Wilson's interval as in R's prop.test(81, 263, correct = FALSE)
        assert (share.low, share.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)

    def test_no_mistake_is_not_certainty(self):
        share = wilson(100, 100)
        assert share.high == 1
        assert 0.95 < share.low < 0.97

    @pytest.mark.parametrize("rows", [40, 400])
    def test_the_intervals_cover_in_simulation(self, rows):
        """The truth of a class that is a third of the rows; precision, recall and F1 by their definitions."""
        draw = np.random.default_rng(0)
        chances = np.array([0.30, 0.02, 0.01, 0.67])  # hit, false positive, false negative, neither
        truth = {"precision": 0.30 / 0.32, "recall": 0.30 / 0.31, "f1": 0.60 / 0.63}
        inside = dict.fromkeys(truth, 0)
        for hits, false_positives, false_negatives, others in draw.multinomial(rows, chances, 2000).tolist():
            counts = np.array([[hits, false_negatives], [false_positives, others]])
            scores = measures.class_scores(counts, LABELS[:2])[0]
            for name, true in truth.items():
                score = getattr(scores, name)
                inside[name] += score.low <= true <= score.high
        assert all(0.925 < count / 2000 < 0.985 for count in inside.values()), inside


class TestCalibration:
    @staticmethod
    def drawn(rows: int, exaggerated: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Confidences, and whether the choices were right: less often than stated, by this much."""
        draw = np.random.default_rng(1)
        confidence = draw.uniform(0.6, 1, rows)
        return confidence, draw.random(rows) < confidence - exaggerated

    def error(self, *drawn: np.ndarray) -> calibration.CalibrationError:
        return calibration.calibration_error(predictions(*drawn), seed=0)

    def test_true_confidences_have_nearly_none(self):
        error = self.error(*self.drawn(200_000))
        assert error.ece < 0.004
        assert error.ece < 1.5 * error.if_calibrated_high
        assert error.bins == 15

    @pytest.mark.parametrize("gap", [0.05, 0.2])
    def test_exaggerated_ones_have_their_gap(self, gap):
        error = self.error(*self.drawn(200_000, gap))
        assert error.ece == pytest.approx(gap, abs=0.004)
        assert error.equal_width == pytest.approx(gap, abs=0.004)
        assert error.ece > 5 * error.if_calibrated_high

    def test_few_rows_overstate_it_as_much_as_chance_says(self):
        many, few = self.error(*self.drawn(50_000)), self.error(*self.drawn(500))
        assert few.if_calibrated > 5 * many.if_calibrated
        assert few.ece == pytest.approx(few.if_calibrated, rel=0.6)

    def test_bins_by_hand(self):
        confidence = np.array([0.9, 0.2, 0.4, 0.9, 0.6, 0.6])
        right = np.array([True, False, True, False, True, True])
        bins = calibration.binned(confidence, right, np.array([0.5, 0.6, 0.95]))
        assert bins["rows"].tolist() == [2, 4]
        assert bins["confidence"].tolist() == pytest.approx([0.3, 0.75])
        assert bins["accuracy"].tolist() == pytest.approx([0.5, 0.75])
        assert (bins["low"] < bins["accuracy"]).all()
        assert (bins["high"] > bins["accuracy"]).all()

    def test_bins_of_equal_mass_and_equal_confidences_together(self):
        confidence, right = self.drawn(1500)
        bins = calibration.binned(confidence, right, calibration.equal_mass_edges(confidence, 15))
        assert bins["rows"].tolist() == [100] * 15
        same = np.ones(1500)
        assert calibration.binned(same, right, calibration.equal_mass_edges(same, 15))["rows"].tolist() == [1500]

    def test_the_order_of_the_rows_does_not_matter(self):
        confidence, right = self.drawn(999)
        confidence = confidence.round(2)
        order = np.random.default_rng(2).permutation(999)
        assert self.error(confidence[order], right[order]).ece == pytest.approx(self.error(confidence, right).ece)


class TestCoverage:
    def test_the_curve_by_hand(self):
        confidence = np.array([0.5, 0.9, 0.8, 0.9, 0.6])
        curve = calibration.coverage_curve(confidence, np.array([False, True, False, True, True]))
        assert curve.rows.tolist() == [2, 3, 4, 5]
        assert curve.threshold.tolist() == [0.9, 0.8, 0.6, 0.5]
        assert curve.accuracy == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])
        assert curve.shares == pytest.approx([0.4, 0.6, 0.8, 1])
        assert curve.widest(0.7) == 2  # reached again after it was lost
        assert curve.widest(0.99) == 0
        assert curve.at(0.5) == 1
        assert curve.at(1.0) == 3

    def test_an_accuracy_that_is_never_reached(self):
        assert calibration.coverage_curve(np.array([0.9, 0.8]), np.array([False, True])).widest(0.9) is None

    def test_a_threshold_is_kept_from_the_fold_it_decides(self):
        draw = np.random.default_rng(0)
        confidence, folds = draw.random(3000), draw.integers(0, 3, 3000)
        right = draw.random(3000) < confidence
        before = calibration.cross_fitted_selection(predictions(confidence, right, folds), 0.9)
        assert before.accuracy.value == pytest.approx(0.9, abs=0.03)
        changed = np.where(folds == 0, ~right, right)
        decided = (confidence >= self.threshold(confidence, right, folds != 0)) & (folds == 0)
        for fold in (1, 2):
            decided |= (confidence >= self.threshold(confidence, changed, folds != fold)) & (folds == fold)
        after = calibration.cross_fitted_selection(predictions(confidence, changed, folds), 0.9)
        assert after.coverage == pytest.approx(decided.mean())

    @staticmethod
    def threshold(confidence: np.ndarray, right: np.ndarray, selected: np.ndarray) -> float:
        curve = calibration.coverage_curve(confidence[selected], right[selected])
        point = curve.widest(0.9)
        return np.inf if point is None else curve.threshold[point]

    def test_one_fold_has_no_other(self):
        assert calibration.cross_fitted_selection(predictions(np.ones(3), np.ones(3, bool)), 0.9) is None


class TestMembers:
    def test_agreement_by_hand(self):
        found = measures.agreement({"a": np.array([1, 2, 3]), "b": np.array([1, 2, 0]), "c": np.array([5, 2, 0])})
        assert found.members == ["a", "b", "c"]
        assert found.shares == pytest.approx(np.array([[3, 2, 1], [2, 3, 2], [1, 2, 3]]) / 3)
        assert found.mean == pytest.approx(5 / 9)
        assert measures.agreement({"a": np.array([1, 2])}).mean is None

    def test_rescued_and_spoilt_by_hand(self):
        targets, together = np.array([0, 1, 2, 3, 4, 5]), np.array([0, 1, 9, 9, 4, 9])
        choices = {"a-s0": np.array([0, 9, 9, 3, 9, 5]), "b-s0": targets}
        folds = np.array([0, 0, 0, 1, 1, 1])
        found = measures.rescues(choices, Predictions(np.arange(6), folds, targets, together, np.empty((6, 10))))
        assert found.architectures == {"a-s0": Rescue(6, 3, 2, 2), "b-s0": Rescue(6, 0, 0, 3)}
        assert found.members["a-s0-f0"] == Rescue(rows=3, mistakes=2, rescued=1, spoilt=0)
        assert found.members["a-s0-f1"] == Rescue(rows=3, mistakes=1, rescued=1, spoilt=2)
        assert (found.all_wrong, found.some_wrong, found.mistakes_with_a_member_right) == (0, 3, 3)
