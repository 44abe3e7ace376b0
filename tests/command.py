"""Run the installed command line as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REAL_DATA = ROOT.parent / "shared" / "digit-recognizer.zip"


def start(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("digits")), *map(str, arguments)]
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
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]
