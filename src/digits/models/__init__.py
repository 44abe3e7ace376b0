"""The registry of architectures, and how a network is built and loaded.

A builder is a function `name(images, classes, **options) -> logits` on Keras tensors: `images` float
(batch, height, width, channels) in 0..1, `logits` float32 (batch, classes). One of its layers is named `features`;
its float32 output (batch, d) is what the cluster stage looks at. Builders live one file a family and are
imported when a network is built, so that reading a config loads no backend.
"""

from __future__ import annotations

import importlib
import inspect
import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from digits.errors import UserError, shown

if TYPE_CHECKING:
    import keras

    from digits.config import Architecture

NETS = {
    "default": "digits.models.residual",
    "strided": "digits.models.poolfree",
    "full_resolution": "digits.models.full_resolution",
    "poolfree": "digits.models.poolfree",
    "deep": "digits.models.classic",
    "small": "digits.models.classic",
    "keras_example": "digits.models.classic",
    "mlp": "digits.models.classic",
}


def build(
    architecture: Architecture, shape: tuple[int, int, int], classes: int, precision: str, seed: int
) -> keras.Model:
    """Build a network with fresh weights; it takes raw pixels, float or uint8 (batch, *shape) in 0..255.

    shape: height, width and channels of an image. classes: number of logits. precision: a Keras dtype policy:
    `float32`, `mixed_bfloat16` or `mixed_float16`. seed: of the initial weights and of dropout.

    Raises:
        UserError: an option that the builder does not have, or an image too small for the net.
    """
    import keras

    builder = check_options(architecture)
    random.seed(seed)  # Keras draws the seeds of its initial weights and of dropout from it
    policy_before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        inputs = keras.Input(shape, name="pixels")
        logits = builder(keras.layers.Rescaling(1 / 255)(inputs), classes, **architecture.options)
        return keras.Model(inputs, logits, name=architecture.label)
    except ValueError as error:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # Keras writes parts of it in bold
        lines = [line.strip() for line in plain.splitlines() if line.strip()]
        size = "x".join(map(str, shape[:2]))
        reason = next(line for line in lines if not line.startswith("Exception encountered"))
        raise UserError(f"architecture '{architecture.label}' on {size} images: {reason}") from error
    finally:
        keras.config.set_dtype_policy(policy_before)


def multiply_adds(model: keras.Model) -> int:
    """Multiply-adds of the convolutions and dense layers for one image, forward; training takes three times as many."""
    from keras import layers

    return sum(
        math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, layers.Conv2D | layers.Dense)
    )


def load(path: Path) -> keras.Model:
    """Load a stored network in Keras' safe mode: nothing in the file is run.

    Raises:
        UserError: it is missing or damaged, or no network of ours.
    """
    import keras

    from digits.models import normalization  # noqa: F401  registers our layer

    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        shapes = (*model.input_shape[1:], *model.output_shape[1:], *model.get_layer("features").output.shape[1:])
        if len(shapes) != 5 or None in shapes:
            raise ValueError("no network that takes images and gives logits")
    except Exception as error:  # Keras raises a dozen kinds, for files that are cut off or made to harm
        raise UserError(f"{path}: cannot be loaded ({shown(str(error))})") from None
    return model


def check_options(architecture: Architecture) -> Callable[..., keras.KerasTensor]:
    """Import the net's builder, and check the options that the config gives it.

    Raises:
        UserError: it lacks an option.
    """
    builder = getattr(importlib.import_module(NETS[architecture.net]), architecture.net)
    known = list(inspect.signature(builder).parameters)[2:]
    for option in architecture.options:
        if option not in known:
            raise UserError(f"architecture '{architecture.net}' has no option '{option}'; it has: {', '.join(known)}")
    return builder
