"""Nothing goes to the network unless it is asked to: what the other tests run is held to that by conftest.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command import ROOT


def _asked(folder: Path, code: str) -> list[str]:
    """What a Python process asks the network for."""
    file = folder / "asked.txt"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"ASKED": str(file)}, cwd=ROOT, check=True)
    return [line.partition(",")[0] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from urllib import request\ntry: request.urlopen('http://a.example/')\nexcept OSError: pass", "a.example"),
        ("import socket\ntry: socket.create_connection(('192.0.2.1', 80))\nexcept OSError: pass", "192.0.2.1"),
        ("import socket\nprint(socket.socket().connect_ex(('127.0.0.1', 1)))", None),
    ],
)
def test_what_is_asked_is_seen_though_the_error_is_caught(tmp_path, code, expected):
    assert _asked(tmp_path, code) == ([expected] if expected else [])


def test_albumentations_would_look_for_a_newer_version_but_is_told_not_to(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_ALBUMENTATIONS_UPDATE", raising=False)
    assert _asked(tmp_path, "import albumentations") == ["pypi.org"]
    (tmp_path / "asked.txt").unlink()
    code = """
import numpy as np
from digits.config import Augmentation
from digits.training.augment import augment
augment(np.zeros((2, 8, 8, 1), np.uint8), Augmentation(rotation=9.0), np.random.SeedSequence(0))"""
    assert _asked(tmp_path, code) == []
