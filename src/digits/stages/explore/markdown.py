"""Markdown for text that is not ours."""

from __future__ import annotations

import re


def literal(text: str) -> str:
    """Markdown that shows a text as it is, whatever stands in it: no picture is fetched, no link made.

    Names of files and runs, and what errors repeat of a file, come from other people.
    """
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}"
