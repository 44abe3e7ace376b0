"""The whole ensemble of a finished run, to predict with. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from digits import backend, runs
from digits.config import Config
from digits.errors import UserError
from digits.features import Features
from digits.runs import Member, Run


class Prediction(NamedTuple):
    """probabilities: float64 (n, classes), calibrated. features: float32 (n, d), in the common space."""

    probabilities: np.ndarray
    features: np.ndarray


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Every network of a run, with what brings its logits and its features to those of the others."""

    members: list[tuple[Member, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]]
    temperatures: dict[str, float]
    features: Features

    def predict(self, images: np.ndarray) -> Prediction:
        """Judge images uint8 (n, side, side), ink bright, in the form of the training data."""
        probabilities, features = [], []
        for member, predict in self.members:
            logits, own = predict(images)
            probabilities.append(softmax(logits.astype(np.float64) / self.temperatures[member.architecture], axis=1))
            features.append(self.features.alignments[member.name](own))
        return Prediction(np.mean(probabilities, axis=0), np.mean(features, axis=0))


def load(
    run: Run, config: Config, features: Features, progress: Callable[[float], object] = lambda share: None
) -> Ensemble:
    """Load every network of a finished run.

    Raises:
        UserError: a network is missing or damaged, or the run was ensembled by an earlier version.
    """
    backend.start(config.training.threads)
    import keras

    from digits import training
    from digits.models import normalization  # noqa: F401  registers our layer

    temperatures = runs.read_json(run.metrics, temperature=dict)["temperature"]
    members = runs.members(config)
    loaded = []
    for number, member in enumerate(members, start=1):
        path = run.member(member) / "model.keras"
        try:
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: cannot be loaded ({' '.join(str(error).split())[:100]})") from None
        loaded.append((member, training.predictor(model)))
        progress(number / len(members))
    return Ensemble(loaded, temperatures, features)
