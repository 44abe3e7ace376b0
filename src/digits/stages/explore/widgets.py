"""What several pages show in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from digits.stages.explore.clustered_run import ClusteredRun
from digits.stages.explore.markdown import literal

MOST_PROBABLE = 3
LINE = 44  # pixels of what stands beside a title: what changes there does not move the page
SCORES = {
    "purity": "Purity",
    "oof_accuracy": "Networks' accuracy",
    "silhouette": "Silhouette",
    "hungarian_accuracy": "Hungarian accuracy",
    "nmi": "NMI",
    "ari": "ARI",
}


def head(title: str, results: ClusteredRun) -> DeltaGenerator:
    """Draw the title and, beside it, what run the page is of.

    Returns:
        The place of this line, of a fixed height.
    """
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    row.header(title, anchor=False, width="content")
    line = row.container(height=LINE, border=False, vertical_alignment="center").empty()
    line.caption(f"Run {literal(results.run.folder.name)}, {len(results.features.rows):,} out-of-fold rows")
    return line


def scores(values: Mapping[str, Any]) -> str:
    """The values that `SCORES` names in a line; None is a dash."""
    shown = {title: values[name] for name, title in SCORES.items() if name in values}
    return " · ".join(f"{title} **{'-' if value is None else f'{value:.4f}'}**" for title, value in shown.items())


def page_of(table: pd.DataFrame, size: int, key: str) -> pd.DataFrame:
    """The lines of the page that `turn` has chosen."""
    last = max(0, (len(table) - 1) // size)
    st.session_state[key] = number = min(st.session_state.get(key, 0), last)
    return table.iloc[number * size : (number + 1) * size]


def turn(count: int, size: int, key: str) -> None:
    """Buttons to the next and the previous page, for below what `page_of` gives; none where all fits on one."""
    pages = -(-count // size)
    if pages <= 1:
        return

    def go(step: int) -> None:
        st.session_state[key] += step

    number = st.session_state[key]
    before, middle, after = st.columns([1, 2, 1], vertical_alignment="center")
    middle.caption(f"Page {number + 1} of {pages}", text_alignment="center")
    options = {"on_click": go, "width": "stretch"}
    before.button("Previous", args=(-1,), disabled=number == 0, shortcut="left", **options)
    after.button("Next", args=(1,), disabled=number == pages - 1, shortcut="right", **options)


def grid(table: pd.DataFrame, columns: int) -> Iterator[NamedTuple]:
    """The lines of a table, each drawn in a cell of its own."""
    for start in range(0, len(table), columns):
        for column, line in zip(st.columns(columns), table.iloc[start : start + columns].itertuples(), strict=False):
            with column.container(border=True):
                yield line


def most_probable(container: DeltaGenerator, probabilities: np.ndarray, classes: np.ndarray) -> None:
    """Bars of the largest probabilities, float (classes,)."""
    for index in np.argsort(probabilities)[::-1][:MOST_PROBABLE]:
        container.progress(float(probabilities[index]), f"{classes[index]}: {probabilities[index]:.4f}")


def neighbours(results: ClusteredRun, near: np.ndarray, columns: int) -> None:
    """The images and labels of rows that are near, by their indices of the features, nearest first."""
    features = results.features
    st.image(results.sheet(features.rows[near], columns), width="stretch")
    labels = " ".join(map(str, results.dataset.classes[features.targets[near]]))
    st.caption(f"Nearest in feature space; labels {labels}")
