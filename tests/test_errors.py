"""What a user is told of an exception: a line, or nothing where it is a bug."""

import errno
from concurrent.futures.process import BrokenProcessPool

import pytest

from digits.errors import UserError, plain


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
    ],
)
def test_too_little_memory_is_a_line_that_says_what_to_do(error):
    line = plain(error)
    assert "memory" in line
    assert "WORKERS=" in line


def test_a_disk_that_refuses_is_named():
    line = plain(OSError(errno.ENOSPC, "No space left on device", "output/x"))
    assert line == "output/x: No space left on device; free some space, then run the same command again"


def test_a_users_mistake_is_told_as_it_is():
    assert plain(UserError("row 3: no label")) == "row 3: no label"


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'x'"), RuntimeError("x"), SystemError("x"), KeyError(1)]
)
def test_a_bug_keeps_its_traceback(error):
    assert plain(error) is None
