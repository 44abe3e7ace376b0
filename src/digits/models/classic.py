"""The convolution-and-pooling nets that tutorials teach."""

from keras import KerasTensor, layers


def keras_example(images: KerasTensor, classes: int, *, dropout: float = 0.5) -> KerasTensor:
    """The classic Keras MNIST example (mnist_cnn.py): 99.25 % after 12 epochs of Adadelta."""
    x = layers.Conv2D(32, 3, activation="relu")(images)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.25)(x)
    return _head(x, classes, 128, dropout)


def small(images: KerasTensor, classes: int, *, dropout: float = 0.5) -> KerasTensor:
    """Two convolutions, each with a pool: 99.1 % after 10 epochs of Adam."""
    x = layers.Conv2D(32, 3, activation="relu")(images)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    return _head(x, classes, 128, dropout)


def deep(images: KerasTensor, classes: int, *, dropout: float = 0.5) -> KerasTensor:
    """Conv 32-32, 64-64, 128 with batch norm and dropout 0.25 a block, dense 512: 99.2 %."""
    x = images
    for widths in ((32, 32), (64, 64), (128,)):
        for width in widths:
            x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
            x = layers.BatchNormalization(momentum=0.9)(x)
        if widths != (128,):
            x = layers.MaxPooling2D(2)(x)
        x = layers.Dropout(0.25)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.BatchNormalization(momentum=0.9, dtype="float32", name="features")(x)
    x = layers.Dropout(dropout, dtype="float32")(x)
    return layers.Dense(classes, dtype="float32", name="logits")(x)


def _head(x: KerasTensor, classes: int, width: int, dropout: float) -> KerasTensor:
    x = layers.Flatten()(x)
    x = layers.Dense(width, activation="relu", dtype="float32", name="features")(x)
    x = layers.Dropout(dropout, dtype="float32")(x)
    return layers.Dense(classes, dtype="float32", name="logits")(x)
