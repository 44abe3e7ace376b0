"""Write the ensemble of a finished run as one ONNX file, checked against Keras."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rich.table import Table

from digits.config import Config
from digits.data.demo import demo
from digits.ensemble.logits import read_ensemble
from digits.errors import UserError
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.progress import Steps, console
from digits.runs import Member, Run, RunFolder, members
from digits.stages.predict import exported, novelty
from digits.stages.predict import networks as inference
from digits.training import backend

if TYPE_CHECKING:
    import keras
    import onnx
    import tensorflow as tf

OPSET = 18
CHECKED = 1_000  # test rows on which both must agree
STORED = 8  # images whose answers are checked when the file is opened
TOLERANCE = 1e-4  # of probabilities, computed in 32 bits
AGREEMENT = 0.995  # of choices, computed in 8 bits
CALIBRATION = 1_024  # training rows that tell the ranges of what is kept in 8 bits
TIMED_SECONDS = 3.0


def run(run: Run, out: Path, folds: int | None = None, small: bool = False) -> None:
    """Write the networks of a run as one file: uint8 images in, calibrated probabilities and novelty out.

    The probabilities are the mean of the networks' softmax outputs, each divided by its temperature; test-time
    augmentation is left out.

    Args:
        run: finished.
        out: the file.
        folds: only the networks of the first folds; all by default.
        small: compute in 8 bits: a quarter of the size, twice the speed, rounded probabilities.

    Raises:
        UserError: the run is not finished, damaged, or made from other rows.
    """
    if backend.name() != "tensorflow":
        raise UserError(f"the ONNX export needs TensorFlow: make export RUN={run.folder.name}, without BACKEND=")
    read_ensemble(run)
    steps = Steps()
    members = [member for member in run.members if folds is None or member.fold < folds]
    temperatures = records.read_json(run.metrics, temperature=dict, oof_accuracy=float)["temperature"]
    for member in members:
        run.whole(member)  # found before TensorFlow is loaded
    with steps.step(f"load {len(members)} networks"):
        backend.start(run.config.training.threads)
        models = [_model(run, member) for member in members]
    with steps.step("convert"):
        outputs = [arrays.read(run.member(member) / "oof.npz") for member in members]
        judges = [inference.judge(output, run.dataset.targets) for output in outputs]
        forward = _forward(models, [temperatures[member.architecture] for member in members], judges, run.dataset.shape)
        graph = _convert(forward)
        if small:
            graph = _quantized(graph, run.dataset.train_images[:CALIBRATION])
    with steps.step("check and write"):
        about = _about(run, members)
        about["answers"] = _answers(exported.open_session(_described(graph, about), exact=True))
        ensemble = exported.parse(_described(graph, about), str(out))
        gap = _check(ensemble, forward, run.dataset.test_images[:CHECKED], small)
        if len({member.fold for member in members}) == 1:  # its networks share the rows that they never saw
            about |= _held_out(ensemble, run, members[0])
        with replacing(out) as temporary:
            temporary.write_bytes(_described(graph, about))
        speed = _speed(ensemble, run.dataset.test_images)
    _print(out, about, gap, speed)


def is_current(run: RunFolder, config: Config, path: Path) -> bool:
    """Whether a file was exported from the run's networks of this config as they are."""
    try:
        return exported.load(path).about["members"] == _identity(run, members(config))
    except (UserError, KeyError, OSError):  # also where a member is gone, which exporting anew says in a line
        return False


def _model(run: Run, member: Member) -> keras.Model:
    """A member's network in 32 bits throughout."""
    import keras

    from digits import models

    trained = models.load(run.member(member) / "model.keras")
    architecture = next(of for of in run.config.architectures if of.label == member.architecture)
    model = models.build(architecture, run.dataset.shape, len(run.dataset.classes), "float32", 0)
    model.set_weights(trained.get_weights())
    return keras.Model(model.input, [model.output, model.get_layer("features").output])


def _forward(
    models: Sequence[keras.Model],
    temperatures: Sequence[float],
    judges: Sequence[novelty.Judge],
    shape: tuple[int, ...],
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """The whole ensemble as one function."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.uint8, name="images")])
    def forward(images: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.cast(images, tf.float32)
        probabilities, distances = [], []
        for model, temperature, judge in zip(models, temperatures, judges, strict=True):
            logits, features = model(pixels, training=False)
            probabilities.append(tf.nn.softmax(logits / temperature))
            seen = (features if judge.source == "features" else logits) @ judge.whitening
            squares = tf.reduce_sum((seen[:, None] - judge.means[None]) ** 2, axis=2)
            distances.append(tf.reduce_min(squares, axis=1) / judge.limit)
        mean = {"probabilities": probabilities, "novelty": distances}
        return {name: tf.add_n(of) / len(models) for name, of in mean.items()}

    return forward


def _convert(forward: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> onnx.ModelProto:
    import tf2onnx

    return tf2onnx.convert.from_function(forward, input_signature=forward.input_signature, opset=OPSET)[0]


def _quantized(graph: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Convert convolutions and what is between them to 8 bits, their ranges seen on these images.

    Weights take 7 of the 8 bits. Processors that have AVX2 or AVX-512 and not VNNI add products of activations (0 to
    255) and weights in pairs of 16 bits: 2 x 255 x 64 fits, 2 x 255 x 127 does not and is cut off.
    """
    import onnx
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter([{"images": part} for part in np.array_split(images, 16)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:  # it goes from file to file
        before, prepared, after = (Path(folder, f"{name}.onnx") for name in ("before", "prepared", "after"))
        onnx.save(graph, before)
        quantization.quant_pre_process(before, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            after,
            Images(),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["Conv", "Relu", "Add", "MaxPool"],
        )
        return onnx.load(after)


def _about(run: Run, members: Sequence[Member]) -> dict[str, Any]:
    """What the file says of itself."""
    return {
        "run": run.folder.name,
        "data": run.dataset.fingerprint,
        "classes": run.dataset.classes.tolist(),
        "architectures": [architecture.model_dump(mode="json") for architecture in run.config.architectures],
        "members": _identity(run, members),
        "run_oof_accuracy": records.read_json(run.metrics)["oof_accuracy"],
        "versions": backend.versions(),
    }


def _answers(ensemble: exported.Exported) -> dict[str, Any]:
    """The images with the least certain answers, which errors move most: pairs of demo digits over each other."""
    height, width, channels = ensemble.shape
    resized = np.stack([cv2.resize(image, (width, height)) for image in demo().train_images[:400, ..., 0]])
    digits = np.repeat(resized[..., None], channels, axis=-1)
    pairs = np.maximum(*np.split(digits, 2))
    certainty = ensemble.predict(pairs).probabilities.max(axis=1)
    return exported.answers(ensemble, pairs[certainty.argsort()[:STORED]])


def _identity(run: RunFolder, members: Sequence[Member]) -> dict[str, str]:
    """The members by name, with a checksum of each."""
    return {member.name: records.checksum(run.member(member) / "member.json") for member in members}


def _described(graph: onnx.ModelProto, about: dict[str, Any]) -> bytes:
    """The file: the graph with what it says of itself, and its checksum."""
    import onnx

    onnx.helper.set_model_props(graph, {"digits": json.dumps(about), "checksum": records.BLANK.decode()})
    graph.producer_name = "digits"
    return records.signed(graph.SerializeToString())


def _check(
    ensemble: exported.Exported, forward: Callable[[tf.Tensor], dict[str, tf.Tensor]], images: np.ndarray, small: bool
) -> float:
    """The largest difference of any probability from what Keras says in 32 bits.

    Raises:
        RuntimeError: the conversion went wrong.
    """
    ours, theirs = ensemble.predict(images).probabilities, forward(images)["probabilities"].numpy()
    gap = float(np.abs(ours - theirs).max())
    agreement = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    if agreement < AGREEMENT or (gap > TOLERANCE and not small):
        raise RuntimeError(f"the exported ensemble differs from Keras by {gap:.2g}, agrees on {agreement:.1%}")
    return gap


def _held_out(ensemble: exported.Exported, run: Run, member: Member) -> dict[str, Any]:
    """The accuracy on the rows that none of the networks saw."""
    rows = arrays.read(run.member(member) / "oof.npz")["rows"]
    chosen = ensemble.predict(run.dataset.train_images[rows]).probabilities.argmax(axis=1)
    return {"oof_accuracy": float((chosen == run.dataset.targets[rows]).mean()), "oof_rows": len(rows)}


def _speed(ensemble: exported.Exported, images: np.ndarray) -> float:
    """Images a second, over some seconds."""
    done, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < TIMED_SECONDS:
        done += len(ensemble.predict(images[: 4 * exported.BATCH]).novelty)
    return done / taken


def _print(out: Path, about: dict[str, Any], gap: float, speed: float) -> None:
    table = Table(show_header=False, title=str(out), title_justify="left")
    table.add_row("networks", ", ".join(about["members"]))
    table.add_row(
        "size", f"{out.stat().st_size / 1e6:.2f} MB, SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()[:16]}"
    )
    table.add_row("from Keras in float32", f"{gap:.1e} at most, in any probability of {CHECKED:,} test rows")
    table.add_row("speed", f"{speed:,.0f} images/s on all cores")
    if "oof_accuracy" in about:
        table.add_row("held-out accuracy", f"{about['oof_accuracy']:.5f} on {about['oof_rows']:,} rows")
    table.add_row("OOF accuracy of its run", f"{about['run_oof_accuracy']:.5f}")
    console().print(table)
