"""An ensemble as one ONNX file: what `make export` writes and `make predict` reads. Needs no TensorFlow."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

from digits.errors import UserError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would number the machine, and tell its makers what it runs
import onnxruntime

BATCH = 128  # images a call: as fast as larger ones, and takes less memory
PRETRAINED = Path(__file__).parent / "pretrained" / "ensemble.onnx"  # made by `make pretrained`


class Prediction(NamedTuple):
    """probabilities: float32 (n, classes), calibrated.

    novelty: float32 (n,), how unlike the training data an image is; one in a hundred of those is beyond 1.
    """

    probabilities: np.ndarray
    novelty: np.ndarray


@dataclass(frozen=True, eq=False)
class Exported:
    """An ensemble that onnxruntime runs.

    classes: labels, int (classes,). side: of its images. about: what `stages.export` wrote about it.
    """

    session: onnxruntime.InferenceSession
    classes: np.ndarray
    side: int
    about: dict[str, Any]

    def predict(self, images: np.ndarray) -> Prediction:
        """Judge images uint8 (n, side, side), ink bright, in the form of the training data."""
        parts = [
            self.session.run(["probabilities", "novelty"], {"images": images[start : start + BATCH]})
            for start in range(0, len(images), BATCH)
        ]
        if not parts:
            return Prediction(np.zeros((0, len(self.classes)), np.float32), np.zeros(0, np.float32))
        return Prediction(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def load(path: Path) -> Exported:
    """Open an exported ensemble, to run on all cores.

    Raises:
        UserError: it is missing or damaged, or no ensemble of ours.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; write it: make export RUN=...") from None
    return parse(content, str(path))


def parse(content: bytes, origin: str) -> Exported:
    """An exported ensemble from the bytes of its file.

    Raises:
        UserError: they are damaged, or no ensemble of ours.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = joblib.cpu_count()
    options.log_severity_level = 4  # what it has to say comes as an exception too
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map["digits"])
        return Exported(session, np.array(about["classes"]), session.get_inputs()[0].shape[1], about)
    except Exception:  # onnxruntime raises a dozen kinds, for a file that is cut off or of another make
        raise UserError(f"{origin}: damaged, or no exported ensemble; write it anew: make export RUN=...") from None
