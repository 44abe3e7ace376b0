"""Training throughput: our loop, the processor's own limit, and plain PyTorch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import per_second, seconds
from digits import models
from digits.config import Config
from digits.data import Rows, Split
from digits.seeds import derive
from digits.training import backend

PEAK_SHAPES = ((28, 32), (14, 64), (7, 128))  # side and channels: the sizes of the default net's layers


@dataclass(frozen=True)
class Throughput:
    """Images a second over whole epochs, everything included, and inside the training steps alone.

    work: multiply-adds for one image, forward; training takes three times as many.
    """

    epoch: float
    step: float
    work: int


class Stopwatch:
    """A `Callback` that keeps the time of every call."""

    def __init__(self) -> None:
        self.parts: list[list[float]] = []
        self.ends: list[float] = []
        self.images = 0

    def within_epoch(self, epoch: int, share: float) -> None:
        if share == 0:
            self.parts.append([])
        self.parts[-1].append(time.perf_counter())

    def after_epoch(self, row: dict[str, float], images: int) -> None:
        self.ends.append(time.perf_counter())
        self.images = images

    def throughput(self, work: int) -> Throughput:
        """Over all epochs but the first, which compiles the graph."""
        wall = float(np.mean(np.diff(self.ends)))
        part = float(np.mean([np.diff(times) for times in self.parts[1:]]))  # the last part ends unseen
        return Throughput(self.images / wall, self.images / (part * len(self.parts[0])), work)


def ours(config: Config, train: Rows, held_out: Rows, epochs: int) -> Throughput:
    """Train the config's first architecture for a few epochs as `make train` does."""
    watch = Stopwatch()
    model = fit(config.with_training(epochs=epochs), train, held_out, watch)
    return watch.throughput(models.multiply_adds(model))


def fit(config: Config, train: Rows, held_out: Rows, callback: Any) -> Any:
    """Train the config's first architecture, leave nothing on disk, and give the Keras model.

    callback: a `Callback`; what it raises ends training.
    """
    backend.start(config.training.threads)
    from digits.training import loop

    images = np.concatenate([train.images, held_out.images])
    rows = Rows(images, np.concatenate([train.targets, held_out.targets]), train.classes)
    split = Split(rows, *np.split(np.arange(len(rows)), [len(train)]))
    seed = derive(config.seed, "bench")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.npz"
        return loop.train(config.architectures[0], config, split, seed, checkpoint, callback).model


def convolution_peak(threads: int, precision: str, batch: int) -> float:
    """The most GFLOP/s that a 3x3 convolution reaches here, forward and backward, over `PEAK_SHAPES`."""
    backend.start(threads)
    import tensorflow as tf

    dtype = tf.bfloat16 if precision.endswith("bfloat16") else tf.float16 if "16" in precision else tf.float32
    return max(_convolution(tf, side, channels, batch, dtype) for side, channels in PEAK_SHAPES)


def _convolution(tf: Any, side: int, channels: int, batch: int, dtype: Any) -> float:
    draw = tf.random.Generator.from_seed(0)
    images = tf.cast(draw.normal((batch, side, side, channels)), dtype)
    kernel = tf.cast(draw.normal((3, 3, channels, channels)), dtype)
    repeats = 10

    @tf.function
    def work() -> Any:
        total = tf.constant(0.0)
        for _ in range(repeats):
            with tf.control_dependencies([total]):
                x, w = tf.identity(images), tf.identity(kernel)
            outputs = tf.nn.conv2d(x, w, 1, "SAME")
            # the gradients as the library computes them, without the tape's own operations
            of_images = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=w, out_backprop=outputs, strides=[1, 1, 1, 1], padding="SAME"
            )
            of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=tf.shape(w), out_backprop=outputs, strides=[1, 1, 1, 1], padding="SAME"
            )
            total += tf.cast(of_images[0, 0, 0, 0] + of_kernel[0, 0, 0, 0], tf.float32)
        return total

    operations = 6 * repeats * batch * side * side * 9 * channels * channels
    return per_second(lambda: work().numpy(), operations, rounds=7) / 1e9


def pytorch(train: Rows, batch: int, threads: int, dropout: float) -> float:
    """Images a second of plain PyTorch on the default net: channels-last, bfloat16, Adam, rows in memory.

    No augmentation, no running average of the weights, no scoring: the loop that one writes first.

    Raises:
        ImportError: PyTorch is not installed.
    """
    epoch, rows = _pytorch_epoch(train, batch, threads, dropout)
    epoch(rows[:2560])  # the first steps choose the kernels
    return len(rows) / seconds(lambda: epoch(rows))


def _pytorch_epoch(train: Rows, batch: int, threads: int, dropout: float) -> tuple[Callable[[Any], None], Any]:
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = pytorch_net(train.classes, dropout).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3, betas=(0.9, 0.99))
    images, targets = torch.from_numpy(train.images), torch.from_numpy(train.targets).long()

    def epoch(rows: torch.Tensor) -> None:
        for chosen in rows.split(batch):
            pixels = images[chosen].permute(0, 3, 1, 2).float().div(255).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = net(pixels)
            loss = functional.cross_entropy(logits.float(), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch, torch.randperm(len(train))


def pytorch_net(classes: int, dropout: float) -> Any:
    """The default net (`models/residual.py`) in PyTorch."""
    import torch
    from torch import nn

    class Residual(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + super().forward(x)

    def conv(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *conv(1, 32),
        *conv(32, 64, stride=2),
        Residual(*conv(64, 64)),
        nn.MaxPool2d(2),
        *conv(64, 128),
        Residual(*conv(128, 128)),
        *conv(128, 128),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(128, classes),
    )
