"""Words of a figure."""

from __future__ import annotations

from typing import NamedTuple


class Caption(NamedTuple):
    """Title of a figure, which is its alternative text too, and a sentence on what to see in it."""

    title: str
    text: str
