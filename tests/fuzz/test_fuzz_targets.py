"""The fuzzer's targets run. What it finds becomes a test beside the others of the module."""

from __future__ import annotations

import pytest
from fuzz_targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_what_it_begins_with(name):
    target = TARGETS[name]
    assert len(target.seeds()) > 3
    for seed in target.seeds():
        assert len(seed) <= target.longest
        target.try_(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_anything(name):
    for kind in (b"", b"c", b"t", b"z", b"f", b"s", b"o", b"j"):
        for rest in (b"", b"\0", b"\xff" * 40, b"{", b"[[", b"1,2\n", b'"'):
            TARGETS[name].try_(kind + rest)
