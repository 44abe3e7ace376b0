"""The map in the page: some rows as points, with their images on one sprite, drawn by `figures/map.js`."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from digits import figures
from digits.competition import COMPETITION
from digits.ensemble.logits import are_rows_of
from digits.errors import UserError
from digits.figures.style import SERIES
from digits.files import arrays, records
from digits.runs import Run

MAPS = ("tsne", "umap", "pca")  # the first that is there is shown
SIDE = 28  # pixels of an image on the sprite, at most
MOST_POINTS = 6_000
MOST_BYTES = 2_500_000  # of the sprite; with more there are fewer points
QUALITY = 60  # of WebP
WRONG = "#D40000"  # a mistake
STEPS = 10_000  # on each axis of the map
START = """
const data = JSON.parse(document.getElementById("map-data").textContent);
const columns = data.points;
data.points = { getChild: (name) => ({ toArray: () => columns[name], get: (i) => columns[name][i] }) };
const root = document.querySelector(".map");
const map = new DigitMap(root);
map.update(data, () => {});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.draw());
"""
PRINTED = """
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
"""


@dataclass(frozen=True)
class Points:
    """Input of the script, ready for JSON. title: of the map. count: points."""

    title: str
    count: int
    data: dict[str, Any]


def script() -> str:
    """JavaScript of the page: that of the map, where there is one, and what opens all parts for the printer."""
    source = Path(figures.__file__).with_name("map.js").read_text(encoding="utf-8")
    return f'{source}\n{PRINTED}\nif (document.getElementById("map-data")) {{{START}}}\n'


def of_run(run: Run) -> Points:
    """The map of a clustered run: at most `MOST_POINTS` rows, all mistakes among them.

    Raises:
        UserError: the map or the probabilities are missing or damaged.
    """
    name, rows, points = _read(run)
    oof, data = arrays.read_probabilities(run.oof), run.dataset
    if not are_rows_of(oof["rows"], len(data.train_labels)) or not np.isin(rows, oof["rows"]).all():
        raise _damaged(run)
    probabilities = oof["probabilities"][np.searchsorted(oof["rows"], rows)]
    targets, chosen = data.targets[rows], probabilities.argmax(axis=1)
    wrong = chosen != targets
    order = np.lexsort((np.random.default_rng(0).random(len(rows)), ~wrong))  # mistakes first, all else at random
    count, (sprite, side, across) = _most(data.train_images[rows[order]])
    kept = order[:count][::-1]  # what is drawn last is on top
    low, span = points.min(axis=0), np.ptp(points, axis=0).max() or 1.0
    places = np.rint((points[kept] - low) / span * STEPS).astype(int)
    labels = [str(label) for label in data.classes]
    record = records.read_json(run.clusters / "metrics.json", captions=dict)
    return Points(
        title=str(record["captions"][f"map_{name}.png"]["title"]),
        count=len(kept),
        data={
            "points": {
                "x": places[:, 0].tolist(),
                "y": places[:, 1].tolist(),
                "row": rows[kept].tolist(),
                "image": list(range(len(kept)))[::-1],
                "colour": np.where(wrong, len(labels), targets)[kept].tolist(),
                "label": [labels[target] for target in targets[kept]],
                "prediction": [labels[choice] for choice in chosen[kept]],
                "confidence": [round(float(value), 4) for value in probabilities[kept].max(axis=1)],
            },
            "names": [*labels, "mistakes"],
            "colours": [*(SERIES[index % len(SERIES)] for index in range(len(labels))), WRONG],
            "labels": _names(places, targets[kept], labels),
            "selected": [],
            "sprite": sprite,
            "side": side,
            "across": across,
            "tip": {"label": COMPETITION.noun, "prediction": "predicted", "confidence": "with"},
            "view": name,
            "star": None,
        },
    )


def _read(run: Run) -> tuple[str, np.ndarray, np.ndarray]:
    """Name of the map, its rows int (m,), and its points float (m, 2)."""
    path = run.clustered() / "embedding.npz"
    try:
        stored = arrays.read(path, rows="i1", fingerprint="U0")
    except ValueError:
        raise _damaged(run) from None
    rows, name = stored["rows"], next((name for name in MAPS if name in stored), None)
    points = stored[name] if name else np.empty(0)
    fits = points.shape == (len(rows), 2) and points.dtype.kind == "f" and len(rows) and np.isfinite(points).all()
    known = str(stored["fingerprint"]) == run.dataset.fingerprint and are_rows_of(rows, len(run.dataset.train_labels))
    if not fits or not known:
        raise _damaged(run)
    return name, rows, points.astype(float)


def _damaged(run: Run) -> UserError:
    name = run.folder.name
    return UserError(f"{run.clusters}: its map is damaged; make it anew: make cluster RUN={name}")


def _names(places: np.ndarray, targets: np.ndarray, labels: list[str]) -> list[tuple[str, int, int]]:
    """Name of each class with the middle of its points, (m, 2)."""
    middles = {target: np.median(places[targets == target], axis=0) for target in np.unique(targets)}
    return [(labels[target], *map(int, middle)) for target, middle in middles.items()]


def _most(images: np.ndarray) -> tuple[int, tuple[str, int, int]]:
    """As many of the first images as the page has room for, and their sprite."""
    count = min(len(images), MOST_POINTS)
    while True:
        sprite = _sprite(images[:count])
        if len(sprite[0]) <= MOST_BYTES or count < 2:
            return count, sprite
        count //= 2


def _sprite(images: np.ndarray) -> tuple[str, int, int]:
    """Images side by side as a WebP: its URI, the pixels of a side of each, and how many stand side by side."""
    count, height, width, channels = images.shape
    side, across = min(SIDE, max(height, width)), int(np.ceil(np.sqrt(count)))
    sheet = Image.new("RGB", (across * side, -(-count // across) * side), "white")
    for index, pixels in enumerate(images):
        image = Image.fromarray(255 - pixels[..., 0] if channels == 1 else pixels)
        if image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.BOX)
        sheet.paste(image, (index % across * side, index // across * side))
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii"), side, across
