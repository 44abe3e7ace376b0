"""Training loop of one network, resumable after every epoch. Knows nothing of folds or ensembles.

The loop is our own, over arrays in memory: Keras' `fit` ends each call by tearing down a tf.data iterator and
waits for it, up to as long as the epoch itself.
"""

from __future__ import annotations

import functools
import importlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
from scipy.special import log_softmax
from sklearn.model_selection import train_test_split

from digits import models
from digits.config import Architecture, Config, Optimizer, Training
from digits.data import Rows, Split
from digits.errors import UserError
from digits.files import arrays
from digits.seeds import as_int, derive
from digits.training import backend
from digits.training.augment import augment, views
from digits.training.callback import Callback
from digits.training.schedules import epochs_without_gain, learning_rates
from digits.training.steps import Forward

logger = logging.getLogger(__name__)

HISTORY = (
    "epoch",
    "loss",
    "accuracy",
    "held_out_loss",
    "held_out_accuracy",
    "watched_loss",
    "learning_rate",
    "seconds",
)
WATCHED_LOSS = HISTORY.index("watched_loss")
CHUNKS = 20  # calls into the backend an epoch: few enough to cost nothing, enough for a live line
PREDICTION_BATCH = 500
UNSURE = 0.5  # share of the median margin between the two largest logits: below are four fifths of the errors

OPTIMIZERS: dict[str, Callable[[Optimizer], keras.optimizers.Optimizer]] = {
    "adam": lambda s: keras.optimizers.Adam(beta_2=s.beta_2, weight_decay=s.weight_decay or None),
    "adamw": lambda s: keras.optimizers.AdamW(beta_2=s.beta_2, weight_decay=s.weight_decay),
    "sgd": lambda s: keras.optimizers.SGD(
        momentum=s.momentum, nesterov=s.momentum > 0, weight_decay=s.weight_decay or None
    ),
    "rmsprop": lambda s: keras.optimizers.RMSprop(weight_decay=s.weight_decay or None),
    "adadelta": lambda s: keras.optimizers.Adadelta(weight_decay=s.weight_decay or None),
}


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network. history: float64 (epochs, len(HISTORY)); precision: the Keras dtype policy that it used."""

    model: keras.Model
    predict: Forward
    history: np.ndarray
    precision: str


def train(
    architecture: Architecture,
    config: Config,
    split: Split,
    seed: np.random.SeedSequence,
    checkpoint: Path,
    callback: Callback,
) -> Network:
    """Build a network of the config and train it; see `fit`.

    The backend must have been started with the config's threads.
    """
    keras.backend.clear_session()
    precision = backend.resolve_precision(config.training.precision)
    rows = split.rows
    weights = as_int(derive(seed, "weights"))
    model = models.build(architecture, rows.images.shape[1:], rows.classes, precision, weights)
    history = fit(model, config, split, derive(seed, "training"), checkpoint, callback)
    return Network(model, predictor(model), history, precision)


def fit(
    model: keras.Model, config: Config, split: Split, seed: np.random.SeedSequence, checkpoint: Path, callback: Callback
) -> np.ndarray:
    """Train `model` in place for the config's epochs; resume from `checkpoint` where there is one.

    Args:
        model: takes raw pixels (batch, height, width, channels), gives logits (batch, classes).
        config: its training and augmentation.
        split: the rows to learn from. Those held out decide nothing; some are scored after each epoch for the history.
        seed: decides the order of the rows, the augmentation and the inner split.
        checkpoint: .npz file, replaced after every epoch.
        callback: is called after every epoch, and within it.

    Returns:
        The history: float64 (epochs, len(HISTORY)).

    Raises:
        UserError: the loss is no longer a number.
    """
    settings, rows, predict = config.training, split.rows, predictor(model)
    learner = _Learner(model, settings)
    history = learner.restore(checkpoint)
    learned, watched = _inner_split(rows, split.learned, settings, seed)
    monitored = rows.take(_sample(split.held_out, settings.monitor_rows, seed))

    def draw(epoch: int) -> np.ndarray:
        if epoch >= settings.epochs - settings.clean_epochs:
            return rows.images[learned]
        return augment(rows.images, config.augmentation, derive(seed, "augment", epoch), learned)

    for epoch, images in _drawn_ahead(draw, range(len(history), settings.epochs)):
        if _is_hopeless(history[:, WATCHED_LOSS], settings):
            break
        started = time.perf_counter()
        order = _shuffled(len(learned), settings.batch_size, derive(seed, "order", epoch))
        rates = learning_rates(settings, epoch, len(order), history[:, WATCHED_LOSS])
        progress = functools.partial(callback.within_epoch, epoch)
        loss, accuracy = learner.epoch(images, rows.targets[learned], order, rates, progress)
        if not math.isfinite(loss):
            raise UserError(f"the loss diverged in epoch {epoch + 1}; lower training.optimizer.learning_rate")
        with learner.averaged():
            held_out_scores = _score(predict, monitored)
            watched_loss = _score(predict, watched)[0] if watched else math.nan
        seconds = time.perf_counter() - started
        row = (epoch + 1, loss, accuracy, *held_out_scores, watched_loss, rates[-1], seconds)
        history = np.vstack([history, row])
        learner.save(checkpoint, history)
        callback.after_epoch(dict(zip(HISTORY, row, strict=True)), order.size)
    learner.keep_averaged()
    return history


class _Learner:
    """A model with its optimizer and its running average: all that a checkpoint holds."""

    def __init__(self, model: keras.Model, settings: Training) -> None:
        self.model = model
        self.optimizer = OPTIMIZERS[settings.optimizer.name](settings.optimizer)
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        if model.dtype_policy.name == "mixed_float16":
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
        self.optimizer.build(model.trainable_variables)
        weights = model.weights if settings.ema else []
        self.averages = [keras.Variable(_copied(weight), trainable=False) for weight in weights]
        self._steps = _compiled_for_backend().steps(model, self.optimizer, self.averages, settings)

    def epoch(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        order: np.ndarray,
        rates: np.ndarray,
        progress: Callable[[float], None],
    ) -> tuple[float, float]:
        """Train on the rows `order` int32 (steps, batch) at `rates` float32 (steps,); give loss and accuracy."""
        loss = correct = 0.0
        for chunk in np.array_split(np.arange(len(order)), min(CHUNKS, len(order))):
            progress(chunk[0] / len(order))
            rows = order[chunk]  # the backend copies what it is given, so it is not given the whole epoch
            chunk_loss, chunk_correct = self._steps(images[rows], targets[rows], rates[chunk])
            loss += chunk_loss
            correct += chunk_correct
        return loss / len(order), correct / order.size

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model its averaged weights for as long as the block lasts."""
        raw = [_copied(weight) for weight in self.model.weights]
        self.keep_averaged()
        yield
        for weight, value in zip(self.model.weights, raw, strict=True):
            weight.assign(value)

    def keep_averaged(self) -> None:
        """Replace the weights by their averages, where averages are kept at all."""
        for average, weight in zip(self.averages, self.model.weights, strict=False):
            weight.assign(average)

    def _state(self) -> list[keras.Variable]:
        """Everything that training changes; `model.variables` holds the state of dropout's seeds too."""
        return [*self.model.variables, *self.optimizer.variables, *self.averages]

    def save(self, checkpoint: Path, history: np.ndarray) -> None:
        state = {f"variable_{number}": _copied(variable) for number, variable in enumerate(self._state())}
        arrays.write(checkpoint, history=history, **state)

    def restore(self, checkpoint: Path) -> np.ndarray:
        """Load a checkpoint and return its history; an empty one where there is no checkpoint that fits."""
        empty, state = np.empty((0, len(HISTORY))), self._state()
        if not checkpoint.exists():
            return empty
        try:
            stored = arrays.read(checkpoint)
            values = [stored[f"variable_{number}"] for number in range(len(state))]
            if [value.shape for value in values] != [tuple(variable.shape) for variable in state]:
                raise ValueError("it belongs to another network")
        except (ValueError, KeyError) as error:
            logger.warning("checkpoint %s cannot be used, training starts anew: %s", checkpoint, error)
            return empty
        for variable, value in zip(state, values, strict=True):
            variable.assign(value)
        return stored["history"]


def predictor(model: keras.Model) -> Forward:
    """Compile the prediction of any number of images; see `Forward`."""
    both = keras.Model(model.input, [model.output, model.get_layer("features").output])
    return functools.partial(_in_batches, _compiled_for_backend().forward(both))


def predict_with(predict: Forward, images: np.ndarray, tta: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and features of images; the logits of unsure ones are averaged over the views of test-time augmentation.

    Unsure is an image whose two largest logits differ by less than half of what is usual among `images`: about 2 % of
    digits, with four fifths of the errors.
    """
    logits, features = predict(images)
    if tta != "none":
        second, first = np.partition(logits, (-2, -1), axis=1)[:, -2:].T
        unsure = first - second < UNSURE * np.median(first - second)
        if unsure.any():
            logits[unsure] = np.mean([predict(view)[0] for view in views(images[unsure], tta)], axis=0)
    return logits, features


def _in_batches(predict: Forward, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    starts = range(0, len(images), PREDICTION_BATCH)
    logits, features = zip(*(predict(images[start : start + PREDICTION_BATCH]) for start in starts), strict=True)
    return np.concatenate(logits), np.concatenate(features)


def _compiled_for_backend() -> ModuleType:
    """The module with `forward` and `steps` of the Keras backend in use."""
    return importlib.import_module(f"digits.training.on_{keras.backend.backend()}")


def _copied(variable: keras.Variable) -> np.ndarray:
    """Values of a variable, in memory that no training step reuses."""
    return np.array(keras.ops.convert_to_numpy(variable))


def _drawn_ahead(draw: Callable[[int], np.ndarray], epochs: range) -> Iterator[tuple[int, np.ndarray]]:
    """Each epoch with its augmented images, drawn by a thread while the epoch before is trained on."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(draw, epochs[0]) if epochs else None
        for epoch in epochs:
            images = coming.result()
            if epoch + 1 in epochs:
                coming = thread.submit(draw, epoch + 1)
            yield epoch, images


def _shuffled(rows: int, batch_size: int, seed: np.random.SeedSequence) -> np.ndarray:
    """Rows of every step: int32 (steps, batch); those that fill no whole batch are left out of this epoch."""
    batch = min(batch_size, rows)
    order = np.random.default_rng(seed).permutation(rows)[: rows // batch * batch]
    return order.reshape(-1, batch).astype(np.int32)


def _score(predict: Forward, rows: Rows) -> tuple[float, float]:
    """Log loss and accuracy."""
    logits, _ = predict(rows.images)
    log_probabilities = log_softmax(logits.astype(np.float64), axis=1)
    loss = -log_probabilities[np.arange(len(rows)), rows.targets].mean()
    return float(loss), float((logits.argmax(axis=1) == rows.targets).mean())


def _inner_split(
    rows: Rows, learned: np.ndarray, settings: Training, seed: np.random.SeedSequence
) -> tuple[np.ndarray, Rows | None]:
    """Rows to learn from, and the stratified part of them that the recipe watches instead; None where it does not."""
    if not settings.watches:
        return learned, None
    count, targets = len(learned), rows.targets[learned]
    held_back = math.ceil(settings.early_stopping.inner_split * count)
    sizes = np.unique(targets, return_counts=True)[1]
    if min(held_back, count - held_back) < len(sizes) or sizes.min() < 2:
        raise UserError(
            f"early_stopping.inner_split holds back {held_back} of {count} rows; every class needs one there and one "
            "to learn from"
        )
    kept, watched = train_test_split(
        np.arange(count),
        test_size=settings.early_stopping.inner_split,
        stratify=targets,
        random_state=as_int(derive(seed, "inner split")),
    )
    return learned[np.sort(kept)], rows.take(learned[np.sort(watched)])


def _sample(held_out: np.ndarray, limit: int | None, seed: np.random.SeedSequence) -> np.ndarray:
    if limit is None or limit >= len(held_out):
        return held_out
    return held_out[np.random.default_rng(derive(seed, "monitor")).choice(len(held_out), limit, replace=False)]


def _is_hopeless(watched_losses: np.ndarray, settings: Training) -> bool:
    patience = settings.early_stopping.patience
    return patience is not None and epochs_without_gain(watched_losses) >= patience
