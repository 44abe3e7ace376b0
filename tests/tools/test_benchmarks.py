"""What the benchmarks count, and that each of them runs; how fast is for `make bench` to say."""

import numpy as np
import pytest

from benchmarks import clock, convergence, reading, training
from digits import config, data
from digits.config import Architecture, Augmentation
from digits.data.demo import demo
from digits.models import build, multiply_adds
from digits.training import backend
from digits.training.augment import augment
from kaggle_form import write_competition

backend.start(threads=1)  # as everywhere: the tests of one process share its TensorFlow
ROWS = demo().rows


@pytest.fixture
def ticking(monkeypatch):
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def test_per_second_is_the_median_and_leaves_the_first_call_out(ticking):
    taken = iter([100.0, 1.0, 2.0, 9.0])

    def work():
        ticking[0] += next(taken)

    assert clock.per_second(work, count=10, rounds=3) == 5.0


def test_the_stopwatch_tells_steps_from_the_rest_of_an_epoch(ticking):
    watch = training.Stopwatch()
    for epoch, (part, rest) in enumerate([(50.0, 50.0), (1.0, 2.0), (1.0, 2.0)]):
        for share in (0.0, 0.25, 0.5, 0.75):
            watch.within_epoch(epoch, share)
            ticking[0] += part
        ticking[0] += rest
        watch.after_epoch({}, images=1200)
    assert watch.throughput(work=7) == training.Throughput(epoch=200.0, step=300.0, work=7)


def test_multiply_adds_of_the_default_net():
    model = build(Architecture(net="default"), (28, 28, 1), 10, "float32", seed=0)
    full, half, quarter = 28 * 28 * 9, 14 * 14 * 9, 7 * 7 * 9
    by_hand = full * 32 + half * (32 * 64 + 64 * 64) + quarter * (64 * 128 + 2 * 128 * 128) + 1280
    assert multiply_adds(model) == by_hand


def test_the_net_in_pytorch_is_the_default_net():
    torch = pytest.importorskip("torch")
    model = build(Architecture(net="default"), (28, 28, 1), 10, "float32", seed=0)
    net = training.pytorch_net(10, dropout=0.3)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == sum(weight.numpy().size for weight in model.trainable_weights)
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_when_a_target_was_reached():
    points = np.array([[2.0, 0.5], [4.0, 0.992], [6.0, 0.98], [8.0, 0.995]])
    assert convergence.reached(points, 0.99) == (4.0, 2)
    assert convergence.reached(points, 0.994) == (8.0, 4)
    assert convergence.reached(points, 0.999) is None
    assert convergence.reached(points[:0], 0.5) is None


@pytest.mark.slow
@pytest.mark.parametrize(("target", "limit", "most"), [(0.5, 60.0, 19), (2.0, 60.0, 20), (2.0, 0.0, 0)])
def test_the_race_ends_at_the_target_at_the_end_of_training_or_at_the_limit(target, limit, most):
    settings = config.load("configs/baselines/mlp.yaml")
    points = convergence.curve("mlp", settings, ROWS, ROWS, target, limit, threads=1, live=False)
    assert len(points) == 20 if most == 20 else len(points) <= most
    assert (np.diff(points[:, 0]) > 0).all()
    assert (points[:-1, 1] < target).all()


def test_reading_is_timed_from_the_files(tmp_path):
    pixels = np.zeros((30, 784), np.uint8)
    folder = write_competition(tmp_path / "data", pixels, np.arange(30) % 10, pixels)
    taken = reading.reading(data.find(str(folder)))
    assert min(taken.values()) > 0


@pytest.mark.slow
def test_keras_layers_of_the_comparison_keep_digits_in_the_picture():
    """Both sides of the comparison do the same work: ink is moved, not lost."""
    from benchmarks.augmentation import random_layers

    settings = Augmentation(rotation=10.0, shift=0.1, zoom=0.1, shear=10.0)
    images = np.pad(ROWS.images[:256, 4:-4, 4:-4], ((0, 0), (4, 4), (4, 4), (0, 0)))
    x = images.astype(np.float32)
    for layer in random_layers(settings):
        x = layer(x, training=True)
    theirs, ours = x.numpy().mean(), augment(images, settings, np.random.SeedSequence(0)).mean()
    assert not np.array_equal(x.numpy(), images)
    assert theirs == pytest.approx(images.mean(), rel=0.1)
    assert theirs == pytest.approx(ours, rel=0.1)
