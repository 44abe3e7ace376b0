"""The system's Chromium; the fixture `browser` of conftest.py opens it."""

import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATH = next((path for path in map(shutil.which, NAMES) if path), None)
needs_browser = pytest.mark.skipif(PATH is None, reason="no browser found; apt-get install chromium")
