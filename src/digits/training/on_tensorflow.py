"""The compiled training steps and the compiled prediction on TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from digits.config import Training
from digits.training.steps import Forward, Steps, kept_share


def forward(model: keras.Model) -> Forward:
    """Compile the prediction of `model`, whose outputs are logits and features; see `Forward`."""
    shape = model.input_shape[1:]

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.uint8)])
    def compiled(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits, features = model(tf.cast(images, tf.float32), training=False)
        return tf.cast(logits, tf.float32), tf.cast(features, tf.float32)

    return lambda images: tuple(output.numpy() for output in compiled(images))


def steps(
    model: keras.Model, optimizer: keras.Optimizer, averages: Sequence[keras.Variable], settings: Training
) -> Steps:
    """Compile the training steps, which change the model, the optimizer and the averages in place; see `Steps`."""
    classes = model.output_shape[-1]
    shape = model.input_shape[1:]

    def step(images: tf.Tensor, targets: tf.Tensor, rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        wanted = tf.one_hot(targets, classes) * (1 - settings.label_smoothing)
        wanted += settings.label_smoothing / classes
        with tf.GradientTape() as tape:
            logits = model(tf.cast(images, tf.float32), training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(wanted, logits))
            if model.losses:
                loss += tf.add_n(model.losses)
            scaled = optimizer.scale_loss(loss)
        optimizer.learning_rate.assign(rate)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        if averages:
            keep = kept_share(tf.cast(optimizer.iterations, tf.float32), settings.ema)
            for average, weight in zip(averages, model.weights, strict=True):
                average.assign(keep * average + (1 - keep) * weight.value)
        hits = tf.argmax(logits, axis=-1, output_type=tf.int32) == targets
        return loss, tf.reduce_sum(tf.cast(hits, tf.float32))

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, *shape), tf.uint8),
            tf.TensorSpec((None, None), tf.int32),
            tf.TensorSpec((None,), tf.float32),
        ]
    )
    def compiled(images: tf.Tensor, targets: tf.Tensor, rates: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        loss = correct = tf.constant(0.0)
        for number in tf.range(tf.shape(rates)[0]):
            step_loss, hits = step(images[number], targets[number], rates[number])
            loss += step_loss
            correct += hits
        return loss, correct

    def run(images: np.ndarray, targets: np.ndarray, rates: np.ndarray) -> tuple[float, float]:
        loss, correct = compiled(images, targets, rates)
        return float(loss), float(correct)

    return run
