"""The networks of a finished run, to predict with. Imports Keras."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import softmax

from digits import models
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Member, Run
from digits.stages.cluster.features import Features
from digits.stages.predict import exported, novelty
from digits.training import backend

if TYPE_CHECKING:
    import keras

WIDEST = 256  # features in which novelty is measured; where a network has more, its logits are
Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Prediction(NamedTuple):
    """probabilities: float64 (n, classes), calibrated. features: float32 (n, d), in the common space."""

    probabilities: np.ndarray
    features: np.ndarray


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Every network of a run, with what brings its logits and its features to those of the others."""

    members: list[tuple[Member, Predict]]
    temperatures: dict[str, float]
    features: Features

    def predict(self, images: np.ndarray) -> Prediction:
        """Predict images uint8 (n, height, width, channels), ink bright, in the form of the training data."""
        probabilities, features = [], []
        for member, predict in self.members:
            logits, own = predict(images)
            probabilities.append(softmax(logits.astype(np.float64) / self.temperatures[member.architecture], axis=1))
            features.append(self.features.alignments[member.name](own))
        return Prediction(np.mean(probabilities, axis=0), np.mean(features, axis=0))


@dataclass(frozen=True, eq=False)
class RunNetworks:
    """The networks of a run with their novelty; predicts as `exported.Exported` does, and needs no export.

    networks: what predicts, its temperature, and what judges how unlike the training data an image is. classes: labels,
    int (classes,). shape: of the images. about: `run_oof_accuracy`.
    """

    networks: list[tuple[Predict, float, novelty.Judge]]
    classes: np.ndarray
    shape: tuple[int, int, int]
    about: dict[str, Any]

    def predict(self, images: np.ndarray) -> exported.Prediction:
        """Predict images uint8 (n, height, width, channels), ink bright, in the form of the training data."""
        if not len(images):
            return exported.Prediction(np.zeros((0, len(self.classes)), np.float32), np.zeros(0, np.float32))
        probabilities, distances = [], []
        for predict, temperature, judge in self.networks:
            logits, features = predict(images)
            probabilities.append(softmax(logits / np.float32(temperature), axis=1))
            distances.append(judge(features if judge.source == "features" else logits))
        return exported.Prediction(np.mean(probabilities, axis=0), np.mean(distances, axis=0))


def load(run: Run, features: Features, progress: Callable[[float], object] = lambda share: None) -> Ensemble:
    """Load every network of a finished run, for predictions in the common space of `features`.

    Raises:
        UserError: a network is missing or damaged, or the run was ensembled by an earlier version.
    """
    forms = {
        name: (len(features.sources["logits"][0]), *features.sources["pixels"].shape[1:], len(alignment.mean))
        for name, alignment in features.alignments.items()
    }
    temperatures, networks = _load(run, forms, progress)
    return Ensemble(networks, temperatures, features)


def load_networks(run: Run) -> RunNetworks:
    """Load every network of a finished run of this data set, for people's own pictures.

    Raises:
        UserError: a network is missing or damaged, or the run was ensembled by an earlier version.
    """
    outputs = {
        member.name: arrays.read(run.whole(member) / "oof.npz", rows="i1", logits="f2", features="f2")
        for member in run.members
    }
    form = (len(run.dataset.classes), *run.dataset.shape)
    forms = {name: (*form, of["features"].shape[1]) for name, of in outputs.items()}
    temperatures, loaded = _load(run, forms)
    networks = [
        (predict, temperatures[member.architecture], judge(outputs[member.name], run.dataset.targets))
        for member, predict in loaded
    ]
    about = {"run_oof_accuracy": records.read_json(run.metrics, oof_accuracy=float)["oof_accuracy"]}
    return RunNetworks(networks, run.dataset.classes, run.dataset.shape, about)


def judge(output: dict[str, np.ndarray], targets: np.ndarray) -> novelty.Judge:
    """Fit what tells how unlike the training data an image is, on the rows that a member never saw.

    Args:
        output: arrays of the member's `oof.npz`.
        targets: the class of every training row, int (n,).
    """
    name = "features" if output["features"].shape[1] <= WIDEST else "logits"
    return novelty.fit(output[name], targets[output["rows"]], name)


def _load(
    run: Run,
    forms: dict[str, tuple[int, ...]],
    progress: Callable[[float], object] = lambda share: None,
) -> tuple[dict[str, float], list[tuple[Member, Predict]]]:
    """The temperature of each architecture, and what predicts for each member.

    Args:
        run: finished.
        forms: by member: classes, height, width, channels and features that its network must have.
        progress: hears the share of the networks that are loaded.
    """
    temperatures = records.read_json(run.metrics, temperature=dict)["temperature"]
    members = run.members
    for member in members:
        temperature = temperatures.get(member.architecture)
        if not (isinstance(temperature, float) and 0 < temperature < math.inf):
            raise UserError(f"{run.metrics}: says no temperature of {member.architecture}; make it anew: make submit")
    backend.start(run.config.training.threads)
    from digits.training import loop

    loaded = []
    for number, member in enumerate(members, start=1):
        path = run.member(member) / "model.keras"
        model = models.load(path)
        if (model.output_shape[-1], *model.input_shape[1:], _feature_width(model)) != forms[member.name]:
            raise UserError(f"{path}: is of another run; train it anew: make train RUN={run.folder.name}")
        loaded.append((member, loop.predictor(model)))
        progress(number / len(members))
    return temperatures, loaded


def _feature_width(model: keras.Model) -> int:
    return model.get_layer("features").output.shape[-1]
