"""Run the command line as a user does, or in this process where only its answer counts."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from digits.__main__ import app as command_line

ROOT = Path(__file__).parents[1]
REAL_DATA = ROOT.parent / "shared" / "digit-recognizer.zip"
# Two small networks on the demo set: the recipe of conftest's `trained_run`.
TINY = ("--data", "demo", "--set", "folds.count=2", "--set", "training.epochs=8", "--set", "architectures=[mlp]")


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


def call(*arguments: str | Path, folder: Path = ROOT, app: typer.Typer = command_line) -> Result:
    """Run a command in this process, from a folder; no training, which sets Keras' threads for good."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)


def answer(*arguments: str | Path, **options: Path | typer.Typer) -> str:
    """What a command prints that succeeds in this process."""
    done = call(*arguments, **options)
    assert done.exit_code == 0, done.output
    return done.stdout


def refuse(*arguments: str | Path, **options: Path | typer.Typer) -> str:
    """The one line in which a command refuses in this process."""
    done = call(*arguments, **options)
    assert done.exit_code == 2, done.output
    return _one_line(done.stderr)


def measured(code: str, *arguments: str | Path) -> tuple[str, int]:
    """What Python code prints in a process of its own, and the most memory that it held, bytes.

    The system's own record for a process that ended (`ru_maxrss`) starts with what its parent held.
    """
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells")
    tell = "import re; print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    command = [sys.executable, "-c", f"{code}\n{tell}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-500:]
    *lines, peak = done.stdout.strip().splitlines()
    return "\n".join(lines), 1024 * int(peak)


def _one_line(text: str) -> str:
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("error: ")
    assert lines[0].isprintable()
    return lines[0]
