"""The order of the tests, which `make test` deals out to all cores by file, and the browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from browser import PATH

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
