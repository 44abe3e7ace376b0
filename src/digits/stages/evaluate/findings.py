"""Findings of an evaluation, in sentences for the console, the captions and the report."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any

import numpy as np

from digits.competition import COMPETITION
from digits.figures.caption import Caption
from digits.stages.evaluate.calibration import Coverage
from digits.stages.evaluate.measures import RAW, SCALED, SHARPENED, Agreement, Evaluation, Pair, Rescue
from digits.stages.evaluate.predictions import Predictions

CHANCE = 0.05  # p-value from which on a direction is put down to chance


def sentences(evaluation: Evaluation, metrics: Mapping[str, Any], tuned: bool) -> dict[str, list[str]]:
    """All sentences, by section.

    Args:
        evaluation: of a run.
        metrics: of the same run, its `metrics.json`.
        tuned: whether the config was chosen on the same rows.
    """
    return {
        "scores": scores(evaluation, metrics, tuned),
        "classes": classes(evaluation),
        "confidence": calibration(evaluation) + coverage(evaluation.coverage),
        "ensemble": ensemble(evaluation),
    }


def scores(evaluation: Evaluation, metrics: Mapping[str, Any], tuned: bool = False) -> list[str]:
    """Say how good the predictions are, what the ensemble adds, and whether the folds differ."""
    rows, accuracy = evaluation.rows, evaluation.accuracy
    sentences = [
        f"Of {rows:,} training rows, each predicted only by networks that never saw it, {evaluation.mistakes:,} are "
        f"wrong: an accuracy of {accuracy.value:.5f} (95% interval {accuracy.low:.5f} to {accuracy.high:.5f}).",
        _prediction(metrics),
    ]
    singles = metrics["oof_accuracy_by_architecture"]
    if len(singles) > 1:
        best = max(singles, key=singles.get)
        fewer = (metrics["oof_accuracy"] - singles[best]) * rows
        sentences.append(
            f"The best architecture alone, {best}, reaches {singles[best]:.5f}; all of them together make "
            f"{abs(fewer):.0f} mistakes {'fewer' if fewer > 0 else 'more'}."
        )
    if metrics["oof_accuracy_std"]:
        sentences.append(_spread(metrics, evaluation.folds))
    if tuned:
        sentences.append("The config was chosen by a search on these rows, so the out-of-fold scores are optimistic.")
    return sentences


def _prediction(metrics: Mapping[str, Any]) -> str:
    name = COMPETITION.metric.replace("_", " ")
    score, low, high = (metrics[f"predicted_{end}"] for end in ("score", "low", "high"))
    gain = f", {metrics['fold_gain']:.5f} of it from averaging over the folds" if metrics["fold_gain"] else ""
    return f"On the test rows a score ({name}) of {score:.5f} is expected ({low:.5f} to {high:.5f}){gain}."


def _spread(metrics: Mapping[str, Any], folds: int) -> str:
    """Say whether the folds differ by more than rows drawn at random would: a chi-squared test of equal accuracies."""
    from scipy.stats import chi2  # takes longer to import than everything else here

    accuracy, deviation = metrics["oof_accuracy"], metrics["oof_accuracy_std"]
    variance = accuracy * (1 - accuracy) / (metrics["oof_rows"] / folds)
    chance = float(chi2.sf((folds - 1) * deviation**2 / variance, folds - 1))
    verdict = "no more than" if chance >= CHANCE else "more than"
    return (
        f"The accuracies of the {folds} folds have a standard deviation of {deviation:.5f}, {verdict} chance explains "
        f"({np.sqrt(variance):.5f}; p = {chance:.2g})."
    )


def classes(evaluation: Evaluation) -> list[str]:
    """Say which classes are hard, and which are taken for which."""
    ranked = sorted((each for each in evaluation.classes if not isnan(each.f1.value)), key=lambda each: each.f1.value)
    sentences = []
    if len(ranked) > 1:
        worst, best = ranked[0], ranked[-1]
        clear = worst.f1.high < best.f1.low
        verdict = "their intervals do not overlap" if clear else "their intervals overlap, so this order is uncertain"
        sentences.append(
            f"The hardest {COMPETITION.noun} is {worst.class_} (F1 {worst.f1.value:.4f}), the easiest {best.class_} "
            f"({best.f1.value:.4f}); {verdict}."
        )
    if evaluation.confused:
        sentences.append(_confusion(evaluation.confused[0], evaluation.mistakes))
    return sentences


def _confusion(pair: Pair, mistakes: int) -> str:
    """Say which two classes are confused most often, and whether one of the two directions prevails."""
    from scipy.stats import binomtest  # takes longer to import than everything else here

    first, second = pair.classes
    forth, back = pair.first_as_second, pair.second_as_first
    share = f"{pair.rows} of {mistakes:,} mistakes ({pair.rows / mistakes:.0%})"
    if binomtest(forth, pair.rows).pvalue >= CHANCE:
        direction = f"{first} taken for {second}: {forth}, {second} for {first}: {back}; no clear direction"
    else:
        label, chosen = pair.classes if forth > back else (second, first)
        direction = f"mostly {label} is taken for {chosen} ({max(forth, back)} times)"
    return f"{first} and {second} are confused most often: {share}, {direction}."


def calibration(evaluation: Evaluation) -> list[str]:
    """Say how far the probabilities can be trusted."""
    raw, scaled, sharpened = (evaluation.calibration.stages[step] for step in (RAW, SCALED, SHARPENED))
    excess, high = scaled.mean_confidence - scaled.accuracy, scaled.if_calibrated_high
    verdict = "which chance alone explains" if scaled.ece <= high else f"more than chance explains (up to {high:.4f})"
    attitude = "too sure" if excess > 0 else "not sure enough"
    temperatures = (
        f"Before temperature scaling the ECE was {raw.ece:.4f}; with a further temperature of the ensemble it would be "
        f"{sharpened.ece:.4f}."
    )
    if not evaluation.calibration.cross_fitted:
        temperatures = "With one fold alone there are no other rows to fit temperatures on, so all of them are 1."
    return [
        f"Confidence and accuracy differ by {scaled.ece:.4f} on average (expected calibration error, ECE), {verdict}. "
        f"On the whole the ensemble is {attitude} by {abs(excess):.4f}.",
        temperatures,
    ]


def coverage(found: Coverage) -> list[str]:
    """Say how many rows can be decided with the promised accuracy."""
    promised, kept = found.promised_accuracy, found.cross_fitted
    surest = f"of the surest {found.nearly_all:.1%}, {found.accuracy_of_nearly_all:.3%} are right"
    if found.threshold is None:
        return [f"No threshold on the confidence makes {promised:.1%} of the decided rows right; {surest}."]
    sentences = [
        f"{found.coverage:.2%} of the rows can be decided with {promised:.1%} of them right, by a confidence of "
        f"{found.threshold:.4f} or more; {surest}."
    ]
    if kept and kept.coverage:
        accuracy = kept.accuracy
        sentences.append(
            f"Where every fold takes its threshold from the others, {kept.coverage:.2%} are decided and "
            f"{accuracy.value:.3%} of those are right ({accuracy.low:.3%} to {accuracy.high:.3%})."
        )
    return sentences


def ensemble(evaluation: Evaluation) -> list[str]:
    """Say what the members agree on, and what averaging them rescued and spoilt."""
    sentences = []
    for rows, name in (("test", "test rows"), ("out_of_fold", "out-of-fold rows")):
        mean = evaluation.agreement[rows].mean
        if mean is not None:
            sentences.append(f"Two networks choose the same {COMPETITION.noun} for {mean:.2%} of the {name}.")
    rescues = evaluation.rescued.architectures
    if len(rescues) > 1:
        for name, rescue in rescues.items():
            sentences.append(
                f"Of the {rescue.mistakes:,} mistakes of {name} alone the ensemble rescued {rescue.rescued:,}; it "
                f"spoilt {rescue.spoilt:,} rows that {name} had right."
            )
        sentences.append(f"On {evaluation.rescued.all_wrong:,} rows all of them are wrong.")
    return sentences


def next_step(run: str) -> str:
    """Say where to look now."""
    return f"Next: make report RUN={run} for all of this on one page, or make explore RUN={run} to look at each mistake"


# --- captions ----------------------------------------------------------------------------------------------


def captions(predictions: Predictions, evaluation: Evaluation) -> dict[str, Caption]:
    """Words of each figure, by its name."""
    noun, accuracy = COMPETITION.noun, evaluation.accuracy.value
    key = f"Lines: 95% intervals. Dashed: accuracy of all rows, {accuracy:.3%}."
    promised = 1 - evaluation.coverage.promised_accuracy
    return {
        "classes": Caption(f"F1 score of every {noun}", " ".join([*classes(evaluation)[:1], key])),
        "mistakes": _mistakes(predictions),
        "confidence": Caption("Confidence in right and in wrong choices", _confidence(predictions)),
        "reliability": Caption(
            "Share of wrong choices, by confidence",
            f"{calibration(evaluation)[0]} On the dashed line confidence is accuracy. Bars: 95% intervals. Open "
            "triangles: no mistake in the bin; the upper end of its interval.",
        ),
        "coverage": Caption(
            "Error rate if only the surest rows are decided",
            f"{coverage(evaluation.coverage)[0]} Dashed: {promised:.1%} wrong.",
        ),
        "agreement": Caption(
            "Share of test rows for which two networks differ", _most_apart(evaluation.agreement["test"])
        ),
        "rescued": Caption(
            "Rows that the ensemble rescued and spoilt",
            f"The ensemble has {evaluation.mistakes:,} mistakes; {_compared(evaluation.rescued.architectures)}.",
        ),
    }


def _mistakes(predictions: Predictions) -> Caption:
    count = len(predictions.mistakes)
    if not count:
        text = "The ensemble chose the label of every row that it had not seen."
        return Caption("No out-of-fold row is wrong", text)
    text = f"Over each image: its label and row, then the two most probable {COMPETITION.nouns}; the surest first."
    return Caption(f"{count:,} of {len(predictions.rows):,} out-of-fold rows are wrong", text)


def _confidence(predictions: Predictions) -> str:
    above, wrong = predictions.confidence > 0.99, predictions.confidence[~predictions.right]
    mistakes = f"{(wrong > 0.9).sum()} of the {len(wrong):,} mistakes above 90%, {(wrong > 0.99).sum()} above 99%"
    end = f"so have {mistakes}" if len(wrong) else "no row is wrong"
    return f"{above.mean():.1%} of the rows have a confidence above 99%; {end}."


def _most_apart(group: Agreement) -> str:
    if group.mean is None:
        return "There is one network alone."
    row, column = np.unravel_index(group.shares.argmin(), group.shares.shape)
    most = f"{group.members[row]} and {group.members[column]} ({1 - group.shares[row, column]:.2%})"
    return f"{1 - group.mean:.2%} on average, most {most}."


def _compared(rescues: Mapping[str, Rescue]) -> str:
    ranked = sorted(rescues, key=lambda name: rescues[name].mistakes)
    few, many = rescues[ranked[0]].mistakes, rescues[ranked[-1]].mistakes
    return f"alone, {ranked[0]} has the fewest ({few:,}) and {ranked[-1]} the most ({many:,})"
