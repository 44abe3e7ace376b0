"""Augmentation throughput on one core: packs against one call an image, and Keras' own layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.clock import per_second
from digits.config import Augmentation
from digits.training import backend
from digits.training.augment import augment

IMAGES = 20_000
ALONE = 4_000  # of them, where each takes a call of its own


def packed(images: np.ndarray, settings: Augmentation) -> float:
    """Images a second of albumentations, `settings.pack` images a call."""
    images = images[:ALONE] if settings.pack == 1 else images
    return per_second(lambda: augment(images, settings, np.random.SeedSequence(0)), len(images))


def keras_layers(images: np.ndarray, settings: Augmentation, batch: int) -> float:
    """Images a second of `random_layers` in a compiled graph."""
    backend.start(threads=1)
    import tensorflow as tf

    steps = random_layers(settings)

    @tf.function
    def work(pixels: tf.Tensor) -> tf.Tensor:
        x = tf.cast(pixels, tf.float32)
        for step in steps:
            x = step(x, training=True)
        return x

    def over_all() -> None:
        for start in range(0, len(images) - batch + 1, batch):
            work(tf.constant(images[start : start + batch]))

    return per_second(over_all, len(images) // batch * batch)


def random_layers(settings: Augmentation) -> list[Any]:
    """Keras' own layers with the affine ranges of `settings`."""
    from keras import layers

    turn, move, zoom = settings.rotation / 360, settings.shift, settings.zoom
    shear = math.tan(math.radians(settings.shear))
    return [
        layers.RandomRotation((-turn, turn), fill_mode="constant", seed=1),
        layers.RandomTranslation(move, move, fill_mode="constant", seed=2),
        layers.RandomZoom((-zoom, zoom), fill_mode="constant", seed=3),
        layers.RandomShear(shear, shear, fill_mode="constant", seed=4),
    ]
