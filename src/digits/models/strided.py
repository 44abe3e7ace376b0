"""The partner of our own net in the ensemble: it keeps more detail for longer, and errs on other images."""

from keras import KerasTensor, layers

from digits.models.normalization import conv_norm_relu


def strided(images: KerasTensor, classes: int, *, width: float = 1.0, dropout: float = 0.4) -> KerasTensor:
    """Conv 32-32-32(5x5, stride 2), 64-64-64(5x5, stride 2), 128(4x4); 0.33 M parameters.

    The layers of `poolfree` with batch norm before the rectifier instead of behind it, in its fused form, and
    He's initial weights. `width` multiplies every channel count.
    """
    x = images
    for channels in (round(32 * width), round(64 * width)):
        x = conv_norm_relu(x, channels, 3)
        x = conv_norm_relu(x, channels, 3)
        x = conv_norm_relu(x, channels, 5, strides=2, padding="same")
        x = layers.Dropout(dropout)(x)
    x = conv_norm_relu(x, round(128 * width), 4)
    x = layers.Flatten(dtype="float32", name="features")(x)
    x = layers.Dropout(dropout, dtype="float32")(x)
    return layers.Dense(classes, dtype="float32", name="logits")(x)
