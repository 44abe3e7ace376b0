"""The order of the tests, which `make test` deals out to all cores by file, and the browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from browser import PATH

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The same examples each time, so that what passed passes again; `pytest --hypothesis-profile=wide` looks further.
slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile("steady", derandomize=True, deadline=None, database=None, suppress_health_check=slow)
settings.register_profile("wide", max_examples=5_000, deadline=None, suppress_health_check=slow)
settings.load_profile("steady")

LONGEST = ("test_kernel", "test_cli", "test_tune", "test_explorer", "test_export", "test_bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first, so that no core waits for another at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox", "--use-gl=swiftshader"])
        yield opened
        opened.close()
