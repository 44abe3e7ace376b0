"""The map in the page: some rows as points, with their images on one sprite, drawn by `figures/map.js`."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from digits.competition import COMPETITION
from digits.ensemble.logits import are_rows_of
from digits.errors import UserError
from digits.figures import browser_map
from digits.figures.browser_map import COLOURS, WRONG, Sprite
from digits.files import arrays, records
from digits.runs import Run

MAPS = ("tsne", "umap", "pca")  # the first that is there is shown
MOST_POINTS = 6_000
MOST_BYTES = 1_900_000  # of the sprite; with more there are fewer points
QUALITY = 60  # of WebP
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
    return f'{browser_map.script()}\n{PRINTED}\nif (document.getElementById("map-data")) {{{START}}}\n'


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
    count, sprite = _most(data.train_images[rows[order]])
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
            "colours": [*(COLOURS[index % len(COLOURS)] for index in range(len(labels))), WRONG],
            "labels": browser_map.middles(places, targets[kept], labels),
            "selected": [],
            "sprite": "data:image/webp;base64," + base64.b64encode(sprite.file).decode("ascii"),
            "side": sprite.side,
            "across": sprite.across,
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


def _most(images: np.ndarray) -> tuple[int, Sprite]:
    """As many of the first images as the page has room for, and their sprite."""
    count = min(len(images), MOST_POINTS)
    while True:
        sprite = browser_map.sprite(images[:count], "WEBP", quality=QUALITY, method=2)
        if len(sprite.file) <= MOST_BYTES or count < 2:
            return count, sprite
        count //= 2
