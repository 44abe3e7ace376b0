"""Predict the classes of people's own pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np
from rich.progress import track
from rich.table import Table

from digits import data
from digits.competition import COMPETITION
from digits.data.source import CSVS
from digits.errors import UserError, one_line, printable
from digits.files import records
from digits.files.atomic import replacing
from digits.progress import console, is_terminal
from digits.stages.predict import figures, ink, pictures, readings
from digits.stages.predict.exported import Ensemble
from digits.stages.predict.readings import NONE, OK, Picture, Reading

MOST_READERS = 4  # of pictures at a time: each takes up to 0.2 GB
THUMBNAIL = 140  # pixels
SHOWN, SHEET = 40, 60  # pictures in the printed table and on the sheet
NAMED = 10  # files in a line, and problems


def run(ensemble: Ensemble, paths: Sequence[Path], folder: Path, split: bool = False) -> None:
    """Write `predictions.csv` and `predictions.png`, and print a table.

    paths: pictures, folders of pictures, and CSVs of pixels. split: take a picture of several digits in a row as that
    many digits.

    Raises:
        UserError: there are no pictures, or none of them can be read; earlier results stay then.
    """
    print(f"Networks: {ensemble.origin}, out-of-fold accuracy {ensemble.about['run_oof_accuracy']:.4f}", flush=True)
    found = list(_load_all(paths, ensemble.shape))
    unread = [picture for picture in found if picture.problem]
    if len(unread) == len(found):
        raise UserError("; ".join(_problems(unread)))
    probabilities, novelty, _ = ensemble.predict(np.concatenate([picture.images for picture in found]))
    ends = np.cumsum([len(picture.images) for picture in found])[:-1]
    parts = zip(found, np.split(probabilities, ends), np.split(novelty, ends), strict=True)
    read = [readings.read(*part, ensemble.classes, split) for part in parts]
    _write(read, folder / "predictions.csv")
    _draw(read, ensemble.classes, folder / "predictions.png")
    _print(read, folder)
    for problem in _problems(unread):
        print(f"warning: {problem}", file=sys.stderr)


def _load_all(paths: Sequence[Path], shape: tuple[int, int, int]) -> Iterator[Picture]:
    """The pictures in files and folders, in their order, several read at a time."""
    files, others = pictures.find(paths)
    if not files:
        known = " ".join(sorted(pictures.SUFFIXES))
        raise UserError(f"no pictures in {', '.join(map(str, paths))}; known are {known}")
    if others:
        names = [printable(path.name) for path in others]
        print(f"Passed over as no pictures: {len(names):,} ({_listed(names)})", flush=True)
    threads = min(joblib.cpu_count(), MOST_READERS)
    loaded = joblib.Parallel(n_jobs=threads, prefer="threads", return_as="generator")(
        joblib.delayed(_load)(path, shape) for path in files
    )
    for several in track(loaded, "Reading pictures", len(files), console=console(), disable=not is_terminal()):
        yield from several


def _load(path: Path, shape: tuple[int, int, int]) -> list[Picture]:
    """The picture of a file, or every row of a table."""
    name = printable(str(path))
    try:
        if path.name.lower().endswith(CSVS):
            rows, assumed = data.read_images(path, shape)
            if assumed:
                print(f"{name}: read as {', '.join(assumed)}", flush=True)
            return [Picture(f"{name}#{row}", image[None]) for row, image in enumerate(rows, start=1)]
        with path.open("rb") as file:
            picture = pictures.read(file) if shape[2] == 1 else pictures.read_colours(file)
        images = ink.to_digits(picture, shape[0])[..., None] if shape[2] == 1 else pictures.resized(picture, shape)
        return [Picture(name, images, pictures.thumbnail(picture, THUMBNAIL))]
    except UserError as error:
        problem = str(error).removeprefix(f"{path}: ")
    except OSError as error:
        problem = error.strerror or str(error)
    return [Picture(name, np.zeros((0, *shape), np.uint8), problem=problem)]


def _write(read: Sequence[Reading], path: Path) -> None:
    lines = [(reading.picture.name, reading.label, _rounded(reading, 4), reading.status) for reading in read]
    records.write_csv(path, ["file", COMPETITION.noun, "confidence", "status"], lines)


def _draw(read: Sequence[Reading], classes: np.ndarray, path: Path) -> None:
    """Draw the first pictures, what the networks saw, and the most probable classes."""
    shown = [reading for reading in read if reading.is_readable][:SHEET]
    with replacing(path) as temporary:
        figures.prediction_sheet(shown, classes, f"{len(shown)} of {len(read):,} pictures").savefig(temporary)


def _print(read: Sequence[Reading], folder: Path) -> None:
    table = Table("file", COMPETITION.noun, "confidence", "status", "")
    for reading in read[:SHOWN]:
        status = reading.status if reading.is_readable else "not read"
        table.add_row(reading.picture.name, reading.label, _rounded(reading, 3), status, reading.note)
    out = console()
    out.print(table)
    if len(read) > SHOWN:
        out.print(f"... and {len(read) - SHOWN:,} more")
    counts = {status: sum(reading.status == status for reading in read) for status in (OK, NONE)}
    unread = sum(not reading.is_readable for reading in read)
    out.print(
        f"{counts[OK]:,} {OK}, {counts[NONE]:,} {NONE}, {unread:,} not read: "
        f"{folder / 'predictions.csv'}, {folder / 'predictions.png'}",
        soft_wrap=True,
    )


def _problems(unread: Sequence[Picture]) -> list[str]:
    """Say why pictures could not be read: a line a problem, which names the files that have it."""
    files: dict[str, list[str]] = {}
    for picture in unread:
        files.setdefault(one_line(picture.problem), []).append(picture.name)
    lines = [f"{_listed(names)}: {problem}" for problem, names in files.items()]
    more = [f"and {len(lines) - NAMED:,} more problems"] * (len(lines) > NAMED)
    return lines[:NAMED] + more


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" * (len(names) > NAMED)
    return ", ".join(names[:NAMED]) + more


def _rounded(reading: Reading, digits: int) -> str:
    return "" if reading.confidence is None else f"{reading.confidence:.{digits}f}"
