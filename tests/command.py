"""Run the command line as a user does, or in this process where only its answer counts."""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from digits.__main__ import app

ROOT = Path(__file__).parents[1]
REAL_DATA = ROOT.parent / "shared" / "digit-recognizer.zip"


@functools.cache
def no_network() -> tuple[str, ...]:
    """What runs a command where there is no network at all, not even loopback; nothing where that is not allowed."""
    command = ("unshare", "--map-root-user", "--net")
    found = shutil.which(command[0]) and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if found else ()


def start(*arguments: str | Path, alone: bool = False, **options: object) -> subprocess.Popen[str]:
    """Start the command; alone: without a network, where the system allows that."""
    command = [*no_network() * alone, sys.executable, "-m", "digits", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, **options)


def digits(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def succeed(*arguments: str | Path, **options: object) -> str:
    done = digits(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def complain(*arguments: str | Path, **options: object) -> str:
    """The one line in which the command refuses; status 2 and no traceback."""
    done = digits(*arguments, **options)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    return _one_line(done.stderr)


def refuse(*arguments: str | Path) -> str:
    """The same line, from a command in this process: for mistakes that are found before TensorFlow is imported."""
    out, err = io.StringIO(), io.StringIO()
    streams = (contextlib.redirect_stdout(out), contextlib.redirect_stderr(err))
    with contextlib.chdir(ROOT), streams[0], streams[1], pytest.raises(SystemExit) as ended:
        app(list(map(str, arguments)))
    assert ended.value.code == 2, (ended.value.code, out.getvalue(), err.getvalue())
    return _one_line(err.getvalue())


def measured(code: str, *arguments: str | Path) -> tuple[str, int]:
    """What Python code prints in a process of its own, and the most memory that it held, bytes.

    The system's own record for a process that ended (`ru_maxrss`) starts with what its parent held.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells")
    told = "import re; print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    command = [sys.executable, "-c", f"{code}\n{told}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-500:]
    *said, peak = done.stdout.strip().splitlines()
    return "\n".join(said), 1024 * int(peak)


def _one_line(said: str) -> str:
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    return lines[0]
