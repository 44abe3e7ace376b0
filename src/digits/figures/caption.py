"""Words of a figure."""

from __future__ import annotations

from typing import NamedTuple


class Caption(NamedTuple):
    """What is seen, which is the title and the alternative text of a figure; and what to see in it."""

    title: str
    text: str
