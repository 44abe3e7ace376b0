"""Nets without pooling: strided convolutions learn what pooling would throw away."""

from collections.abc import Callable
from typing import Any

from keras import KerasTensor, layers

from digits.models.blocks import classify, conv_norm_relu


def poolfree(images: KerasTensor, classes: int, *, dropout: float = 0.4) -> KerasTensor:
    """Conv 32-32-32(5x5, stride 2), 64-64-64(5x5, stride 2), 128(4x4), each with batch norm.

    The net of Kaggle's best honest public kernel (C. Deotte, "25 Million Images! [0.99757] MNIST").
    """
    return _net(images, classes, _conv_relu_norm, 1.0, dropout)


def strided(images: KerasTensor, classes: int, *, width: float = 1.0, dropout: float = 0.4) -> KerasTensor:
    """The partner of our own net in the ensemble: it keeps more detail for longer, and errs on other images.

    The layers of `poolfree` with batch norm before the rectifier instead of behind it, in its fused form, and He's
    initial weights; 0.33 M parameters. `width` multiplies every channel count.
    """
    return _net(images, classes, conv_norm_relu, width, dropout)


def _net(
    x: KerasTensor, classes: int, convolution: Callable[..., KerasTensor], width: float, dropout: float
) -> KerasTensor:
    for channels in (round(32 * width), round(64 * width)):
        x = convolution(x, channels, 3)
        x = convolution(x, channels, 3)
        x = convolution(x, channels, 5, strides=2, padding="same")
        x = layers.Dropout(dropout)(x)
    x = convolution(x, round(128 * width), 4)
    x = layers.Flatten(dtype="float32", name="features")(x)
    return classify(x, classes, dropout)


def _conv_relu_norm(x: KerasTensor, channels: int, size: int, **options: Any) -> KerasTensor:
    x = layers.Conv2D(channels, size, activation="relu", **options)(x)
    return layers.BatchNormalization(momentum=0.9)(x)
