"""A folder of figures, tables and `metrics.json` that a stage writes anew each time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from digits.figures.sheets import save_grey
from digits.files.atomic import replacing


def clear(folder: Path) -> None:
    """Remove what an earlier call wrote, the metrics first: they are the seal of a complete folder."""
    for name in ("metrics.json", "*.csv", "*.png"):
        for path in folder.glob(name):
            path.unlink()


def draw(folder: Path, figures: Iterable[tuple[str, Figure]], grey: Iterable[str] = ()) -> dict[str, str]:
    """Save every figure under its name, those named in `grey` without colours; return the captions by file name."""
    captions = {}
    for name, figure in figures:
        with replacing(folder / f"{name}.png") as temporary:
            (save_grey if name in grey else Figure.savefig)(figure, temporary)
        captions[f"{name}.png"] = " ".join(figure.get_supxlabel().split())
    return captions
