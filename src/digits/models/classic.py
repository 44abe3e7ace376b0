"""The nets that tutorials teach."""

from keras import KerasTensor, layers

from digits.models.blocks import classify


def mlp(images: KerasTensor, classes: int, *, width: int = 512, dropout: float = 0.2) -> KerasTensor:
    """Two hidden layers with dropout, as in Keras' mnist_mlp.py; about 98 % on MNIST."""
    x = layers.Flatten()(images)
    x = layers.Dense(width, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    x = layers.Dense(width, activation="relu", dtype="float32", name="features")(x)
    return classify(x, classes, dropout)


def keras_example(images: KerasTensor, classes: int, *, dropout: float = 0.5) -> KerasTensor:
    """The classic Keras MNIST example (mnist_cnn.py): 99.25 % after 12 epochs of Adadelta."""
    x = layers.Conv2D(32, 3, activation="relu")(images)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.25)(x)
    return _dense_head(x, classes, dropout)


def small(images: KerasTensor, classes: int, *, dropout: float = 0.5) -> KerasTensor:
    """Two convolutions, each with a pool: 99.1 % after 10 epochs of Adam."""
    x = layers.Conv2D(32, 3, activation="relu")(images)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    return _dense_head(x, classes, dropout)


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
    return classify(x, classes, dropout)


def _dense_head(x: KerasTensor, classes: int, dropout: float) -> KerasTensor:
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu", dtype="float32", name="features")(x)
    return classify(x, classes, dropout)
