"""A folder of figures, tables and `metrics.json` that a stage writes anew each time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from digits.figures.caption import Caption
from digits.figures.sheets import save_grey
from digits.figures.style import entitle
from digits.files.atomic import replacing

Captioned = tuple[str, Figure, Caption]  # a figure, before it the name of its file


def clear(folder: Path) -> None:
    """Remove what an earlier call wrote, the metrics first: they are the seal of a complete folder."""
    for name in ("metrics.json", "*.csv", "*.png"):
        for path in folder.glob(name):
            path.unlink()


def draw(folder: Path, figures: Iterable[Captioned], grey: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """Save every figure under its name and title, those named in `grey` without colours.

    Returns:
        The captions by file name, for a record.
    """
    captions = {}
    for name, figure, caption in figures:
        entitle(figure, caption.title)
        with replacing(folder / f"{name}.png") as temporary:
            (save_grey if name in grey else Figure.savefig)(figure, temporary)
        captions[f"{name}.png"] = caption._asdict()
    return captions
