"""Order and cores of the tests, which `make test` deals out by file; no network for any of them; the browser."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from browser import PATH

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# There are as many tests at a time as cores. Threads and workers that a test does not ask for only wait for each other,
# and each worker imports TensorFlow anew.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # what joblib.cpu_count() says, here and in every command
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples each time, so that what passed passes again; `pytest --hypothesis-profile=wide` looks further.
slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile("steady", derandomize=True, deadline=None, database=None, suppress_health_check=slow)
settings.register_profile("wide", max_examples=5_000, deadline=None, suppress_health_check=slow)
settings.load_profile("steady")

LONGEST = ("test_kernel", "test_cli", "test_tune", "test_explorer", "test_export", "test_bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first, so that no core waits for another at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def asked(tmp_path_factory) -> Path:
    """Where it is written what anything asks the network for, from here on; see offline/sitecustomize.py."""
    file, folder = tmp_path_factory.mktemp("offline") / "asked.txt", Path(__file__).parent / "offline"
    os.environ["ASKED"] = str(file)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    importlib.import_module("offline.sitecustomize")
    return file


@pytest.fixture(autouse=True)
def nothing_is_asked_of_the_network(asked) -> Iterator[None]:
    yield
    told = asked.read_text() if asked.exists() else ""
    asked.unlink(missing_ok=True)  # so that the tests after this one are judged by what they do
    assert told == ""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox", "--use-gl=swiftshader"])
        yield opened
        opened.close()
