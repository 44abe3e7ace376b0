"""Findings of a search, in sentences: for the console, best.yaml, the captions and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from digits.config import Tune
from digits.figures.caption import Caption
from digits.progress import duration
from digits.stages.tune.measures import OBJECTIVES

Leaderboard = Sequence[Mapping[str, Any]]  # a row a trial, the best first


def words(objective: str) -> str:
    """Name of an objective in sentences."""
    return objective.replace("_", " ")


def outcome(trials: Leaderboard, objective: str) -> str:
    """Say how many trials there were, and how clear the best one is."""
    counts = Counter(row["status"] for row in trials)
    ended = ", ".join(f"{count} {status}" for status, count in counts.items())
    done = [row for row in trials if row["status"] == "done"]
    if not done:
        return f"{len(trials)} trials ({ended}); none of them has a score."
    best, error = done[0][objective], done[0][f"{objective}_se"]
    within = sum(abs(row[objective] - best) <= error for row in done) - 1
    return (
        f"{len(trials)} trials ({ended}); the best has a {words(objective)} of {best:.5f}, standard error {error:.5f}, "
        f"and {within} {'other is' if within == 1 else 'others are'} within one standard error of it."
    )


def saving(trials: Leaderboard, tune: Tune, epochs_per_trial: int) -> list[str]:
    """Say what ending trials early spared; epochs_per_trial: of one that is trained to the end."""
    if tune.tuner == "hyperband":
        begun = sum(row["tuner/round"] == 0 for row in trials)
        spared = 1 - sum(row["epochs"] for row in trials) / (begun * epochs_per_trial)
        return [f"Hyperband trained {begun} configs with {spared:.0%} fewer epochs than all to the end."]
    stopped = [row for row in trials if row["status"] == "stopped"]
    spared = sum(row["seconds"] * (row["total"] / row["epochs"] - 1) for row in stopped)
    return [f"The median rule spared about {duration(spared)} of training."] if stopped else []


def caveat(rows: str, tune: Tune) -> str:
    """Say how far the scores can be believed; rows: that were searched on, in words."""
    return (
        f"Searched on {rows}, mean over {tune.folds} inner folds; ± is the standard error of scoring these rows. The "
        "best of many is flattered by chance, and a submission's out-of-fold score by the search."
    )


def score(row: Mapping[str, Any], objective: str) -> str:
    """A score with its standard error."""
    return f"{words(objective)} {row[objective]:.5f} ± {row[f'{objective}_se']:.5f}"


def verdict(row: Mapping[str, Any], objective: str) -> str:
    """Result of one trial."""
    if row["status"] == "failed":
        return f"failed: {row['reason']}"
    if row["status"] == "stopped":
        return f"{words(objective)} {row[objective]:.5f}, stopped: worse than the median"
    return score(row, objective)


def chosen(best: Mapping[str, Any], trials: int, tune: Tune) -> list[str]:
    """Say where the best config comes from."""
    return [
        f"Trial {best['trial']} of {trials} ({tune.tuner}, by {words(tune.objective)}): {score(best, 'log_loss')}, "
        f"{score(best, 'accuracy')}, trained in {duration(best['seconds'])}."
    ]


def nested(record: Mapping[str, Any], data: str) -> str:
    """The score of the whole procedure, on rows that no search saw."""
    return (
        f"Nested: {score(record, 'accuracy')}, {score(record, 'log_loss')} on {record['rows']:,} rows of {data} that "
        "the searches did not see: an honest score of a tuned config's single networks"
    )


def captions(trials: Leaderboard, objective: str, explained: float = 0.0) -> dict[str, Caption]:
    """Words of the figures, by name; explained: the R^2 of the forest of importances on trials that it did not see."""
    name = words(objective)
    done = [row for row in trials if row["status"] == "done"]
    stopped = sum(row["status"] == "stopped" for row in trials)
    best = (min if OBJECTIVES[objective] == "min" else max)(row[objective] for row in done)
    doubt = "; with so little, the order is a hint at most" if explained < 0.3 else ""
    return {
        "progress": Caption(
            f"{name.capitalize()} of each trial, and the best so far",
            f"{len(done) + stopped} trials, {stopped} of them stopped early; best {best:.5f}.",
        ),
        "parallel": Caption(
            f"Values of each trial; dark lines have the best {name}", f"{len(done)} trials; a line is one of them."
        ),
        "importance": Caption(
            "Which hyperparameters matter",
            f"A random forest explains {max(explained, 0):.0%} of the differences between unseen trials{doubt}.",
        ),
        "slices": Caption(
            f"{name.capitalize()} against the hyperparameters that matter most", "A dot is a trial; the best are dark."
        ),
    }
