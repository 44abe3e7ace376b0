"""Which Keras backend is taken, and how it is started."""

import subprocess
import sys

import pytest

from digits.errors import UserError
from digits.training import backend


@pytest.mark.parametrize("name", ["torch", "Tensorflow", "numpy"])
def test_an_unknown_backend_is_one_line(monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(UserError, match=f"KERAS_BACKEND={name}: choose tensorflow or jax"):
        backend.name()


def test_a_backend_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setitem(sys.modules, "jax", None)  # Python's way to say that there is no such module
    with pytest.raises(UserError, match="JAX is not installed here; install it: make BACKEND=jax"):
        backend.name()


def test_the_backend_that_is_installed_is_the_default(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert backend.name() == "tensorflow"
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert backend.name() == "jax"
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(UserError, match="neither TensorFlow nor JAX is installed here"):
        backend.name()


@pytest.mark.parametrize("name", backend.BACKENDS)
def test_it_starts_quietly_with_its_threads(name):
    script = """
import sys
from digits.errors import UserError
from digits.training import backend
backend.start(1)
backend.start(1)
import keras
assert keras.backend.backend() == backend.name()
assert ("tensorflow" in sys.modules) == (backend.name() == "tensorflow")  # beside JAX it would cost seconds
keras.ops.ones(3) + 1
try:
    backend.start(2)
except UserError as error:
    print(error)
"""
    environment = {"PATH": "", "KERAS_BACKEND": name}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout == f"training.threads 2: {backend.BACKENDS[name]} already runs with another number\n"
    assert done.stderr == ""
