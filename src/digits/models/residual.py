"""Our own net: most of its work at a half and a quarter of the image's side, with few passes over memory."""

from keras import KerasTensor, layers

from digits.models.blocks import classify, conv_norm_relu


def default(
    images: KerasTensor, classes: int, *, width: float = 1.0, kernel: int = 3, dropout: float = 0.2
) -> KerasTensor:
    """Conv 32, 64 stride 2, residual 64, pool, 128, residual 128, 128, global max pool; 0.43 M parameters.

    Only the first convolution works at full resolution. `width` multiplies every channel count, `kernel`
    is the size of the first two convolutions.
    """

    def conv(x: KerasTensor, channels: int, size: int = 3, strides: int = 1) -> KerasTensor:
        return conv_norm_relu(x, round(channels * width), size, strides=strides, padding="same")

    x = conv(images, 32, kernel)
    x = conv(x, 64, kernel, strides=2)
    x = layers.Add()([x, conv(x, 64)])
    x = layers.MaxPooling2D(2)(x)
    x = conv(x, 128)
    x = layers.Add()([x, conv(x, 128)])
    x = conv(x, 128)
    x = layers.GlobalMaxPooling2D(dtype="float32", name="features")(x)
    return classify(x, classes, dropout)
