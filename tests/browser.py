"""The system's Chromium; the fixture `browser` of conftest.py opens it."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATH = next((path for path in map(shutil.which, NAMES) if path), None)
needs_browser = pytest.mark.skipif(PATH is None, reason="no browser found; apt-get install chromium")


def without_display() -> dict[str, str]:
    """The environment in which nothing opens a browser on anybody's screen."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return environment | {"SSH_CONNECTION": "of a test"}
