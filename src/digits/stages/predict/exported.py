"""An ensemble that predicts, and the ONNX file that `make export` writes and `make predict` reads. Needs no Keras."""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

from digits.errors import UserError
from digits.files import records

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would number the machine, and tell its makers what it runs
import onnxruntime

logger = logging.getLogger(__name__)

ROUNDING = 0.02  # of probabilities: exact kernels differ by less than 0.008, those that saturate by 0.3 and more
BATCH = 128  # images a call: as fast as larger ones, and takes less memory
PRETRAINED = Path(__file__).parent / "pretrained" / "ensemble.onnx"  # made by `make pretrained`


class Prediction(NamedTuple):
    """Outputs of an ensemble for n images.

    probabilities: float32 (n, classes), calibrated. novelty: float32 (n,), how unlike the training data an image is;
    one in a hundred of the training rows exceeds 1. features: float32 (n, d), in the space that the members share; None
    in files of earlier versions.
    """

    probabilities: np.ndarray
    novelty: np.ndarray
    features: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Networks that predict together.

    forward: predicts at most `BATCH` images. classes: labels, int or str (classes,). shape: height, width and channels
    of an image. origin: its file or run. about: metadata of the file; `run_oof_accuracy` at least.
    """

    forward: Callable[[np.ndarray], Prediction]
    classes: np.ndarray
    shape: tuple[int, int, int]
    origin: str
    about: dict[str, Any]

    def predict(self, images: np.ndarray) -> Prediction:
        """Predict images uint8 (n, height, width, channels) in the form of the training data."""
        some = images if len(images) else np.zeros((1, *self.shape), np.uint8)  # an empty batch is an error in Keras
        batches = [self.forward(some[start : start + BATCH]) for start in range(0, len(some), BATCH)]
        outputs = zip(*batches, strict=True)
        return Prediction(*(None if parts[0] is None else np.concatenate(parts)[: len(images)] for parts in outputs))


def load(path: Path) -> Ensemble:
    """Open an exported ensemble, to run on all cores.

    Raises:
        UserError: it is missing or damaged, or no ensemble of ours.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; write it: make export RUN=...") from None
    return parse(content, str(path))


def parse(content: bytes, origin: str) -> Ensemble:
    """Open the content of an exported file, and check that it gives the answers that are stored in it.

    Raises:
        UserError: it is damaged, no ensemble of ours, or gives other answers.
    """
    if records.is_altered(content):
        raise UserError(f"{origin}: damaged; write it anew: make export RUN=...")
    try:
        for exact in (False, True):
            ensemble = open_session(content, origin, exact)
            if _gives_stored_answers(ensemble):
                if exact:
                    logger.warning("%s: its fast kernels are wrong on this processor; slower, exact ones run", origin)
                return ensemble
    except MemoryError:
        raise
    except Exception:  # onnxruntime raises a dozen kinds, for a file that is cut off or of another make
        raise UserError(f"{origin}: damaged, or no exported ensemble; write it anew: make export RUN=...") from None
    raise UserError(f"{origin}: gives other answers than those stored in it; write it anew: make export RUN=...")


def open_session(content: bytes, origin: str, exact: bool = False) -> Ensemble:
    """Open the content of an exported file without checking its answers.

    exact: run every node as it is written, in 32 bits: a third as fast.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = joblib.cpu_count()
    options.log_severity_level = 4  # what it logs comes as an exception too
    if exact:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map["digits"])
    input_shape = session.get_inputs()[0].shape[1:]  # without channels in files of earlier versions
    classes, shape = np.array(about["classes"]), (*input_shape, 1)[:3]
    if (
        classes.dtype.kind not in "iU"
        or not all(isinstance(size, int) for size in shape)
        or not isinstance(about["run_oof_accuracy"], float)
    ):
        raise ValueError("another form")
    names = [output.name for output in session.get_outputs()]

    def forward(images: np.ndarray) -> Prediction:
        arrays = session.run(names, {"images": images.reshape(-1, *input_shape)})
        return Prediction(**dict(zip(names, arrays, strict=True)))

    return Ensemble(forward, classes, shape, origin, about)


def answers(ensemble: Ensemble, images: np.ndarray) -> dict[str, Any]:
    """Images uint8 (n, height, width, channels) and their probabilities, to be stored as `about["answers"]`."""
    probabilities = ensemble.predict(images).probabilities.astype(float).round(5)
    return {"images": base64.b64encode(images.tobytes()).decode(), "probabilities": probabilities.tolist()}


def _gives_stored_answers(ensemble: Ensemble) -> bool:
    """Probabilities of the stored images match those stored; files of earlier versions store none."""
    stored = ensemble.about.get("answers")
    if stored is None:
        return True
    images = np.frombuffer(base64.b64decode(stored["images"]), np.uint8).reshape(-1, *ensemble.shape)
    expected = np.array(stored["probabilities"], float)
    if not 0 < len(images) <= BATCH or expected.shape != (len(images), len(ensemble.classes)):
        raise ValueError("another form")
    return np.allclose(ensemble.predict(images).probabilities, expected, rtol=0, atol=ROUNDING)
