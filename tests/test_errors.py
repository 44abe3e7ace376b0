"""What a user is told of an exception: a line, or nothing where it is a bug."""

import errno
from concurrent.futures.process import BrokenProcessPool

import pytest

from digits.errors import UserError, plain


def raised_by_backend(kind, message):
    """An exception as TensorFlow and JAX raise them; no processor makes those of a GPU."""
    return type(kind, (RuntimeError,), {})(message)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 2.29 MiB"),
        ImportError("libtensorflow_cc.so.2: failed to map segment from shared object"),
        ImportError("libx.so: cannot allocate memory in static TLS block"),
        RuntimeError("can't start new thread"),
        SystemError("<built-in function f> returned NULL without setting an exception"),
        SystemError("error return without exception set"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        BrokenProcessPool(),
        raised_by_backend("ResourceExhaustedError", "OOM when allocating tensor"),
        raised_by_backend("JaxRuntimeError", "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes."),
    ],
)
def test_too_little_memory_is_a_line_that_says_what_to_do(error):
    line = plain(error)
    assert "memory" in line
    assert "WORKERS=" in line


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("InternalError", "Failed to synchronize: CUDA error: CUDA_ERROR_ILLEGAL_ADDRESS"),
        ("JaxRuntimeError", "INTERNAL: GPU has fallen off the bus"),
    ],
)
def test_a_gpu_that_fails_is_a_line_that_says_what_to_do(kind, message):
    line = plain(raised_by_backend(kind, message))
    assert message in line
    assert "GPU=0" in line


def test_a_disk_that_refuses_is_named():
    line = plain(OSError(errno.ENOSPC, "No space left on device", "output/x"))
    assert line == "output/x: No space left on device; free some space, then run the same command again"


def test_a_users_mistake_is_told_as_it_is():
    assert plain(UserError("row 3: no label")) == "row 3: no label"


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'x'"),
        RuntimeError("x"),
        SystemError("x"),
        KeyError(1),
        raised_by_backend("JaxRuntimeError", "INVALID_ARGUMENT: shapes differ"),
    ],
)
def test_a_bug_keeps_its_traceback(error):
    assert plain(error) is None
