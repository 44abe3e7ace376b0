import numpy as np
import pytest

from digits.data.demo import demo
from digits.data.source import Source
from digits.data.table import read


@pytest.fixture(scope="module")
def data():
    return demo()


def test_the_demo_has_kaggles_form(data, tmp_path):
    assert data.name == "demo"
    assert data.train_images.shape == (1078, 28, 28, 1) and data.test_images.shape == (719, 28, 28, 1)
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert data.classes.tolist() == list(range(10))
    assert read(Source(None, ""), tmp_path).fingerprint == data.fingerprint


def test_the_demo_is_always_the_same(data):
    again = demo()
    assert (again.fingerprint, again.test_fingerprint) == (data.fingerprint, data.test_fingerprint)
    np.testing.assert_array_equal(again.test_labels, data.test_labels)


def test_the_split_is_stratified_and_disjoint(data):
    shares = np.bincount(data.train_labels) / (np.bincount(data.train_labels) + np.bincount(data.test_labels))
    np.testing.assert_allclose(shares, 0.6, atol=0.01)
    train = {image.tobytes() for image in data.train_images}
    assert train.isdisjoint(image.tobytes() for image in data.test_images)


def test_the_images_are_centred_and_in_full_contrast(data):
    images = data.train_images[..., 0].astype(float)
    assert (images.max(axis=(1, 2)) == 255).all() and (images.min(axis=(1, 2)) == 0).all()
    places = np.arange(28)
    mass = images.sum(axis=(1, 2))
    rows, columns = images.sum(axis=2) @ places / mass, images.sum(axis=1) @ places / mass
    middle = 27 / 2
    assert np.abs(rows - middle).max() < 1.5 and np.abs(columns - middle).max() < 1.5
    assert 0.1 < (images > 127).mean() < 0.25  # MNIST: 0.13 to 0.15


def test_the_images_still_are_their_digits(data):
    """The nearest training image, by pixels, tells nearly every test digit."""
    train = data.train_images.reshape(len(data.train_images), -1).astype(np.float32)
    test = data.test_images.reshape(len(data.test_images), -1).astype(np.float32)
    distances = (train**2).sum(axis=1) - 2 * test @ train.T
    assert (data.train_labels[distances.argmin(axis=1)] == data.test_labels).mean() > 0.95
