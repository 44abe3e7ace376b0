"""Write a competition of any size, to measure what grows with its rows: those of a real one, redrawn.

    .venv/bin/python tests/tools/big_table.py digit-recognizer.zip folder --rows 1000000

Round after round, every labelled row is turned, moved, zoomed and sheared anew by the project's own augmentation; the
test rows, a quarter as many, are made of the labelled rows too. No image stands in the tables twice. Redraws of one
image are on both sides of every split, so a score on such a competition says nothing.

A million rows take 2.2 GB of disk, one minute on one core and 1.0 GB of memory, of it 0.2 GB for what grows with the
rows: a hash of every image.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from digits import data
from digits.config import Augmentation
from digits.data import Rows
from digits.files.atomic import replacing
from digits.seeds import derive
from digits.training.augment import augment

LEVELS = range(256)
CELLS, LAST_CELLS = (np.array([f"{level}{end}" for level in LEVELS], "S4") for end in (",", "\n"))


def main(
    source: Annotated[str, typer.Argument(help="Folder or zip of a competition, or demo.")],
    folder: Annotated[Path, typer.Argument(help="Where train.csv and test.csv go.")],
    rows: Annotated[int, typer.Option(min=4, help="Labelled rows.")] = 1_000_000,
    seed: int = 0,
) -> None:
    """Write train.csv and test.csv; the same arguments write the same bytes."""
    dataset = data.read(data.find(source), Path("output/cache"))
    write(dataset.rows, folder, rows, seed)


def write(originals: Rows, folder: Path, rows: int, seed: int = 0) -> None:
    """Write that many labelled rows and a quarter as many test rows: both tables or none."""
    redraws = redrawn(originals, seed)
    with replacing(folder / "train.csv") as train, replacing(folder / "test.csv") as test:
        left = _write(train, redraws, rows, labelled=True)
        _write(test, itertools.chain([left], redraws), rows // 4, labelled=False)


def redrawn(originals: Rows, seed: int) -> Iterator[Rows]:
    """The originals redrawn in a random order, a round of all of them at a time, without end; no image comes twice."""
    seen: set[bytes] = set()
    for number in itertools.count():
        order = np.random.default_rng(derive(seed, "order", number)).permutation(len(originals))
        images = augment(originals.images[order], Augmentation(), derive(seed, "redraw", number))
        digests = [hashlib.blake2b(image, digest_size=8).digest() for image in images]
        new = np.array([not (digest in seen or seen.add(digest)) for digest in digests])
        yield Rows(images[new], originals.targets[order][new], originals.classes)


def _write(path: Path, blocks: Iterator[Rows], rows: int, labelled: bool) -> Rows:
    """Write that many rows of the blocks, and give what is left of the last block."""
    with path.open("wb") as file:
        written = 0
        while written < rows:
            block = next(blocks)
            if not written:
                pixels = [f"pixel{number}" for number in range(block.images[0].size)]
                file.write((",".join(["label"] * labelled + pixels) + "\n").encode())
            taken = block.take(np.s_[: rows - written])
            file.write(_lines(taken, labelled))
            written += len(taken)
    return block.take(np.s_[len(taken) :])


def _lines(block: Rows, labelled: bool) -> bytes:
    """The rows as text, by way of cells of equal length: those are filled up with zero bytes, which then go."""
    pixels = block.images.reshape(len(block), -1)
    cells = CELLS[pixels]
    cells[:, -1] = LAST_CELLS[pixels[:, -1]]
    text = cells.view(np.uint8)
    if labelled:
        labels = np.char.add(block.targets.astype("S"), b",")
        text = np.hstack([labels.view(np.uint8).reshape(len(block), -1), text])
    return text.tobytes().translate(None, b"\0")


if __name__ == "__main__":
    typer.run(main)
