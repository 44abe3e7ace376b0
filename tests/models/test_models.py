"""Every architecture: its shape, its features, its options, and its file."""

import numpy as np
import pytest

from digits.config import Architecture
from digits.errors import UserError
from digits.models import NETS, build, multiply_adds
from digits.training import backend

backend.start(threads=1)  # as everywhere: the tests of one process share its TensorFlow
import keras  # noqa: E402  after TensorFlow was given its threads

SHAPE = (28, 28, 1)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_logits_and_features_are_float32(net, precision):
    model = build(Architecture(net=net), SHAPE, 7, precision, seed=1)
    features = keras.Model(model.input, model.get_layer("features").output)
    logits = model(PIXELS)
    assert logits.shape == (3, 7)
    assert logits.dtype == "float32"
    assert features(PIXELS).dtype == "float32"
    assert len(features(PIXELS).shape) == 2
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("net", NETS)
def test_the_seed_decides_the_weights(net):
    first, same, other = (build(Architecture(net=net), SHAPE, 3, "float32", seed)(PIXELS) for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("net", NETS)
def test_saves_and_loads_in_safe_mode(net, tmp_path):
    model = build(Architecture(net=net), SHAPE, 10, "mixed_bfloat16", seed=1)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert np.array_equal(model(PIXELS), loaded(PIXELS))


def test_options_reach_the_builder_and_typos_do_not():
    wide = build(Architecture(net="mlp", options={"width": 32}), SHAPE, 10, "float32", 1)
    assert wide.get_layer("features").output.shape == (None, 32)
    with pytest.raises(UserError, match=r"'mlp' has no option 'widht'; it has: width, dropout"):
        build(Architecture(net="mlp", options={"widht": 32}), SHAPE, 10, "float32", 1)


def test_smaller_nets_of_the_strong_family():
    def of_family(**options):
        return build(Architecture(net="full_resolution", options=options), SHAPE, 10, "float32", 1)

    whole = of_family()
    assert multiply_adds(whole) == pytest.approx(666e6, rel=1e-3)
    small = of_family(channels=8, deep_channels=12, convolutions=1, crop=2)
    assert small.get_layer("features").output.shape == (None, 24)
    by_hand = 24 * 24 * 9 * (1 * 8 + 8 * 8) + 12 * 12 * 9 * 8 * 12 + 2 * 12 * 10
    assert multiply_adds(small) == pytest.approx(by_hand, abs=100)  # and squeeze-and-excite
    bordered = PIXELS.copy()
    bordered[:, :2], bordered[:, :, -2:] = 0, 255
    assert np.array_equal(small(PIXELS), small(bordered))


def test_an_image_too_small_for_the_net_is_one_line():
    with pytest.raises(UserError, match="architecture 'poolfree' on 8x8 images"):
        build(Architecture(net="poolfree"), (8, 8, 1), 10, "float32", 1)
    with pytest.raises(UserError, match=r"architecture 'default' on 1x1 images: (?!Exception encountered)"):
        build(Architecture(net="default"), (1, 1, 1), 10, "float32", 1)
