"""An evaluation of random predictions, for the tests of its figures and findings."""

import numpy as np

from digits.stages.evaluate.measures import RAW, SCALED, SHARPENED, Evaluation, evaluate
from digits.stages.evaluate.predictions import Predictions

DRAW = np.random.default_rng(0)
CONFIDENCE = 1 - 10 ** DRAW.uniform(-6, -0.2, 3000)
RIGHT = DRAW.random(3000) < CONFIDENCE
LABELS = np.array([3, 5, 8])


def predictions(confidence: np.ndarray = CONFIDENCE, right: np.ndarray = RIGHT) -> Predictions:
    """Rows of three classes in turn and in two folds, whose chosen class has this confidence."""
    rows = np.arange(len(confidence))
    targets = rows % 3
    chosen = np.where(right, targets, (targets + 1) % 3)
    probabilities = np.repeat((1 - confidence)[:, None] / 2, 3, axis=1)
    probabilities[rows, chosen] = confidence
    return Predictions(rows, rows % 2, targets, chosen, probabilities)


def evaluation(scaled: Predictions | None = None, raw: Predictions | None = None) -> Evaluation:
    """The evaluation of an ensemble of two networks, of which one has more mistakes."""
    scaled = predictions() if scaled is None else scaled
    worse = np.where(scaled.rows % 10 == 0, (scaled.targets + 1) % 3, scaled.chosen)
    choices = {"a-s0": scaled.chosen, "b-s0": worse}
    steps = {RAW: raw or scaled, SCALED: scaled, SHARPENED: scaled}
    return evaluate(steps, {}, {"test": choices, "out_of_fold": choices}, LABELS, seed=0)
