"""The map component, drawn by `figures/map.js`: points that show their images, with names, a lasso and a wheel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime import get_instance

from digits.competition import COMPETITION
from digits.figures import browser_map
from digits.figures.browser_map import COLOURS, WRONG
from digits.stages.cluster.clustering import NOISE
from digits.stages.explore import selection
from digits.stages.explore.clustered_run import ClusteredRun

GREY = "#8C8C8C"
COLOURINGS = {  # and the columns that they show
    COMPETITION.noun: "label",
    "cluster": "cluster",
    "prediction": "prediction",
    "right or wrong": "right",
    "confidence": "confidence",
}
NAMED = (COMPETITION.noun, "cluster", "prediction")  # colourings whose groups have names on the map
STEPS = {0.5: WRONG, 0.9: "#F08400", 0.99: "#9084FC", 0.999: "#0072B2", np.inf: GREY}  # confidence below
TIP = {"label": "label", "prediction": "predicted", "confidence": "with", "cluster": "cluster"}
TITLE = "Map of the rows: drag to move, wheel to zoom, click or lasso to select"
MAP = st.components.v2.component(
    "digits_map",
    html=f'<div class="map" title="{TITLE}"></div>',
    css=".map { --map-height: clamp(320px, min(100vh - 290px, 110vw), 1200px); }",
    js=browser_map.script(),
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
    points = pd.DataFrame(
        {
            "x": table["x"].to_numpy(np.float32),
            "y": table["y"].to_numpy(np.float32),
            "row": table["row"].to_numpy(np.int32),
            "image": np.searchsorted(results.drawable, table["row"]).astype(np.int32),
            "colour": groups.numbers.astype(np.int32),
        }
        | {column: table[column].to_numpy() for column in TIP}
        | {"confidence": table["confidence"].to_numpy(float).round(4)}
    )
    sprite = results.sprite
    MAP(
        key="map",
        data={
            "points": points,
            "names": groups.names,
            "colours": groups.colours,
            "labels": _names(table, groups) if colouring in NAMED else [],
            "selected": selection.rows(),
            "sprite": get_instance().media_file_mgr.add(sprite.file, "image/png", "the sprite of the map"),
            "side": sprite.side,
            "across": sprite.across,
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


def _names(table: pd.DataFrame, groups: Groups) -> list[tuple[str, float, float]]:
    """Name of each group but grey ones, in the midst of its points."""
    coloured = np.array([colour != GREY for colour in groups.colours], bool)[groups.numbers]
    return browser_map.middles(table[["x", "y"]].to_numpy()[coloured], groups.numbers[coloured], groups.names)
