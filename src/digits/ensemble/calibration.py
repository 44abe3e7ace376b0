"""Calibration of probabilities by a temperature."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Fit the T for which softmax(logits / T) has the lowest log loss, from 0.05 to 20.

    Temperature scaling (C. Guo et al., "On Calibration of Modern Neural Networks", 2017): it changes how
    confident a network is, never what it chooses.

    logits: float (n, classes). targets: class indices int (n,).
    """
    rows = np.arange(len(targets))
    logits = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, targets].mean()

    found = minimize_scalar(loss, bounds=np.log([0.05, 20]), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))
