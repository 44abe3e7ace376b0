"""Findings of an evaluation, in sentences for the console, the captions and the report."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, sqrt
from typing import Any

from digits.competition import COMPETITION
from digits.stages.evaluate.measures import RAW, SCALED, SHARPENED, Coverage, Evaluation, Pair

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
        f"wrong: an accuracy of {accuracy.value:.5f} (95 % interval {accuracy.low:.5f} to {accuracy.high:.5f}).",
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
    """Say whether the folds differ by more than rows drawn at random would."""
    accuracy, deviation = metrics["oof_accuracy"], metrics["oof_accuracy_std"]
    chance = sqrt(accuracy * (1 - accuracy) / (metrics["oof_rows"] / folds))
    verdict = "no more than" if deviation < 1.5 * chance else "more than"
    return (
        f"The accuracies of the {folds} folds have a standard deviation of {deviation:.5f}, {verdict} chance explains "
        f"({chance:.5f})."
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
        direction = f"{first} taken for {second} {forth} times, the other way round {back} times: no clear direction"
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
