"""Parts that several nets share."""

from typing import Any

from keras import KerasTensor, layers

from digits.models.normalization import FusedBatchNormalization


def conv_norm_relu(x: KerasTensor, channels: int, size: int, **options: Any) -> KerasTensor:
    """Convolution without bias, batch normalisation, rectifier; `options` are those of `Conv2D`."""
    x = layers.Conv2D(channels, size, use_bias=False, kernel_initializer="he_normal", **options)(x)
    return layers.Activation("relu")(FusedBatchNormalization()(x))


def classify(features: KerasTensor, classes: int, dropout: float) -> KerasTensor:
    """Dropout and the last dense layer: logits float32 (batch, classes)."""
    x = layers.Dropout(dropout, dtype="float32")(features)
    return layers.Dense(classes, dtype="float32", name="logits")(x)
