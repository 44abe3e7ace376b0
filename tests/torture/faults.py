"""Things that go wrong on purpose: damaged files, a disk that is full or may not be written, a clock that jumps."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# --- damaged files -----------------------------------------------------------------------------------------


def flip(path: Path, draw: random.Random) -> None:
    """Another value in one byte, anywhere in the file."""
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
    path.write_bytes(content)


def change_digit(path: Path, draw: random.Random) -> None:
    """Another digit in the place of one: what no parser notices."""
    content = bytearray(path.read_bytes())
    places = [place for place, byte in enumerate(content) if chr(byte) in "0123456789"]
    place = draw.choice(places)
    content[place] = ord(draw.choice([digit for digit in "0123456789" if ord(digit) != content[place]]))
    path.write_bytes(content)


def truncate(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: -draw.randrange(1, path.stat().st_size)])


def empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def make_folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    "flip": flip,
    "digit": change_digit,
    "truncate": truncate,
    "empty": empty,
    "folder": make_folder,
}


def repair(path: Path, whole: Path) -> None:
    """Put a file back that was damaged."""
    if path.is_dir():
        shutil.rmtree(path)
    shutil.copy2(whole, path)


# --- disks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Disk:
    """A file system in memory, in a namespace of its own, so that making it takes no privilege.

    holder: the process that keeps the namespace; through it the folder is seen from outside.
    """

    holder: subprocess.Popen[str]
    mounted: Path

    @property
    def folder(self) -> Path:
        return Path(f"/proc/{self.holder.pid}/root{self.mounted}")

    def remount(self, options: str) -> None:
        """Such as `size=64k`, or `ro`."""
        enter = ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--preserve-credentials"]
        subprocess.run([*enter, "mount", "-o", f"remount,{options}", self.mounted], check=True)

    def used(self) -> int:
        """In bytes."""
        return shutil.disk_usage(self.folder).used


@contextmanager
def disk(mounted: Path, size: int) -> Iterator[Disk]:
    """A disk of so many bytes at the folder `mounted`; skips the test where the system allows none."""
    if shutil.which("unshare") is None:
        pytest.skip("this system has no namespaces")
    mounted.mkdir()
    script = f"mount -t tmpfs -o size={size} none '{mounted}' && echo mounted && read _"
    pipe = subprocess.PIPE
    holder = subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c", script], stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )
    try:
        said = holder.stdout.readline().strip()
        if said != "mounted":
            pytest.skip(f"this system mounts no small disk: {said}")
        yield Disk(holder, mounted)
    finally:
        holder.communicate("\n")


# --- the clock ---------------------------------------------------------------------------------------------

JUMPING = '''"""Python runs this as it starts: every look at the wall clock is up to ten days off, either way."""

import random
import time

_draw, _time, _time_ns = random.Random({seed}), time.time, time.time_ns
time.time = lambda: _time() + _draw.uniform(-864_000, 864_000)
time.time_ns = lambda: _time_ns() + _draw.randrange(-864_000 * 10**9, 864_000 * 10**9)
'''


def jumping_clock(folder: Path, seed: int) -> Path:
    """A folder for PYTHONPATH that makes the clock jump."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(JUMPING.format(seed=seed))
    return folder
