"""The map component, drawn by `figures/map.js`: points that show their images, with names, a lasso and a wheel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime import get_instance

from digits import figures
from digits.competition import COMPETITION
from digits.stages.cluster.clustering import NOISE
from digits.stages.explore import selection, views
from digits.stages.explore.clustered_run import BY_CHECKSUM, ClusteredRun

COLOURS = [  # by value; each has a contrast of 2.6 at least with white and with the dark theme
    "#0072B2", "#D55E00", "#008460", "#C060CC", "#B40000", "#60B400", "#9084FC", "#785424", "#F08400", "#00A8D8",
    "#FC6CC0", "#006C00", "#D85460", "#9C30A8", "#788400", "#CC909C", "#6048CC", "#00A884", "#246060", "#6C5484",
    "#B46C18", "#A89C54", "#B4306C", "#2484FC", "#846CC0", "#9090C0", "#9C5454", "#84A89C", "#B46090", "#FC786C",
]  # fmt: skip
GREY, WRONG = "#8C8C8C", "#D40000"
COLOURINGS = {  # and the columns that they show
    COMPETITION.noun: "label",
    "cluster": "cluster",
    "prediction": "prediction",
    "right or wrong": "right",
    "confidence": "confidence",
}
STEPS = {0.5: WRONG, 0.9: "#F08400", 0.99: "#9084FC", 0.999: "#0072B2", np.inf: GREY}  # confidence below
TIP = {"label": "label", "prediction": "predicted", "confidence": "with", "cluster": "cluster"}
SIDE, WIDEST = 28, 8_192  # pixels of an image on the sprite, and of the sprite, at most
HTML = """
<div class="map">
  <canvas tabindex="0" role="img" aria-label="Map of the rows: drag to move, wheel to zoom, click or lasso to select">
  </canvas>
  <div class="tools">
    <button name="lasso" title="Draw around points to select them (or hold Shift)">Lasso</button>
    <button name="in" title="Zoom in (+)">+</button>
    <button name="out" title="Zoom out (-)">&minus;</button>
    <button name="all" title="Show all (0)">All</button>
  </div>
  <div class="tip" hidden><canvas></canvas><span></span></div>
  <div class="legend"></div>
</div>
"""
CSS = """
.map { position: relative; font: 14px var(--st-font, sans-serif); color: var(--st-text-color); }
.map > canvas {
  display: block; width: 100%; height: clamp(320px, min(100vh - 320px, 110vw), 1200px); touch-action: none;
  cursor: grab; border-radius: 8px; outline-offset: -2px;
}
.lassoing > canvas { cursor: crosshair; }
button {
  font: inherit; color: inherit; background: var(--st-secondary-background-color); padding: 2px 8px;
  border: 1px solid var(--st-border-color, #8884); border-radius: 6px; cursor: pointer;
}
.tools { position: absolute; top: 6px; right: 6px; display: flex; gap: 4px; }
.lassoing [name="lasso"] { background: var(--st-primary-color); color: white; }
.tip {
  position: absolute; pointer-events: none; padding: 6px; border-radius: 6px; display: flex; gap: 8px; z-index: 9;
  background: var(--st-background-color); border: 1px solid var(--st-border-color, #8888); white-space: pre;
}
.tip[hidden] { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 6px; }
.legend button { font-size: 13px; padding: 1px 8px; }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 5px; }
"""
MAP = st.components.v2.component(
    "digits_map", html=HTML, css=CSS, js=Path(figures.__file__).with_name("map.js").read_text(encoding="utf-8")
)


class Groups(NamedTuple):
    """Points by colour: the number of each one's group, int (n,), and the names and colours of the groups."""

    numbers: np.ndarray
    names: list[str]
    colours: list[str]


def draw(
    results: ClusteredRun, table: pd.DataFrame, colouring: str, view: str, star: Sequence[float] | None = None
) -> None:
    """Draw rows as points, which can be selected.

    Args:
        results: the run.
        table: a line a row: row, label, prediction, confidence, right, cluster, x, y.
        colouring: one of `COLOURINGS`.
        view: name of the map; another one is shown whole.
        star: a point to mark.
    """
    groups = grouped(table, COLOURINGS[colouring], results.dataset.classes)
    imaged = views.sample(results, views.most_rows(results))
    points = pd.DataFrame(
        {
            "x": table["x"].to_numpy(np.float32),
            "y": table["y"].to_numpy(np.float32),
            "row": table["row"].to_numpy(np.int32),
            "image": np.searchsorted(results.features.rows[imaged], table["row"]).astype(np.int32),
            "colour": groups.numbers.astype(np.int32),
        }
        | {column: table[column].to_numpy() for column in TIP}
        | {"confidence": table["confidence"].to_numpy(float).round(4)}
    )
    sprite, side, across = _sprite(results)
    MAP(
        key="map",
        data={
            "points": points,
            "names": groups.names,
            "colours": groups.colours,
            "labels": _labels(points, groups) if colouring in (COMPETITION.noun, "cluster", "prediction") else [],
            "selected": selection.rows(),
            "sprite": get_instance().media_file_mgr.add(sprite, "image/png", "the sprite of the map"),
            "side": side,
            "across": across,
            "tip": TIP,
            "view": view,
            "star": star,
        },
        on_picked_change=lambda: selection.select(st.session_state["map"].picked),
    )


def grouped(table: pd.DataFrame, column: str, classes: np.ndarray) -> Groups:
    """Group rows by a column: classes and clusters have the same colour whatever else is shown."""
    values = table[column].to_numpy()
    if column == "right":
        return Groups(1 - values.astype(int), ["right", "wrong"], [GREY, WRONG])
    if column == "confidence":
        below, names = np.array(list(STEPS)), [f"below {step:g}" for step in STEPS if np.isfinite(step)]
        return Groups(np.searchsorted(below, values, side="right"), [*names, "higher"], list(STEPS.values()))
    found = np.unique(values)
    places = found if column == "cluster" else np.searchsorted(classes, found)
    names = ["noise" if place == NOISE else str(value) for place, value in zip(places, found, strict=True)]
    colours = [GREY if place == NOISE else COLOURS[place % len(COLOURS)] for place in places]
    return Groups(np.searchsorted(found, values), names, colours)


def _labels(points: pd.DataFrame, groups: Groups) -> list[tuple[str, float, float]]:
    """The name of each group, in the midst of its points."""
    middles = points.groupby("colour")[["x", "y"]].median()
    return [
        (groups.names[number], float(x), float(y))
        for number, x, y in middles.itertuples()
        if groups.colours[number] != GREY
    ]


@st.cache_resource(max_entries=1, show_spinner=False, hash_funcs=BY_CHECKSUM)
def _sprite(results: ClusteredRun) -> tuple[bytes, int, int]:
    """The images of all rows that can be shown, as one PNG; pixels of a side of each, and how many are side by side."""
    images = results.features.sources["pixels"][views.sample(results, views.most_rows(results))]
    count, height, width, channels = images.shape
    images = 255 - images if channels == 1 else images  # ink is dark, as on paper
    across = int(np.ceil(np.sqrt(count)))
    side = max(1, min(SIDE, max(height, width), WIDEST // across))
    if (height, width) != (side, side):
        small = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images]
        images = np.stack(small).reshape(count, side, side, channels)
    padded = np.concatenate([images, np.full((across**2 - count, *images.shape[1:]), 255, np.uint8)])
    sheet = padded.reshape(across, across, side, side, channels).swapaxes(1, 2).reshape(across * side, -1, channels)
    _, png = cv2.imencode(".png", sheet[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return png.tobytes(), side, across
