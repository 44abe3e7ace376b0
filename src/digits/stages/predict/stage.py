"""Digits on people's own pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
from rich.progress import track
from rich.table import Table

from digits import data
from digits.errors import UserError, one_line, printable
from digits.files import records
from digits.files.atomic import replacing
from digits.progress import console, is_terminal
from digits.stages.predict import figures, ink, pictures
from digits.stages.predict.exported import Exported

if TYPE_CHECKING:
    from digits.stages.predict.networks import RunNetworks

OK, NOT_A_DIGIT = "ok", "not a digit"
MOST_READERS = 4  # of pictures at a time: each takes up to 0.2 GB
MOST_DIGITS = 20  # side by side in a picture: more is no number but noise
THUMBNAIL = 140  # pixels
SHOWN, SHEET = 40, 60  # pictures in the printed table and on the sheet


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture, and the images made of it for the networks.

    name: of the file, with the row in a CSV. digits: uint8 (digits, *shape). picture: a small copy, uint8 (height,
    width); None for rows of a CSV. problem: why there is nothing to see; None where there is.
    """

    name: str
    digits: np.ndarray
    picture: np.ndarray | None = None
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """What the networks say of a picture: a row of `predictions.csv`, a note for people, and of each digit the
    probabilities, float (digits, classes).
    """

    seen: Seen
    digit: str
    confidence: float | None
    status: str
    note: str
    probabilities: np.ndarray

    @property
    def is_readable(self) -> bool:
        return self.status in (OK, NOT_A_DIGIT)


def run(ensemble: Exported | RunNetworks, places: Sequence[Path], folder: Path, split: bool = False) -> bool:
    """Write `predictions.csv` and `predictions.png`, and print a table.

    Args:
        ensemble: that predicts.
        places: pictures, folders of pictures, and CSVs of pixels in the competition's form.
        folder: for the results.
        split: take a picture of several digits in a row as that many digits.

    Returns:
        Whether every picture could be read.

    Raises:
        UserError: there are no pictures.
    """
    files = list(pictures.find(places))
    if not files:
        raise UserError(
            f"no pictures in {', '.join(map(str, places))}; known are {' '.join(sorted(pictures.SUFFIXES))}"
        )
    readers = min(joblib.cpu_count(), MOST_READERS)
    read = joblib.Parallel(n_jobs=readers, prefer="threads", return_as="generator")(
        joblib.delayed(_look)(path, ensemble.shape) for path in files
    )
    waiting = track(read, "Reading pictures", len(files), console=console(), disable=not is_terminal())
    seen = [of for several in waiting for of in several]
    judged = list(_judge(ensemble, seen, split))
    _write(judged, folder / "predictions.csv")
    _draw(judged, ensemble, folder / "predictions.png")
    _print(judged, folder)
    return all(of.is_readable for of in judged)


def _look(path: Path, shape: tuple[int, int, int]) -> list[Seen]:
    """The picture of a file, or every row of a CSV."""
    nothing = np.zeros((0, *shape), np.uint8)
    name = printable(str(path))
    try:
        if path.suffix.lower() == ".csv":
            return [Seen(f"{name}#{row}", image[None]) for row, image in enumerate(data.read_images(path, shape[0]), 1)]
        with path.open("rb") as file:
            picture = pictures.read(file)
        return [Seen(name, ink.to_digits(picture, shape[0])[..., None], pictures.thumbnail(picture, THUMBNAIL))]
    except UserError as error:
        return [Seen(name, nothing, problem=str(error).removeprefix(f"{path}: "))]
    except OSError as error:
        return [Seen(name, nothing, problem=error.strerror or str(error))]


def _judge(ensemble: Exported | RunNetworks, seen: Sequence[Seen], split: bool) -> Iterator[Judged]:
    counts = [len(of.digits) for of in seen]
    probabilities, novelty = ensemble.predict(np.concatenate([of.digits for of in seen]))
    ends = np.cumsum(counts)
    for of, stop, count in zip(seen, ends, counts, strict=True):
        yield _verdict(ensemble, of, probabilities[stop - count : stop], novelty[stop - count : stop], split)


def _verdict(
    ensemble: Exported | RunNetworks, seen: Seen, probabilities: np.ndarray, novelty: np.ndarray, split: bool
) -> Judged:
    count = len(probabilities)
    if seen.problem:
        return Judged(seen, "", None, seen.problem, "", probabilities)
    if not count:
        return Judged(seen, "", None, NOT_A_DIGIT, "there is no ink", probabilities)
    if count > (MOST_DIGITS if split else 1):
        hint = "" if split else f": {count} of them; SPLIT=1 reads them all"
        return Judged(seen, "", None, NOT_A_DIGIT, f"several things{hint}", probabilities)
    digit = "".join(str(ensemble.classes[chosen]) for chosen in probabilities.argmax(axis=1))
    confidence = float(probabilities.max(axis=1).prod())
    if novelty.max() > 1:
        return Judged(
            seen, digit, confidence, NOT_A_DIGIT, "unlike any digit; the best guess stands here", probabilities
        )
    return Judged(seen, digit, confidence, OK, "", probabilities)


def _write(judged: Sequence[Judged], path: Path) -> None:
    lines = [
        (of.seen.name, of.digit, "" if of.confidence is None else f"{of.confidence:.4f}", of.status) for of in judged
    ]
    records.write_csv(path, ["file", "digit", "confidence", "status"], lines)


def _draw(judged: Sequence[Judged], ensemble: Exported | RunNetworks, path: Path) -> None:
    """The first pictures, what the networks saw, and the three most probable digits."""
    shown = [of for of in judged if of.is_readable][:SHEET]
    panels = [
        figures.Panel(
            title=Path(of.seen.name).name,
            picture=of.seen.picture,
            seen=np.hstack([*of.seen.digits]) if len(of.seen.digits) else None,
            verdict=of.digit if of.status == OK else f"{of.digit} ?".strip(),
            probabilities=of.probabilities[0] if len(of.probabilities) == 1 else None,
        )
        for of in shown
    ]
    told = f"{len(shown)} of {len(judged):,} pictures"
    with replacing(path) as temporary:
        figures.prediction_sheet(panels, ensemble.classes, told).savefig(temporary)


def _print(judged: Sequence[Judged], folder: Path) -> None:
    table = Table()
    for heading in ("file", "digit", "confidence", "status", ""):
        table.add_column(heading)
    for of in judged[:SHOWN]:
        confidence = "" if of.confidence is None else f"{of.confidence:.3f}"
        table.add_row(of.seen.name, of.digit, confidence, of.status if of.is_readable else "not read", of.note)
    out = console()
    out.print(table)
    if len(judged) > SHOWN:
        out.print(f"... and {len(judged) - SHOWN:,} more")
    counts = {status: sum(of.status == status for of in judged) for status in (OK, NOT_A_DIGIT)}
    unread = [of for of in judged if not of.is_readable]
    out.print(
        f"{counts[OK]:,} ok, {counts[NOT_A_DIGIT]:,} not a digit, {len(unread):,} not read: "
        f"{folder / 'predictions.csv'}, {folder / 'predictions.png'}",
        soft_wrap=True,
    )
    for of in unread:
        print(f"error: {of.seen.name}: {one_line(of.status)}", file=sys.stderr)
