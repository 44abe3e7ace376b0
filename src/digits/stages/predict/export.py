"""Write the ensemble of a finished run as one ONNX file, or as TensorFlow reads it, checked against Keras."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rich.table import Table

from digits.config import Config
from digits.data.demo import demo
from digits.errors import UserError, shown
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.progress import StepTimer, console
from digits.runs import Member, Run, RunFolder, members
from digits.stages.predict import exported, networks
from digits.stages.predict.exported import Ensemble, Prediction
from digits.training import backend

if TYPE_CHECKING:
    import keras
    import onnx

OPSET = 18
CHECKED = 1_000  # test rows on which both must agree
STORED = 8  # images whose answers are checked when the file is opened
TOLERANCE = 1e-4  # of probabilities, computed in 32 bits
AGREEMENT = 0.995  # of choices, computed in 8 bits
CALIBRATION = 1_024  # training rows that give the ranges of what is kept in 8 bits
TIMED_SECONDS = 3.0


@dataclass(frozen=True)
class Format:
    """Format for TensorFlow: its name for Keras' `Model.export`, its name in the run's folder, and how it is opened."""

    keras: str
    name: str
    load: Callable[[Path], Callable[[np.ndarray], Prediction]]


def run(run: Run, out: Path, folds: int | None = None, small: bool = False) -> None:
    """Write the networks of a run as one file: uint8 images in, the arrays of a `Prediction` out.

    folds: only the networks of the first folds; all by default. small: compute in 8 bits: a quarter of the size, twice
    the speed, rounded probabilities.

    Raises:
        UserError: the run is not finished, damaged, or made from other rows; or there is no TensorFlow.
    """
    _need_tensorflow(run)
    steps = StepTimer()
    members = [member for member in run.members if folds is None or member.fold < folds]
    with steps.step(f"load {len(members)} networks"):
        model = networks.build(run, members)
    with steps.step("convert"):
        graph = _convert(model)
        if small:
            graph = _quantized(graph, run.dataset.train_images[:CALIBRATION])
    with steps.step("check and write"):
        about = _about(run, members)
        about["answers"] = _answers(exported.open_session(_content(graph, about), str(out), exact=True))
        ensemble = exported.parse(_content(graph, about), str(out))
        gap = _check(ensemble, model, run.dataset.test_images[:CHECKED], small)
        if len({member.fold for member in members}) == 1:  # its networks share the rows that they never saw
            about |= _held_out(ensemble, run, members[0])
        with replacing(out) as temporary:
            temporary.write_bytes(_content(graph, about))
        speed = _speed(ensemble, run.dataset.test_images)
    _print(out, about, gap, speed)


def for_tensorflow(run: Run, format_name: str) -> None:
    """Write the networks of a run in one of `FORMATS`, with the inputs and outputs of the ONNX file.

    Raises:
        UserError: the format is not known; or as `run`.
    """
    if format_name not in FORMATS:
        raise UserError(f"format '{shown(format_name)}' is not known; the formats are onnx, {', '.join(FORMATS)}")
    _need_tensorflow(run)
    form, steps = FORMATS[format_name], StepTimer()
    out, unfinished = run.folder / form.name, run.folder / f".{form.name}"
    with steps.step(f"load {len(run.members)} networks"):
        model = networks.build(run, run.members)
    with steps.step("convert, check and write"):
        about = _about(run, run.members)
        _remove(unfinished)  # of a call that was killed
        model.export(unfinished, format=form.keras, verbose=False)
        ensemble = Ensemble(form.load(unfinished), run.dataset.classes, run.dataset.shape, str(out), about)
        gap = _check(ensemble, model, run.dataset.test_images[:CHECKED], small=False)
        _remove(out)
        unfinished.rename(out)
        speed = _speed(ensemble, run.dataset.test_images)
    _print(out, about, gap, speed)


def _need_tensorflow(run: Run) -> None:
    if backend.name() != "tensorflow":
        raise UserError(f"the export needs TensorFlow: make export RUN={run.folder.name}, without BACKEND=")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _load_saved_model(path: Path) -> Callable[[np.ndarray], Prediction]:
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return lambda images: _as_arrays(model.serve(images))


def _load_litert(path: Path) -> Callable[[np.ndarray], Prediction]:
    import tensorflow as tf

    with warnings.catch_warnings(action="ignore"):  # that this interpreter will have a package of its own
        runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    return lambda images: _as_arrays(runner(images=images))


def _as_arrays(outputs: dict[str, Any]) -> Prediction:
    return Prediction(**{name: np.asarray(values) for name, values in outputs.items()})


FORMATS = {
    "saved_model": Format("tf_saved_model", "ensemble_saved_model", _load_saved_model),
    "litert": Format("litert", "ensemble.tflite", _load_litert),
}


def make(finished: Run) -> Ensemble:
    """Export a finished run and open the file; without TensorFlow load its networks as they are.

    Raises:
        UserError: as `run`, or another process works on the run.
    """
    if backend.name() != "tensorflow":
        return networks.load(finished)
    with finished.locked():
        run(finished, finished.exported)
    return exported.load(finished.exported)


def current(folder: RunFolder, config: Config) -> Ensemble | None:
    """The exported ensemble of a run; None where it is not one of exactly the networks of this config."""
    try:
        ensemble = exported.load(folder.exported)
        identity = _identity(folder, members(config))
    except (UserError, OSError):  # also where a member is gone, for which `make` has a line
        return None
    return ensemble if all(ensemble.about.get(key) == value for key, value in identity.items()) else None


def _convert(model: keras.Model) -> onnx.ModelProto:
    import tensorflow as tf
    import tf2onnx

    form = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="images")]
    forward = tf.function(lambda images: model(images, training=False), input_signature=form)
    return tf2onnx.convert.from_function(forward, input_signature=form, opset=OPSET)[0]


def _quantized(graph: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Convert convolutions and what is between them to 8 bits, with the ranges that these images give.

    Weights take 7 of the 8 bits. Processors that have AVX2 or AVX-512 and not VNNI add products of activations (0 to
    255) and weights in pairs of 16 bits: 2 x 255 x 64 fits, 2 x 255 x 127 does not and is cut off.
    """
    import onnx
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):
        batches = iter(np.array_split(images, 16))

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(({"images": batch} for batch in self.batches), None)

    with tempfile.TemporaryDirectory() as folder:  # onnxruntime quantizes from file to file
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


def _content(graph: onnx.ModelProto, about: dict[str, Any]) -> bytes:
    """The file: the graph with its metadata and its checksum."""
    import onnx

    onnx.helper.set_model_props(graph, {"digits": json.dumps(about), "checksum": records.BLANK.decode()})
    graph.producer_name = "digits"
    return records.signed(graph.SerializeToString())


def _about(run: Run, members: Sequence[Member]) -> dict[str, Any]:
    """Metadata of the file."""
    return _identity(run, members) | {
        "run": run.folder.name,
        "data": run.dataset.fingerprint,
        "classes": run.dataset.classes.tolist(),
        "architectures": [architecture.model_dump(mode="json") for architecture in run.config.architectures],
        "run_oof_accuracy": records.read_json(run.metrics, oof_accuracy=float)["oof_accuracy"],
        "versions": backend.versions(),
    }


def _identity(run: RunFolder, members: Sequence[Member]) -> dict[str, Any]:
    """A checksum of each member by its name, and what the file predicts of an image."""
    checksums = {member.name: records.checksum(run.member(member) / "member.json") for member in members}
    return {"members": checksums, "outputs": list(Prediction._fields)}


def _answers(ensemble: Ensemble) -> dict[str, Any]:
    """The images with the least certain answers, which errors move most: pairs of demo digits over each other."""
    height, width, channels = ensemble.shape
    resized = np.stack([cv2.resize(image, (width, height)) for image in demo().train_images[:400, ..., 0]])
    pairs = np.repeat(np.maximum(*np.split(resized, 2))[..., None], channels, axis=-1)
    certainty = ensemble.predict(pairs).probabilities.max(axis=1)
    return exported.answers(ensemble, pairs[certainty.argsort()[:STORED]])


def _check(ensemble: Ensemble, model: keras.Model, images: np.ndarray, small: bool) -> float:
    """Check an ensemble against Keras in 32 bits; return the largest difference of any probability."""
    ours = ensemble.predict(images).probabilities
    theirs = model.predict(images, batch_size=exported.BATCH, verbose=0)["probabilities"]
    gap = float(np.abs(ours - theirs).max())
    agreement = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    if agreement < AGREEMENT or (gap > TOLERANCE and not small):
        raise RuntimeError(f"the exported ensemble differs from Keras by {gap:.2g}, agrees on {agreement:.1%}")
    return gap


def _held_out(ensemble: Ensemble, run: Run, member: Member) -> dict[str, Any]:
    """The accuracy on the rows that none of the networks saw."""
    rows = arrays.read(run.member(member) / "oof.npz")["rows"]
    predicted = ensemble.predict(run.dataset.train_images[rows]).probabilities.argmax(axis=1)
    return {"oof_accuracy": float((predicted == run.dataset.targets[rows]).mean()), "oof_rows": len(rows)}


def _speed(ensemble: Ensemble, images: np.ndarray) -> float:
    """Images a second, over some seconds."""
    done, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < TIMED_SECONDS:
        done += len(ensemble.predict(images[: 4 * exported.BATCH]).novelty)
    return done / taken


def _print(out: Path, about: dict[str, Any], gap: float, speed: float) -> None:
    files = [path for path in (out, *out.rglob("*")) if path.is_file()]
    size = f"{sum(path.stat().st_size for path in files) / 1e6:.2f} MB"
    table = Table(show_header=False, title=str(out), title_justify="left")
    table.add_row("networks", ", ".join(about["members"]))
    table.add_row("classes, in their order", ", ".join(map(str, about["classes"])))
    table.add_row("size", f"{size}, SHA-256 {records.checksum(out)[:16]}" if out.is_file() else size)
    table.add_row("from Keras in float32", f"{gap:.1e} at most, in any probability of {CHECKED:,} test rows")
    table.add_row("speed", f"{speed:,.0f} images/s on all cores")
    if "oof_accuracy" in about:
        table.add_row("held-out accuracy", f"{about['oof_accuracy']:.5f} on {about['oof_rows']:,} rows")
    table.add_row("OOF accuracy of its run", f"{about['run_oof_accuracy']:.5f}")
    console().print(table)
