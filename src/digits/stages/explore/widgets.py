"""What several pages show in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

MOST_PROBABLE = 3
SCORES = {
    "purity": "Purity",
    "oof_accuracy": "Its ceiling",
    "silhouette": "Silhouette",
    "hungarian_accuracy": "Accuracy",
    "nmi": "NMI",
    "ari": "ARI",
}


def scores(values: Mapping[str, Any]) -> None:
    """Show the values that `SCORES` names side by side; None is a dash."""
    shown = {title: values[name] for name, title in SCORES.items() if name in values}
    for column, (title, value) in zip(st.columns(len(SCORES)), shown.items(), strict=False):
        column.metric(title, "-" if value is None else f"{value:.4f}")


def page_of(table: pd.DataFrame, size: int) -> pd.DataFrame:
    """The lines of the page that is chosen; a table that fits on one page leaves no choice."""
    pages = -(-len(table) // size)
    number = st.number_input(f"Page of {pages}", 1, pages, 1) if pages > 1 else 1
    return table.iloc[(number - 1) * size : number * size]


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
