"""The whole ensemble of a finished run, to predict with. Imports TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import softmax

from digits import backend, models, runs
from digits.config import Config
from digits.errors import UserError
from digits.features import Features
from digits.runs import Member, Run

if TYPE_CHECKING:
    import keras


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
    temperatures = runs.read_json(run.metrics, temperature=dict)["temperature"]
    members = runs.members(config)
    for member in members:
        temperature = temperatures.get(member.architecture)
        if not (isinstance(temperature, float) and 0 < temperature < math.inf):
            raise UserError(f"{run.metrics}: says no temperature of {member.architecture}; make it anew: make submit")
    backend.start(config.training.threads)
    from digits import training

    forms = (len(features.sources["logits"][0]), *features.sources["pixels"].shape[1:])
    loaded = []
    for number, member in enumerate(members, start=1):
        path = run.member(member) / "model.keras"
        model = models.load(path)
        width = len(features.alignments[member.name].mean)
        if (model.output_shape[-1], *model.input_shape[1:3]) != forms or _width(model) != width:
            raise UserError(f"{path}: is of another run; train it anew: make train RUN={run.folder.name}")
        loaded.append((member, training.predictor(model)))
        progress(number / len(members))
    return Ensemble(loaded, temperatures, features)


def _width(model: keras.Model) -> int:
    """Of its features."""
    return model.get_layer("features").output.shape[-1]
