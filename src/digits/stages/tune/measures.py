"""Measures of trials: when to end one, and which hyperparameters mattered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OBJECTIVES = {"log_loss": "min", "accuracy": "max"}  # and what keras-tuner is to look for
LEAST = 5  # finished trials before one is ended for being worse than their median


def is_hopeless(losses: list[float], finished: list[list[float]]) -> bool:
    """A trial is worse, after its folds so far, than the median of the finished ones after as many folds.

    The median stopping rule (D. Golovin et al., "Google Vizier", KDD 2017), with folds in the place of epochs: how
    low a loss is in the middle of a schedule says more about the schedule than about where it ends.

    losses: of the folds so far, lower is better. finished: the same of every trial that ran through all its folds.
    """
    comparable = [float(np.mean(other[: len(losses)])) for other in finished if len(other) >= len(losses)]
    return len(comparable) >= LEAST and float(np.mean(losses)) > float(np.median(comparable))


@dataclass(frozen=True)
class Importance:
    """Share of a forest's prediction that a hyperparameter carries: mean and standard deviation over shufflings."""

    mean: float
    spread: float


def importances(values: dict[str, np.ndarray], objective: np.ndarray, seed: int) -> tuple[dict[str, Importance], float]:
    """Permutation importance (L. Breiman, "Random Forests", 2001) of every hyperparameter for the objective.

    A random forest learns the objective from the values of four fifths of the trials; the importance of a column is
    how much less it explains of the last fifth, in units of R^2, when that column alone is shuffled. Columns that rise
    and fall together share theirs.

    values: a float column (trials,) for each name; codes for what is no number. objective: float (trials,); at least
    ten trials. seed: of the forests, the parts and the shufflings.

    Returns:
        The importance by name, the highest first, and the R^2 of the forest on trials that it was not fitted to:
        near zero or below, the importances say nothing.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold

    table = np.column_stack(list(values.values())).astype(np.float64)
    predicted, drops = np.empty(len(objective)), []
    for seen, unseen in KFold(5, shuffle=True, random_state=seed).split(table):
        forest = RandomForestRegressor(200, random_state=seed).fit(table[seen], objective[seen])
        predicted[unseen] = forest.predict(table[unseen])
        # A fifth of the trials has a variance of its own: errors are compared in that of all of them.
        found = permutation_importance(
            forest, table[unseen], objective[unseen], scoring="neg_mean_squared_error", n_repeats=10, random_state=seed
        )
        drops.append(found.importances / max(float(objective.var()), 1e-12))
    shuffled = np.mean(drops, axis=0)
    found = {name: Importance(float(row.mean()), float(row.std())) for name, row in zip(values, shuffled, strict=True)}
    ranked = dict(sorted(found.items(), key=lambda item: -item[1].mean))
    return ranked, float(r2_score(objective, predicted))
