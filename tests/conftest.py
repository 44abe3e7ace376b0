"""The order of the tests, which `make test` deals out to all cores by file."""

import pytest

LONGEST = ("test_kernel", "test_cli", "test_tune", "test_explorer", "test_bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first, so that no core waits for another at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
