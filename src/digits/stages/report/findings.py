"""What the figures of a run say, in sentences: each is chosen and filled by what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

CHANCE = 0.05  # a direction whose p-value is below is called one


def scores(metrics: Mapping[str, Any], evaluation: Mapping[str, Any], folds: int) -> list[str]:
    """How good the predictions are, what the ensemble adds, and whether the folds differ.

    Args:
        metrics: of the run, `metrics.json`.
        evaluation: `evaluation/metrics.json`.
        folds: that were trained.
    """
    rows, mistakes = evaluation["rows"], evaluation["mistakes"]
    low, high = evaluation["accuracy_interval"]
    told = [
        f"Of {rows:,} training rows, each judged only by networks that never saw it, {mistakes:,} are wrong: an "
        f"accuracy of {evaluation['accuracy']:.5f} (95 % interval {low:.5f} to {high:.5f}).",
        f"On the test rows a score of {metrics['predicted_score']:.5f} is expected ({metrics['predicted_low']:.5f} to "
        f"{metrics['predicted_high']:.5f}), {metrics['fold_gain']:.5f} of it from averaging over the folds.",
    ]
    singles = metrics["oof_accuracy_by_architecture"]
    if len(singles) > 1:
        best = max(singles, key=singles.get)
        fewer = (metrics["oof_accuracy"] - singles[best]) * rows
        told.append(
            f"The best kind of network alone, {best}, reaches {singles[best]:.5f}; all kinds together make "
            f"{abs(fewer):.0f} mistakes {'fewer' if fewer > 0 else 'more'} than it."
        )
    if metrics["oof_accuracy_std"]:
        told.append(_spread(metrics, folds))
    return told


def _spread(metrics: Mapping[str, Any], folds: int) -> str:
    """Whether the folds differ by more than rows drawn at random would."""
    accuracy = metrics["oof_accuracy"]
    chance = sqrt(accuracy * (1 - accuracy) / (metrics["oof_rows"] / folds))
    seen = metrics["oof_accuracy_std"]
    verdict = "which is no more than the draw of their rows explains" if seen < 1.5 * chance else "more than chance"
    return f"The {folds} folds differ by a standard deviation of {seen:.5f}, {verdict} ({chance:.5f})."


def digits(evaluation: Mapping[str, Any]) -> list[str]:
    """Which digits are hard, and which are taken for which."""
    ranked = sorted((of for of in evaluation["digits"] if of["f1"] is not None), key=lambda of: of["f1"])
    told = []
    if len(ranked) > 1:
        worst, best = ranked[0], ranked[-1]
        clear = worst["f1_interval"][1] < best["f1_interval"][0]
        verdict = "their intervals do not overlap" if clear else "their intervals overlap, so this order is uncertain"
        told.append(
            f"The hardest digit is {worst['digit']} (F1 {worst['f1']:.4f}), the easiest {best['digit']} "
            f"({best['f1']:.4f}); {verdict}."
        )
    if evaluation["confused"]:
        told.append(_confusion(evaluation["confused"], evaluation["mistakes"]))
    return told


def _confusion(pairs: Sequence[Mapping[str, Any]], mistakes: int) -> str:
    first, second = pairs[0]["digits"]
    rows = pairs[0]["rows"]
    told = f"{first} and {second} are confused most often: {rows} of {mistakes:,} mistakes ({rows / mistakes:.0%}), "
    return told + _direction(first, second, pairs[0]["first_as_second"], pairs[0]["second_as_first"])


def _direction(first: int, second: int, forth: int, back: int) -> str:
    from scipy.stats import binomtest  # takes longer to import than everything else here

    if binomtest(forth, forth + back).pvalue >= CHANCE:
        return f"{first} taken for {second} {forth} times, the other way round {back} times: no clear direction."
    taken, times, other = (first, forth, second) if forth > back else (second, back, first)
    return f"mostly a {taken} that is taken for a {other} ({times} times)."


def confidence(evaluation: Mapping[str, Any]) -> list[str]:
    """How far the probabilities can be believed, and how many rows they can decide."""
    stages = evaluation["calibration"]["stages"]
    raw, scaled = stages["unscaled"], stages["scaled by architecture"]
    excess = scaled["mean_confidence"] - scaled["accuracy"]
    high = scaled["if_calibrated_high"]
    verdict = (
        "which is within what chance does" if scaled["ece"] <= high else f"more than chance does (up to {high:.4f})"
    )
    told = [
        f"Confidence and accuracy differ by {scaled['ece']:.4f} on average (expected calibration error), {verdict}; "
        f"before temperature scaling it was {raw['ece']:.4f}. On the whole the ensemble is "
        f"{'too sure' if excess > 0 else 'not sure enough'} by {abs(excess):.4f}."
    ]
    coverage = evaluation["coverage"]
    promised, kept = coverage["promised_accuracy"], coverage["cross_fitted"]
    if coverage["threshold"] is None:
        told.append(f"No threshold on the confidence makes {promised:.1%} of the decided rows right.")
    else:
        told.append(
            f"{coverage['coverage']:.2%} of the rows can be decided with {promised:.1%} of them right, by a confidence "
            f"of {coverage['threshold']:.4f} or more; of the surest {coverage['nearly_all']:.0%}, "
            f"{coverage['accuracy_of_nearly_all']:.3%} are right."
        )
    if kept:
        low, high = kept["accuracy_interval"]
        told.append(
            f"Where every fold takes its threshold from the others, {kept['coverage']:.2%} are decided and "
            f"{kept['accuracy']:.3%} of those are right ({low:.3%} to {high:.3%})."
        )
    return told


def ensemble(evaluation: Mapping[str, Any]) -> list[str]:
    """What the members agree on, and what averaging them rescued and spoilt."""
    told = []
    agreement = evaluation["agreement"]["test"]["mean"]
    if agreement is not None:
        told.append(f"Two networks choose the same digit for {agreement:.2%} of the test rows on average.")
    together = evaluation["rescued"]["architectures"]
    if len(together) > 1:
        for name, of in together.items():
            told.append(
                f"Of the {of['mistakes']:,} mistakes of {name} alone the ensemble rescued {of['rescued']:,}, and it "
                f"spoilt {of['spoilt']:,} rows that {name} had right."
            )
        hopeless = evaluation["rescued"]["all_wrong"]
        told.append(f"{hopeless:,} rows are wrong whichever of them is asked.")
    return told


def tuning(trials: Sequence[Mapping[str, Any]], objective: str) -> list[str]:
    """What a search found.

    Args:
        trials: lines of its `leaderboard.csv`, the best first.
        objective: that it ranked them by, `log_loss` or `accuracy`.
    """
    counts = {
        status: sum(of["status"] == status for of in trials) for status in dict.fromkeys(of["status"] for of in trials)
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    done = [of for of in trials if of["status"] == "done"]
    if not done:
        return [f"{len(trials)} trials ({told}); none of them has a score."]
    best, error = float(done[0][objective]), float(done[0][f"{objective}_se"])
    name = objective.replace("_", " ")
    sentence = f"{len(trials)} trials ({told}); the best has a {name} of {best:.5f}, standard error {error:.5f}"
    within = sum(abs(float(of[objective]) - best) <= error for of in done) - 1
    return [f"{sentence}, and {within} {'other is' if within == 1 else 'others are'} within one standard error of it."]


def clusters(record: Mapping[str, Any]) -> list[str]:
    """What `clusters/metrics.json` says."""
    low, high = record["purity_interval"]
    short = record["oof_accuracy"] - record["purity"]
    told = [
        f"{record['clusters']} clusters of {record['method']} in the space {record['space']} have a purity of "
        f"{record['purity']:.4f} ({low:.4f} to {high:.4f}) and a silhouette of {record['silhouette']:.3f}; the "
        f"accuracy of the networks, {record['oof_accuracy']:.4f}, is the ceiling, and {abs(short):.4f} "
        f"{'above' if short >= 0 else 'below'} it.",
    ]
    controls = record["controls"]
    several = record["fold_probe_before"] is not None  # folds, whose spaces differ
    if several and "raw" in controls and "aligned" in controls:
        raw, aligned = controls["raw"]["purity"], controls["aligned"]["purity"]
        told.append(
            f"Features of several networks thrown together without alignment reach a purity of {raw:.3f}, aligned ones "
            f"{aligned:.3f}. Before alignment a probe guesses from the features which fold's network made them, in "
            f"{record['fold_probe_before']:.1%} of the cases, after it in {record['fold_probe_after']:.1%}; chance is "
            f"{record['fold_probe_chance']:.1%}."
        )
    return told
