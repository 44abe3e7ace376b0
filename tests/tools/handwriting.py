"""Draw digits as other schools teach them, which the competition's American rows hardly know.

    python tests/tools/handwriting.py digit-recognizer.zip folder    # the competition's rows, and drawn ones with them
    make submit DATA=folder CONFIG=configs/pretrained.yaml           # the two networks of the small ensemble
    make pretrained DATA=folder RUN=pretrained

A 1 with a flag or a foot, a crossed 7, an open 4, a slashed 0, an angular 9, lines in pieces: each habit is a way to
write a digit, drawn differently every time, with pens of all widths. Only the small ensemble that reads people's
pictures learns from them, never a recipe that is scored on the leaderboard. Some habits are left out of what it learns,
to see how it reads what it has not seen: `own_pictures.py habits` draws all of them as pictures.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import typer
from rich.progress import track

from digits import data
from digits.competition import COMPETITION
from digits.stages.predict import ink

CANVAS = 200  # pixels of the side of the page that a digit is drawn on
LEFT_OUT = ("0-pointed", "4-lightning", "5-separate", "8-crossed", "9-hooked")  # habits that are not learnt
ROWS = 8_000  # drawn rows beside the competition's 42,000

Draw = np.random.Generator
Strokes = list[np.ndarray]  # of points (x, y) in the unit square: float (points, 2)
app = typer.Typer(add_completion=False)


@app.command()
def write(source: str, folder: Path) -> None:
    """Write the rows of a competition and drawn ones as one training table; the same arguments give the same bytes."""
    dataset = data.read(data.find(source), Path("output/cache"))
    height, width, _ = dataset.shape
    names = [f"pixel{number}" for number in range(height * width)]
    draw = np.random.default_rng(0)
    learned = [habit for habit in HABITS if habit not in LEFT_OUT]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / COMPETITION.train).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([COMPETITION.label, *names])
        pairs = zip(dataset.train_labels.tolist(), dataset.train_images, strict=True)
        table.writerows([label, *image.ravel()] for label, image in pairs)
        for number in track(range(ROWS), "Drawing"):
            habit = learned[number % len(learned)]
            table.writerow([habit[0], *row(habit, height, draw).ravel()])
    with (folder / COMPETITION.test).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(names)
        table.writerows(image.ravel() for image in dataset.test_images)


def row(habit: str, side: int, draw: Draw) -> np.ndarray:
    """A drawn digit in the form of the training data, uint8 (side, side), ink bright."""
    page = 255 - np.pad(255 * written(habit, draw), 30).astype(np.uint8)
    if draw.random() < 0.3:  # of a small picture, whose lines are coarse
        page = cv2.resize(page, (28, 28), interpolation=cv2.INTER_AREA)
    digit = ink.to_digit(page, side)
    return row(habit, side, draw) if digit is None else digit


def written(habit: str, draw: Draw) -> np.ndarray:
    """Ink of a digit: float32 (height, width) in 0..1, cropped to its box."""
    turned = hand(draw)
    width = round(CANVAS * draw.uniform(0.02, 0.13))
    page = np.zeros((2 * CANVAS, 2 * CANVAS), np.uint8)
    gaps = draw.random() < 0.12
    for stroke in HABITS[habit](draw):
        points = turned(np.concatenate([stroke[:1], densified(stroke)]))
        for piece in in_pieces(points, draw) if gaps else [points]:
            cv2.polylines(page, [np.round(16 * piece).astype(np.int32)], False, 255, width, cv2.LINE_AA, shift=4)
    shown = bent(page.astype(np.float32) / 255, draw)
    rows, columns = np.flatnonzero(shown.max(axis=1) > 0.5), np.flatnonzero(shown.max(axis=0) > 0.5)
    return shown[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def hand(draw: Draw) -> Callable[[np.ndarray], np.ndarray]:
    """How somebody stretches, slants and turns what they write: from the unit square to pixels."""
    stretch = np.diag([draw.uniform(0.6, 1.0), draw.uniform(0.75, 1.0)])
    slant = np.array([[1, draw.normal(0, 0.12)], [0, 1]])
    angle = draw.normal(0, 0.09)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = CANVAS * turn @ slant @ stretch
    return lambda points: (points - 0.5) @ matrix.T + CANVAS


def densified(stroke: np.ndarray) -> np.ndarray:
    """Points on the lines between those of a stroke: float (points, 2)."""
    parts = [np.linspace(start, end, 8)[1:] for start, end in itertools.pairwise(stroke)]
    return np.concatenate(parts)


def in_pieces(points: np.ndarray, draw: Draw) -> Iterator[np.ndarray]:
    """Pieces of a line, as a pen leaves them that hardly touches the paper."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    start = 0.0
    while start < along[-1]:
        end = start + draw.uniform(0.12, 0.5) * CANVAS
        piece = points[(along >= start) & (along <= end)]
        if len(piece) > 1:
            yield piece
        start = end + draw.uniform(0.04, 0.12) * CANVAS


def bent(page: np.ndarray, draw: Draw) -> np.ndarray:
    """A page whose lines are bent a little, as hands tremble: float32 (height, width)."""
    noise = [cv2.GaussianBlur(draw.normal(0, 1, page.shape), (0, 0), 18) for _ in range(2)]
    strength = draw.uniform(0, 4)
    rows, columns = np.indices(page.shape)
    maps = [(at + strength * by / by.std()).astype(np.float32) for at, by in zip((columns, rows), noise, strict=True)]
    return cv2.remap(page, *maps, cv2.INTER_LINEAR)


# --- habits: the strokes of each, in the unit square, y down ------------------------------------------------


def line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


def arc(x: float, y: float, width: float, height: float, start: float, end: float) -> np.ndarray:
    """Part of an ellipse around (x, y) with these half axes, between angles in degrees: 0 is right, 90 is down."""
    angles = np.radians(np.linspace(start, end, 25))
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)


def joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts)


def oval(draw: Draw) -> Strokes:
    """A narrow 0, sometimes not closed or closed too far."""
    start = draw.uniform(-140, -40)
    return [arc(0.5, 0.5, draw.uniform(0.12, 0.3), 0.42, start, start + 360 + draw.normal(0, 12))]


def slashed(draw: Draw) -> Strokes:
    over = draw.uniform(-0.08, 0.1)
    width = draw.uniform(0.22, 0.34)
    slash = line((0.5 + width * 0.8 + over, 0.18 - over), (0.5 - width * 0.8 - over, 0.82 + over))
    return [arc(0.5, 0.5, width, 0.42, -90, 270), slash]


def pointed(draw: Draw) -> Strokes:
    left, right, top = draw.uniform(0.24, 0.34), draw.uniform(0.66, 0.76), draw.uniform(0.1, 0.2)
    corners = [(0.5, 0.92), (left, 0.6), (left, 0.32), (0.42, top), (0.58, top), (right, 0.32), (right, 0.6)]
    return [line(*corners, (0.52, 0.92))]


def looped(draw: Draw) -> Strokes:
    """A 0 that ends in a loop at its top."""
    ring = arc(0.5, 0.55, draw.uniform(0.22, 0.3), 0.38, -70, 290)
    return [joined(ring, arc(0.6, 0.15, 0.09, 0.07, 180, draw.uniform(330, 500)))]


def flagged(draw: Draw) -> Strokes:
    """A 1 whose flag goes down to the left, from hardly seen to half of its height."""
    top, length, slope = draw.uniform(0.06, 0.14), draw.uniform(0.12, 0.5), math.radians(draw.uniform(32, 62))
    end = (0.58 - length * math.cos(slope), top + length * math.sin(slope))
    return [line(end, (0.58, top), (0.58 + draw.normal(0, 0.02), 0.92))]


def foot(draw: Draw) -> np.ndarray:
    half, y = draw.uniform(0.12, 0.32), draw.uniform(0.87, 0.92)
    return line((0.57 - half, y), (0.57 + half * draw.uniform(0.7, 1.2), y + draw.normal(0, 0.015)))


def flagged_with_foot(draw: Draw) -> Strokes:
    return [*flagged(draw), foot(draw)]


def with_foot(draw: Draw) -> Strokes:
    return [line((0.56, 0.08), (0.57, 0.9)), foot(draw)]


def seven(draw: Draw) -> np.ndarray:
    """A 7: the bar, then the leg, straight or bent."""
    left, right, top = draw.uniform(0.12, 0.25), draw.uniform(0.72, 0.85), draw.uniform(0.1, 0.16)
    knee = (draw.uniform(0.5, 0.62), draw.uniform(0.4, 0.6))
    return line((left, top + draw.normal(0.01, 0.02)), (right, top), knee, (draw.uniform(0.36, 0.5), 0.92))


def crossed(draw: Draw) -> Strokes:
    y, half = draw.uniform(0.42, 0.58), draw.uniform(0.14, 0.26)
    return [seven(draw), line((0.54 - half, y + draw.normal(0, 0.02)), (0.54 + half, y))]


def with_serif(draw: Draw) -> Strokes:
    stroke = seven(draw)
    serif = stroke[0] + (draw.normal(0, 0.02), draw.uniform(0.08, 0.2))
    return [np.concatenate([serif[None], stroke])]


def crossed_with_serif(draw: Draw) -> Strokes:
    return [*with_serif(draw), crossed(draw)[1]]


def plain_seven(draw: Draw) -> Strokes:
    return [seven(draw)]


def open_four(draw: Draw) -> Strokes:
    """A 4 whose arms do not meet."""
    y, top = draw.uniform(0.5, 0.62), draw.uniform(0.08, 0.3)
    arm = line((draw.uniform(0.22, 0.4), 0.1), (draw.uniform(0.16, 0.26), y), (draw.uniform(0.74, 0.88), y))
    x = draw.uniform(0.56, 0.7)
    return [arm, line((x, top), (x - draw.uniform(0, 0.08), 0.92))]


def closed_four(draw: Draw) -> Strokes:
    y, x = draw.uniform(0.58, 0.7), draw.uniform(0.56, 0.68)
    return [line((x, 0.92), (x + 0.01, 0.08), (draw.uniform(0.12, 0.22), y), (draw.uniform(0.78, 0.9), y))]


def lightning(draw: Draw) -> Strokes:
    """A 4 in one line that ends in its leg, the arm crossing it."""
    y = draw.uniform(0.52, 0.62)
    return [line((0.5, 0.08), (0.2, y), (0.62, y - 0.05), (0.52, 0.92)), line((0.3, y + 0.14), (0.82, y + 0.1))]


def nine(draw: Draw) -> tuple[np.ndarray, float]:
    """The ring of a 9, and how far to the right it is."""
    width = draw.uniform(0.18, 0.25)
    return arc(0.45, 0.3, width, draw.uniform(0.18, 0.23), 0, -360), 0.45 + width


def straight_nine(draw: Draw) -> Strokes:
    ring, right = nine(draw)
    return [ring, line((right, 0.3 - draw.uniform(0, 0.2)), (right - draw.uniform(-0.03, 0.1), 0.92))]


def angular_nine(draw: Draw) -> Strokes:
    right, left = draw.uniform(0.66, 0.76), draw.uniform(0.22, 0.34)
    ring = [(right, 0.2), (left + 0.06, 0.16), (left, 0.42), (left + 0.12, 0.5), (right, draw.uniform(0.4, 0.46))]
    leg = [(right, 0.18), (right - draw.uniform(0, 0.06), 0.9)]
    return [line(*ring, *leg, *([(0.3, 0.9)] if draw.random() < 0.4 else []))]


def hooked_nine(draw: Draw) -> Strokes:
    ring, right = nine(draw)
    hook = arc(right - 0.2, 0.74, 0.2, 0.17, 0, draw.uniform(120, 170))
    return [ring, joined(line((right, 0.28)), hook)]


def round_three(draw: Draw) -> Strokes:
    lower = draw.uniform(0.24, 0.3)
    return [joined(arc(0.45, 0.29, 0.24, 0.2, -150, 90), arc(0.45, 0.7, lower, 0.21, -90, 150))]


def flat_three(draw: Draw) -> Strokes:
    top, knee = draw.uniform(0.08, 0.14), (draw.uniform(0.38, 0.5), draw.uniform(0.38, 0.45))
    return [joined(line((0.2, top), (0.76, top), knee), arc(0.45, 0.67, draw.uniform(0.24, 0.3), 0.25, -90, 150))]


def five(draw: Draw, gap: float) -> Strokes:
    belly = arc(0.45, 0.68, draw.uniform(0.24, 0.32), 0.24, draw.uniform(-130, -90), draw.uniform(120, 160))
    body = joined(line((0.34, 0.12), (0.3, draw.uniform(0.42, 0.5))), belly)
    return [body, line((0.34 + gap, 0.12 - gap / 2), (draw.uniform(0.72, 0.88), 0.1 - gap / 2))]


def closed_five(draw: Draw) -> Strokes:
    return five(draw, 0.0)


def separate_five(draw: Draw) -> Strokes:
    return five(draw, draw.uniform(0.06, 0.12))


def looped_two(draw: Draw) -> Strokes:
    loop = arc(0.3, 0.82, 0.09, 0.07, 180, -60)
    return [joined(arc(0.45, 0.28, 0.24, 0.19, -170, 40), line((0.3, 0.78)), loop, line((0.85, 0.88)))]


def plain_two(draw: Draw) -> Strokes:
    y = draw.uniform(0.86, 0.92)
    return [joined(arc(0.45, 0.3, 0.26, 0.2, -170, 40), line((0.2, y), (draw.uniform(0.74, 0.86), y)))]


def angular_two(draw: Draw) -> Strokes:
    """A 2 that could be a Z."""
    top = draw.uniform(0.1, 0.2)
    return [line((0.22, top + 0.05), (0.5, top - 0.05), (0.74, top + 0.1), (0.2, 0.9), (0.82, 0.9))]


def plain_six(draw: Draw) -> Strokes:
    ring = arc(0.48, 0.68, draw.uniform(0.18, 0.25), 0.22, 190, -170)
    return [joined(line((draw.uniform(0.5, 0.68), 0.08), (0.36, 0.42)), ring)]


def rings_eight(draw: Draw) -> Strokes:
    upper, lower = draw.uniform(0.14, 0.2), draw.uniform(0.2, 0.26)
    return [arc(0.5, 0.29, upper, 0.19, 90, 450), arc(0.5, 0.69, lower, 0.22, -90, 270)]


def crossed_eight(draw: Draw) -> Strokes:
    right, left = draw.uniform(0.68, 0.76), draw.uniform(0.26, 0.34)
    upper = [(right, 0.2), (0.5, 0.09), (left, 0.25)]
    return [line(*upper, (right, 0.7), (0.54, 0.92), (left, 0.8), (0.42, 0.6), (right, 0.2))]


HABITS: dict[str, Callable[[Draw], Strokes]] = {
    "0-narrow": oval,
    "0-slashed": slashed,
    "0-pointed": pointed,
    "0-looped": looped,
    "1-flag": flagged,
    "1-flag-foot": flagged_with_foot,
    "1-foot": with_foot,
    "2-looped": looped_two,
    "2-plain": plain_two,
    "2-angular": angular_two,
    "3-round": round_three,
    "3-flat": flat_three,
    "4-open": open_four,
    "4-closed": closed_four,
    "4-lightning": lightning,
    "5-closed": closed_five,
    "5-separate": separate_five,
    "6-plain": plain_six,
    "7-plain": plain_seven,
    "7-crossed": crossed,
    "7-serif": with_serif,
    "7-crossed-serif": crossed_with_serif,
    "8-rings": rings_eight,
    "8-crossed": crossed_eight,
    "9-straight": straight_nine,
    "9-angular": angular_nine,
    "9-hooked": hooked_nine,
}


if __name__ == "__main__":
    app()
