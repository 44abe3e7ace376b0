"""Interface of the compiled code of every Keras backend."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import KerasTensor

# From images uint8 (n, height, width, channels) to logits float32 (n, classes) and features float32 (n, d).
Forward = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

# From images uint8 (steps, batch, height, width, channels), targets int32 (steps, batch) and learning rates float32
# (steps,) to the sum of the steps' losses and the number of images that were classified right.
Steps = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, float]]


def kept_share(taken: KerasTensor, ema: float) -> KerasTensor:
    """Weight of the running average against the new weights after `taken` steps.

    It grows towards `ema`, so that the average forgets the initial weights.
    """
    return keras.ops.minimum(ema, (1 + taken) / (10 + taken))
