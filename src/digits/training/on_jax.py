"""The compiled training steps and the compiled prediction on JAX, by Keras' stateless calls."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import keras
import numpy as np

from digits.config import Training
from digits.training.steps import Forward, Steps, kept_share


def forward(model: keras.Model) -> Forward:
    """Compile the prediction of `model`, whose outputs are logits and features; see `Forward`."""

    @jax.jit
    def compiled(trainable: list, others: list, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        pixels = images.astype(jnp.float32)
        (logits, features), _ = model.stateless_call(trainable, others, pixels, training=False)
        return logits.astype(jnp.float32), features.astype(jnp.float32)

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = _values(model.trainable_variables), _values(model.non_trainable_variables)
        logits, features = compiled(*weights, _padded(images))
        return np.asarray(logits)[: len(images)], np.asarray(features)[: len(images)]

    return predict


def steps(
    model: keras.Model, optimizer: keras.Optimizer, averages: Sequence[keras.Variable], settings: Training
) -> Steps:
    """Compile the training steps, which change the model, the optimizer and the averages in place; see `Steps`."""
    classes = model.output_shape[-1]
    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables, list(averages))
    rate_index = _index(optimizer.variables, optimizer.learning_rate)
    iterations_index = _index(optimizer.variables, optimizer.iterations)
    weight_indices = [_index([*groups[0], *groups[1]], weight) for weight in model.weights]

    def scaled_loss(trainable: list, others: list, state: list, images: jax.Array, targets: jax.Array) -> tuple:
        wanted = jax.nn.one_hot(targets, classes) * (1 - settings.label_smoothing) + settings.label_smoothing / classes
        pixels = images.astype(jnp.float32)
        logits, others, losses = model.stateless_call(trainable, others, pixels, training=True, return_losses=True)
        loss = -(wanted * jax.nn.log_softmax(logits)).sum(axis=-1).mean() + sum(losses)
        with keras.StatelessScope(state_mapping=list(zip(optimizer.variables, state, strict=True))):
            scaled = optimizer.scale_loss(loss)
        return scaled, (loss, logits, others)

    def step(carry: tuple, images: jax.Array, targets: jax.Array, rate: jax.Array) -> tuple:
        (trainable, others, state, averaged), loss_sum, correct = carry
        gradient = jax.grad(scaled_loss, has_aux=True)
        gradients, (loss, logits, others) = gradient(trainable, others, state, images, targets)
        state = [rate if number == rate_index else value for number, value in enumerate(state)]
        trainable, state = optimizer.stateless_apply(state, gradients, trainable)
        if averaged:
            keep = kept_share(state[iterations_index].astype(jnp.float32), settings.ema)
            weights = [[*trainable, *others][index] for index in weight_indices]
            averaged = [keep * average + (1 - keep) * new for average, new in zip(averaged, weights, strict=True)]
        hits = (logits.argmax(axis=-1) == targets).sum().astype(jnp.float32)
        return (list(trainable), list(others), list(state), averaged), loss_sum + loss, correct + hits

    @jax.jit
    def looped(carry: tuple, images: jax.Array, targets: jax.Array, rates: jax.Array, count: int) -> tuple:
        def body(index: int, state: tuple) -> tuple:
            return step(state, images[index], targets[index], rates[index])

        return jax.lax.fori_loop(0, count, body, carry)

    single = jax.jit(step, donate_argnums=0)

    def run(images: np.ndarray, targets: np.ndarray, rates: np.ndarray) -> tuple[float, float]:
        carry = tuple(map(_values, groups)), jnp.float32(0), jnp.float32(0)
        if jax.default_backend() == "cpu":  # inside a loop of XLA gradients of convolutions take 16 times as long there
            for batch in zip(images, targets, rates, strict=True):
                carry = single(carry, *batch)
        else:
            carry = looped(carry, *(_padded(array) for array in (images, targets, rates)), len(rates))
        values, loss, correct = carry
        for variables, group in zip(groups, values, strict=True):
            for variable, value in zip(variables, group, strict=True):
                variable.assign(value)
        return float(loss), float(correct)

    return run


def _values(variables: Sequence[keras.Variable]) -> list[jax.Array]:
    return [variable.value for variable in variables]


def _padded(array: np.ndarray) -> np.ndarray:
    """Append zeros up to one of few lengths, since every length is compiled anew."""
    length = 1 << (len(array) - 1).bit_length()
    return np.pad(array, [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1))


def _index(variables: Sequence[keras.Variable], wanted: keras.Variable) -> int:
    """Index of a variable among others, which `==` would compare by value."""
    return next(number for number, variable in enumerate(variables) if variable is wanted)
