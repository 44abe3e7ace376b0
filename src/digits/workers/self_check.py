"""Try the accelerator before hours depend on it: one training step, one prediction, save and load.

Each way to compute is tried in a process of its own, so that a library that crashes takes nothing else along.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from digits import config, models
from digits.config import Config, EarlyStopping, Schedule
from digits.data import Rows, Split
from digits.errors import shown
from digits.seeds import derive
from digits.training import backend
from digits.training.callback import Callback
from digits.workers import gpus

SECONDS = 300  # that one way may take, compilation included
TOLERANCE = 1e-3  # of logits, between a network and the same network loaded
ORIGIN = "of the self-check"  # of configs, for messages


@dataclass(frozen=True)
class Way:
    """A way to compute networks.

    name: for messages. environment: variables of every process that computes. precision: in place of the config's,
    where it is not None.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    precision: str | None = None

    def settings(self, settings: Config) -> Config:
        """The config in this way's precision."""
        if self.precision is None:
            return settings
        return config.replaced(settings, {"training.precision": self.precision}, ORIGIN)


UNDETERMINED = {backend.UNDETERMINED: "1"}
PROCESSOR = Way("on the processor", gpus.PROCESSOR)
WAYS = (
    Way("with the config's settings"),
    Way("without determinism", UNDETERMINED),
    Way("without determinism, in float32", UNDETERMINED, "float32"),
    PROCESSOR,
)


def find_way(settings: Config, shape: tuple[int, int, int], classes: int) -> Way:
    """The first way that works on this machine's accelerator; the processor is taken untried, as the last.

    Prints a line for each way that fails. Asked again it knows the answer.
    """
    return _find_way(settings.model_dump_json(), shape, classes)


@functools.cache
def _find_way(settings: str, shape: tuple[int, int, int], classes: int) -> Way:
    print("Checking the GPU: one training step, one prediction, save and load ...", flush=True)
    for way, following in itertools.pairwise(WAYS):
        problem = _problem(way, Config.model_validate_json(settings), shape, classes)
        if problem is None:
            return way
        print(f"The GPU fails {way.name}: {problem}; trying {following.name}", flush=True)
    return PROCESSOR


def _problem(way: Way, settings: Config, shape: tuple[int, int, int], classes: int) -> str | None:
    """Reason why a way does not work here; None where it does."""
    order = {"config": way.settings(settings).model_dump(mode="json"), "shape": shape, "classes": classes}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "digits.workers.self_check"],
            input=json.dumps(order),
            env=os.environ | way.environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"it does not answer within {SECONDS} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"its process was killed by signal {-done.returncode}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return shown(lines[-1] if lines else "it says nothing")


def check(settings: Config, shape: tuple[int, int, int], classes: int) -> None:
    """Train every architecture for one step on noise, predict with it, save it and load it.

    Raises:
        Exception: whatever the backend raises, or a network that is not the same once it was loaded.
    """
    backend.start(settings.training.threads)
    from digits.training import loop

    count = settings.training.batch_size
    images = np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)
    targets, everything = np.arange(count, dtype=np.int32) % classes, np.arange(count)
    split = Split(Rows(images, targets, classes), everything, everything)
    once = settings.with_training(
        epochs=1, clean_epochs=0, monitor_rows=1, schedule=Schedule(name="constant"), early_stopping=EarlyStopping()
    )
    for architecture in settings.architectures:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "model.keras"
            network = loop.train(architecture, once, split, derive(0, "self-check"), Path(name) / "c.npz", Callback())
            network.model.save(path)
            loaded = models.load(path)
        logits, features = network.predict(images)
        again, _ = loop.predictor(loaded)(images)
        if not np.isfinite(logits).all() or not np.isfinite(features).all():
            raise ArithmeticError(f"{architecture.label} predicts what is not a number")
        if np.abs(logits - again).max() > TOLERANCE * max(1.0, np.abs(logits).max()):
            raise ArithmeticError(f"{architecture.label} predicts otherwise once it was saved and loaded")


def main() -> None:
    """Check the config of standard input; the last line of standard error is what is wrong."""
    order = json.load(sys.stdin)
    try:
        check(config.parse(order["config"], ORIGIN), tuple(order["shape"]), order["classes"])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {shown(str(error))}")


if __name__ == "__main__":
    main()
