"""The pool-free net: strided convolutions learn what pooling would throw away."""

from keras import KerasTensor, layers


def poolfree(images: KerasTensor, classes: int, *, dropout: float = 0.4) -> KerasTensor:
    """Conv 32-32-32(5x5, stride 2), 64-64-64(5x5, stride 2), 128(4x4), each with batch norm.

    The net of Kaggle's best honest public kernel (C. Deotte, "25 Million Images! [0.99757] MNIST").
    """
    x = images
    for width in (32, 64):
        x = _conv_norm(x, width, 3)
        x = _conv_norm(x, width, 3)
        x = _conv_norm(x, width, 5, strides=2, padding="same")
        x = layers.Dropout(dropout)(x)
    x = _conv_norm(x, 128, 4)
    x = layers.Flatten(dtype="float32", name="features")(x)
    x = layers.Dropout(dropout, dtype="float32")(x)
    return layers.Dense(classes, dtype="float32", name="logits")(x)


def _conv_norm(x: KerasTensor, width: int, kernel: int, **options: object) -> KerasTensor:
    x = layers.Conv2D(width, kernel, activation="relu", **options)(x)
    return layers.BatchNormalization(momentum=0.9)(x)
