"""Rules that combine the logits of members into one set of probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import softmax


def combine(logits: np.ndarray, rule: str) -> np.ndarray:
    """Probabilities float64 (n, classes) from the members' logits float32 (members, n, classes)."""
    return RULES[rule](logits.astype(np.float64))


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Logits whose softmax these probabilities are, of the same shape; zero counts as the least positive number."""
    return np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))


def _mean(logits: np.ndarray) -> np.ndarray:
    return softmax(logits, axis=2).mean(axis=0)


def _logits(logits: np.ndarray) -> np.ndarray:
    """Softmax of the mean logits, which is the normalised geometric mean of the softmaxes."""
    return softmax(logits.mean(axis=0), axis=1)


def _vote(logits: np.ndarray) -> np.ndarray:
    """Share of members that chose each class; ties go to the higher mean probability."""
    classes = logits.shape[2]
    votes = np.eye(classes)[logits.argmax(axis=2)].mean(axis=0)
    return (1 - 1e-6) * votes + 1e-6 * _mean(logits)


RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"mean": _mean, "logits": _logits, "vote": _vote}
