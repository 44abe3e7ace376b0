"""The networks of a finished run as one Keras model. Imports Keras."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from digits import models
from digits.ensemble import alignment
from digits.ensemble.alignment import Alignment
from digits.ensemble.logits import read_ensemble
from digits.errors import UserError, shown
from digits.files import arrays, records
from digits.runs import Member, Run
from digits.stages.predict import novelty
from digits.stages.predict.exported import Ensemble, Prediction
from digits.training import backend

if TYPE_CHECKING:
    import keras

WIDEST = 256  # features in which novelty is measured; where a network has more, it is measured in its logits


def load(run: Run) -> Ensemble:
    """Load every network of a finished run, to predict with Keras.

    Raises:
        UserError: see `build`.
    """
    model = build(run, run.members)
    about = records.read_json(run.metrics, oof_accuracy=float)
    return Ensemble(
        forward=lambda images: Prediction(**model.predict_on_batch(images)),
        classes=run.dataset.classes,
        shape=run.dataset.shape,
        origin=str(run.folder),
        about={"run_oof_accuracy": about["oof_accuracy"]},
    )


def build(run: Run, members: Sequence[Member]) -> keras.Model:
    """Join members of a finished run in one model, in 32 bits: uint8 images in, the arrays of a `Prediction` out.

    Each output is the mean over the members: of their softmax outputs, each of logits divided by its temperature; of
    their novelty; of their aligned features. Test-time augmentation is left out.

    Raises:
        UserError: the run is not finished, damaged, or made from other rows.
    """
    read_ensemble(run)
    temperatures = [_temperature(run, member) for member in members]
    alignments = alignment.of_run(run)
    backend.start(run.config.training.threads)
    import keras

    images = keras.Input(run.dataset.shape, dtype="uint8", name="images")
    pixels = keras.ops.cast(images, "float32")
    outputs = [
        _outputs(run, member, pixels, temperature, alignments[member.name])
        for member, temperature in zip(members, temperatures, strict=True)
    ]
    means = [keras.ops.mean(keras.ops.stack(values), axis=0) for values in zip(*outputs, strict=True)]
    return keras.Model(images, Prediction(*means)._asdict())


def _temperature(run: Run, member: Member) -> float:
    temperature = records.read_json(run.metrics, temperature=dict)["temperature"].get(member.architecture)
    if not (isinstance(temperature, float) and 0 < temperature < math.inf):
        raise UserError(f"{run.metrics}: has no temperature of {member.architecture}; make it anew: make submit")
    return temperature


def _outputs(
    run: Run, member: Member, pixels: keras.KerasTensor, temperature: float, aligned: Alignment
) -> tuple[keras.KerasTensor, ...]:
    """Probabilities, novelty and aligned features of one member."""
    from keras import ops

    folder = run.verified(member)
    trained = models.load(folder / "model.keras")
    try:
        oof = arrays.read(folder / "oof.npz", rows="i1", logits="f2", features="f2")
        source = "features" if oof["features"].shape[1] <= WIDEST else "logits"
        fitted = novelty.fit(oof[source], run.dataset.targets[oof["rows"]])
        logits, features = _in_32_bits(run, member, trained)(pixels)
        whitened = ops.matmul(features if source == "features" else logits, fitted.whitening)
        squares = ops.sum((ops.expand_dims(whitened, 1) - fitted.means) ** 2, axis=2)
        turned = ops.matmul((features - aligned.mean) / aligned.scale, aligned.rotation)
    except (ValueError, IndexError) as error:
        reason = shown(str(error))
        raise UserError(
            f"{folder}: of another run ({reason}); train it anew: make train RUN={run.folder.name}"
        ) from None
    return ops.softmax(logits / temperature), ops.min(squares, axis=1) / fitted.limit, turned


def _in_32_bits(run: Run, member: Member, trained: keras.Model) -> keras.Model:
    """A member's network, whose outputs are its logits and its features."""
    import keras

    (architecture,) = (choice for choice in run.config.architectures if choice.label == member.architecture)
    model = models.build(architecture, run.dataset.shape, len(run.dataset.classes), "float32", 0)
    model.set_weights(trained.get_weights())
    return keras.Model(model.input, [model.output, model.get_layer("features").output], name=member.name)
