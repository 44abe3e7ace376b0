"""Make pictures such as people take of their own digits, from labelled rows that a network never saw, and score them.

    python tests/tools/own_pictures.py draw digit-recognizer.zip folder --member output/default/members/default-s0-f0
    python tests/tools/own_pictures.py habits folder       # or digits as other schools teach them, of handwriting.py
    make predict IMAGES=folder
    python tests/tools/own_pictures.py score output/predictions/predictions.csv

Each row is redrawn: enlarged, thinned to its middle line, bent a little, drawn again with a pen of its own width, and
put on paper. A third of the pictures are `paint` (flat colours, either polarity, 28 to 1280 pixels, any place, some
transparent), a third `photo` (grained paper, ruled or squared or plain, uneven light, a shadow's edge, perspective,
blur, JPEG), and a third show no digit: bent letters of fonts, scribbles, noise, photos of empty paper, and two digits
side by side or touching. File names are <style>-<label or kind>-<number>.<suffix>, of habits <style>-<label>-<habit>-
<number>.<suffix>. Some redrawn digits cannot be read by people either: a line that was broken or a loop that was closed
in thinning stays so.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.progress import track

from digits import data
from digits.files import arrays
from handwriting import HABITS, LEFT_OUT, written

app = typer.Typer(add_completion=False)
LETTERS = "ABCDEFGHJKLMNPQRTUVWXYabcdefhkmnprtuvwxy"  # but for those that are digits too: I O S Z g i j l o q s z
CANVAS = 160  # pixels of the box in which a digit is thinned and drawn


@app.command()
def draw(
    source: str,
    folder: Path,
    count: int = 1200,
    member: Annotated[Path | None, typer.Option(help="Folder of a member that never saw the rows; else any.")] = None,
) -> None:
    """Write that many pictures; the same arguments give the same pictures."""
    dataset = data.read(data.find(source), Path("output/cache"))
    rows = np.arange(len(dataset.train_labels))
    if member:  # of the small ensemble, whose drawn rows come after the competition's
        rows = np.intersect1d(rows, arrays.read(member / "oof.npz")["rows"])
    images, generator = dataset.train_images[..., 0], np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(track(generator.choice(rows, count, replace=False), "Drawing")):
        if number % 3 == 2:
            kind = list(OTHERS)[number // 3 % len(OTHERS)]
            picture = OTHERS[kind](images[generator.choice(rows, 2)], generator)
            cv2.imwrite(str(folder / f"none-{kind}-{number}.png"), picture)
            continue
        style = (paint, photo)[number % 3]
        picture, suffix, options = style(redrawn(images[row], generator), generator)
        name = f"{style.__name__}-{dataset.train_labels[row]}-{row}.{suffix}"
        cv2.imwrite(str(folder / name), picture, options)


@app.command()
def habits(folder: Path, each: int = 40, seed: int = 1) -> None:
    """Write that many pictures of each habit; half of them are `paint`, half `photo`."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for habit in track(HABITS, "Drawing"):
        for number in range(each):
            style = (paint, photo)[number % 2]
            picture, suffix, options = style(written(habit, generator), generator)
            cv2.imwrite(str(folder / f"{style.__name__}-{habit}-{number}.{suffix}"), picture, options)


@app.command()
def score(predictions: Path) -> None:
    """How many digits were right, and how many pictures were called no digit, by style, kind or habit."""
    found: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    with predictions.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            style, label, *habit, _ = Path(row["file"]).stem.split("-")
            kind = label if style == "none" else "-".join([label, *habit]) if habit else style
            found[kind].append((row["digit"] == label, row["status"] == "not a digit"))
            if habit:
                left_out = kind in LEFT_OUT
                found["habits left out" if left_out else "habits learnt"].append(found[kind][-1])
    for kind, results in found.items():
        right, refused = np.sum(results, axis=0)
        print(f"{kind:16} {right:4} right and {refused:4} called no digit, of {len(results):4}")


def redrawn(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The digit of a row with another pen: ink float32 (height, width) in 0..1, cropped to its box."""
    large = cv2.resize(image, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)
    line = thinned(cv2.GaussianBlur(large, (0, 0), 2) > 110)
    line = np.pad(line, 40)
    bend = [cv2.GaussianBlur(draw.normal(0, 1, line.shape), (0, 0), 14) for _ in range(2)]
    rows, columns = np.indices(line.shape)
    strength = draw.uniform(0, 2.5)
    maps = [
        (place + strength * by / by.std()).astype(np.float32) for place, by in zip((columns, rows), bend, strict=True)
    ]
    thick = 2 * int(draw.choice([1, 2, 4, 7, 10])) + 1
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thick, thick))
    ink = cv2.dilate(line.astype(np.float32), pen)
    ink = cv2.remap(ink, *maps, cv2.INTER_LINEAR)
    turn = cv2.getRotationMatrix2D((line.shape[1] / 2, line.shape[0] / 2), draw.normal(0, 5), 1)
    ink = cv2.warpAffine(ink, turn, line.shape[::-1])
    inked_rows, inked_columns = np.flatnonzero(ink.max(axis=1) > 0.5), np.flatnonzero(ink.max(axis=0) > 0.5)
    return ink[inked_rows[0] : inked_rows[-1] + 1, inked_columns[0] : inked_columns[-1] + 1]


def thinned(ink: np.ndarray) -> np.ndarray:
    """The middle line of ink, bool (height, width) (T. Zhang, C. Suen, Communications of the ACM 27, 1984)."""
    ink = np.pad(ink.astype(np.uint8), 1)
    while True:
        before = ink.sum()
        for first in (True, False):
            ring = [
                np.roll(ink, (-down, -right), (0, 1))
                for down, right in ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
            ]
            neighbours = sum(ring)
            turns = sum((ring[place] == 0) & (ring[(place + 1) % 8] == 1) for place in range(8))
            north, east, south, west = ring[0], ring[2], ring[4], ring[6]
            if first:
                open_side = (north * east * south == 0) & (east * south * west == 0)
            else:
                open_side = (north * east * west == 0) & (north * south * west == 0)
            ink[(ink == 1) & (neighbours >= 2) & (neighbours <= 6) & (turns == 1) & open_side] = 0
        if ink.sum() == before:
            return ink[1:-1, 1:-1].astype(bool)


def paint(ink: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, str, list[int]]:
    """A drawing of a paint program."""
    side = int(draw.choice([28, 32, 64, 100, 200, 280, 400, 640, 1280]))
    page = placed(ink, side, side, draw.uniform(0.45, 0.95), draw)
    if draw.random() < 0.4:
        page = (page > 0.5).astype(np.float32)
    kind = draw.choice(["dark", "light", "coloured", "transparent"], p=[0.4, 0.35, 0.15, 0.1])
    if kind == "transparent":
        colour = np.float32([0, 0, 0]) if draw.random() < 0.7 else np.float32([255, 255, 255])
        picture = np.dstack([np.broadcast_to(colour, (*page.shape, 3)), 255 * page])
        return picture.round().astype(np.uint8), "png", []
    dark, light = np.zeros(3, np.float32), np.full(3, 255, np.float32)
    paper, pen = {"dark": (light, dark), "light": (dark, light)}.get(kind) or contrasting(draw)
    picture = paper + page[..., None] * (pen - paper)
    suffix, options = (
        ("png", []) if draw.random() < 0.7 else ("jpg", [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(40, 95))])
    )
    return picture.round().astype(np.uint8), suffix, options


def photo(ink: np.ndarray, draw: np.random.Generator) -> tuple[np.ndarray, str, list[int]]:
    """A phone's picture of a digit on paper."""
    height, width = int(draw.integers(240, 1281)), int(draw.integers(240, 1281))
    page = placed(ink, height, width, draw.uniform(0.25, 0.85), draw)
    paper = np.full((height, width), draw.uniform(150, 245), np.float32)
    if (ruled := draw.random()) < 0.35:
        step = int(draw.integers(height // 12, height // 5) + 8)
        faint = draw.uniform(10, 40)
        paper[draw.integers(step) :: step] -= faint
        if ruled < 0.15:
            paper[:, draw.integers(step) :: step] -= faint
    pen = paper * draw.uniform(0.15, 0.6)
    picture = paper + page * (pen - paper)
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    moved = corners + draw.normal(0, 0.03, (4, 2)).astype(np.float32) * min(width, height)
    tilt = cv2.getPerspectiveTransform(corners, moved)
    picture = cv2.warpPerspective(picture, tilt, (width, height), borderMode=cv2.BORDER_REPLICATE)
    across, down = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    angle = draw.uniform(0, 2 * np.pi)
    along = across * np.cos(angle) + down * np.sin(angle)
    light = 1 + draw.uniform(0, 0.35) * along - draw.uniform(0, 0.25) * (across**2 + down**2)
    if draw.random() < 0.4:  # the edge of a shadow
        edge = across * np.sin(angle + 1) + down * np.cos(angle + 1) - draw.uniform(-0.6, 0.6)
        light *= 1 - draw.uniform(0.15, 0.45) / (1 + np.exp(-edge / draw.uniform(0.01, 0.1)))
    picture = picture * light
    if draw.random() < 0.15:  # the edge of the table
        picture[: int(draw.integers(1, height // 12))] = draw.uniform(10, 90)
    grain = cv2.GaussianBlur(draw.normal(0, 1, picture.shape), (0, 0), 1)
    picture += draw.uniform(1, 5) * grain / grain.std() + draw.normal(0, draw.uniform(1, 6), picture.shape)
    picture = cv2.GaussianBlur(picture, (0, 0), draw.uniform(0.5, 0.004 * min(height, width) + 0.6))
    if draw.random() < 0.1:
        picture = 255 - picture  # a blackboard
    cast = 1 + draw.normal(0, 0.04, 3)
    picture = np.clip(picture[..., None] * cast, 0, 255)
    return picture.round().astype(np.uint8), "jpg", [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(40, 95))]


def letter(_: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A letter of a font, bent."""
    face = int(draw.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX]))
    picture = np.full((200, 260), 255, np.uint8)
    sign = LETTERS[draw.integers(len(LETTERS))]
    cv2.putText(picture, sign, (50, 140), face, 4, 0, int(draw.choice([4, 8, 14])), cv2.LINE_AA)
    bend = [cv2.GaussianBlur(draw.normal(0, 1, picture.shape), (0, 0), 18) for _ in range(2)]
    rows, columns = np.indices(picture.shape)
    maps = [(place + 5 * by / by.std()).astype(np.float32) for place, by in zip((columns, rows), bend, strict=True)]
    return cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderValue=255)


def scribble(_: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A pen that wanders."""
    picture = np.full((200, 200), 255, np.uint8)
    path = (100 + np.cumsum(draw.normal(0, 25, (draw.integers(6, 25), 2)), axis=0)).clip(5, 195).astype(np.int32)
    cv2.polylines(picture, [path], False, 0, int(draw.choice([3, 6])), cv2.LINE_AA)
    return picture


def noise(_: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    side = int(draw.choice([28, 64, 200]))
    return draw.integers(0, 256, (side, side)).astype(np.uint8)


def empty(_: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A photo of paper."""
    return photo(np.zeros((50, 50), np.float32), draw)[0]


def apart(images: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Two digits side by side."""
    return beside(images, 6)


def touching(images: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Two digits that touch."""
    return beside(images, -2)


def beside(images: np.ndarray, gap: int) -> np.ndarray:
    inked = [np.flatnonzero(image.max(axis=0) > 60) for image in images]
    cut = [image[:, columns[0] : columns[-1] + 1] for image, columns in zip(images, inked, strict=True)]
    width = cut[0].shape[1] + gap + cut[1].shape[1]
    page = np.zeros((cut[0].shape[0], width), np.uint8)
    page[:, : cut[0].shape[1]] = cut[0]
    page[:, width - cut[1].shape[1] :] = np.maximum(page[:, width - cut[1].shape[1] :], cut[1])
    large = cv2.resize(page, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    return 255 - np.pad(large, 40)


OTHERS = {of.__name__: of for of in (letter, scribble, noise, empty, apart, touching)}


def placed(ink: np.ndarray, height: int, width: int, share: float, draw: np.random.Generator) -> np.ndarray:
    """Ink on an empty page, its longer side a share of the page's shorter one, somewhere on it."""
    scale = share * min(height, width) / max(ink.shape)
    size = [max(1, round(length * scale)) for length in ink.shape[::-1]]
    small = np.clip(cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), 0, 1)
    page = np.zeros((height, width), np.float32)
    free_down, free_right = height - small.shape[0], width - small.shape[1]
    top, left = (round(free * np.clip(draw.normal(0.5, 0.2), 0, 1)) for free in (free_down, free_right))
    page[top : top + small.shape[0], left : left + small.shape[1]] = small
    return page


def contrasting(draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colours that can be told apart."""
    while True:
        paper, pen = draw.integers(0, 256, (2, 3)).astype(np.float32)
        if np.linalg.norm(paper - pen) > 120:
            return paper, pen


if __name__ == "__main__":
    app()
