"""Interface of the compiled code of every Keras backend."""

from __future__ import annotations

from typing import Protocol

import keras
import numpy as np
from keras import KerasTensor


class Forward(Protocol):
    """Predict one batch of images."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give logits float32 (n, classes) and features float32 (n, d) of images uint8 (n, height, width)."""


class Steps(Protocol):
    """Train for several steps."""

    def __call__(self, images: np.ndarray, targets: np.ndarray, rates: np.ndarray) -> tuple[float, float]:
        """Give the sum of the steps' losses and the number of images that were classified right.

        images: uint8 (steps, batch, height, width). targets: int32 (steps, batch). rates: float32 (steps,).
        """


def kept_share(taken: KerasTensor, ema: float) -> KerasTensor:
    """The weight of the running average against the new weights after `taken` steps.

    It grows towards `ema`, so that the average forgets the initial weights.
    """
    return keras.ops.minimum(ema, (1 + taken) / (10 + taken))
