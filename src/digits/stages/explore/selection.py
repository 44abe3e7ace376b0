"""The selected rows, which all pages share and the address keeps."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from digits.stages.explore import widgets
from digits.stages.explore.clustered_run import ClusteredRun

LISTED = 50  # rows up to which the address lists them
PACKED = "z"  # what an address with more begins with
SHOWN, ACROSS = 60, 6  # images
NEIGHBOURS = 12
PARAMETER = "rows"  # of the address


def restore(results: ClusteredRun) -> None:
    """Take the selection of the address, the first time, and keep the address as the selection is."""
    if "selection" not in st.session_state:
        found = decode(st.query_params.get(PARAMETER, ""), len(results.dataset.targets))
        select(found[np.isin(found, results.features.rows)])
    text = encode(np.array(rows()))
    if text:
        st.query_params[PARAMETER] = text
    else:
        st.query_params.pop(PARAMETER, None)


def rows() -> list[int]:
    """The selected rows, ascending."""
    return st.session_state.get("selection", [])


def select(selected: Iterable[int]) -> None:
    """Select these rows instead."""
    st.session_state.selection = np.unique(np.fromiter(selected, int)).tolist()


def encode(selected: np.ndarray) -> str:
    """Rows for an address: a list of few, a packed bit for each row where there are many."""
    if len(selected) <= LISTED:
        return ",".join(map(str, selected))
    bits = np.zeros(selected.max() + 1, bool)
    bits[selected] = True
    return PACKED + base64.urlsafe_b64encode(zlib.compress(np.packbits(bits).tobytes(), 9)).decode().rstrip("=")


def decode(text: str, count: int) -> np.ndarray:
    """The rows of `encode`, ascending, of a table of so many rows; none where the text is something else."""
    try:
        if not text.startswith(PACKED):
            found = np.array([int(part) for part in text.split(",") if part.isascii() and part.isdigit()], float)
            return np.unique(found[found < count].astype(int))
        packed = base64.urlsafe_b64decode(text[1:] + "=" * (-len(text[1:]) % 4))
        unpacked = zlib.decompressobj().decompress(packed, count // 8 + 1)
        return np.flatnonzero(np.unpackbits(np.frombuffer(unpacked, np.uint8))[:count])
    except (ValueError, OverflowError, binascii.Error, zlib.error):
        return np.empty(0, int)


def only(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of the selected rows, where somebody asks for them alone."""
    chosen = table[table["row"].isin(rows())]
    if chosen.empty or not st.toggle(f"Only the {len(chosen):,} selected", key="only_selected"):
        return table
    return chosen


def button(title: str, selected: Iterable[int], key: str | None = None) -> None:
    """A button that selects rows."""
    st.button(title, on_click=select, args=(selected,), key=key, icon=":material/select_all:")


def show(results: ClusteredRun, table: pd.DataFrame) -> None:
    """The images of the selected rows, their table and its file, and the neighbours of a single one.

    table: a line for every row that is drawn.
    """
    chosen = table[table["row"].isin(rows())]
    if chosen.empty:
        st.caption(
            "**Point** at a row to see it, **click** for its neighbours. **Lasso** (or Shift and drag) selects many, "
            "a name under the map all of its colour; Ctrl adds. The wheel zooms, until digits stand for dots."
        )
        return
    shown = chosen["row"].to_numpy()[:SHOWN]
    if len(chosen) == 1:
        _show_row(results, next(chosen.itertuples()))
    else:
        st.subheader(f"{len(chosen):,} selected", anchor=False)
        st.image(results.sheet(shown, ACROSS), width="stretch")
        counts = chosen["label"].value_counts().head(10)
        listed = ", ".join(f"{count:,} x {label}" for label, count in counts.items())
        st.caption(("" if len(chosen) <= SHOWN else f"The first {SHOWN} of them. ") + f"Labels: {listed}")
    clear, download = st.columns(2)
    clear.button("Clear", on_click=select, args=([],), width="stretch")
    columns = [column for column in chosen.columns if column not in ("x", "y")]
    file = chosen[columns].to_csv(index=False).encode()
    download.download_button("CSV", file, "selected.csv", "text/csv", width="stretch", icon=":material/download:")
    st.dataframe(chosen[columns], hide_index=True, height=200)


def _show_row(results: ClusteredRun, line: NamedTuple) -> None:
    st.subheader(f"Row {line.row}", anchor=False)
    st.image(results.sheet(np.array([line.row]), 1, scale=5))
    st.write(f"Label **{line.label}**, predicted **{line.prediction}**, cluster {line.cluster}")
    index = int(np.searchsorted(results.features.rows, line.row))
    widgets.most_probable(st, results.features.probabilities[index], results.dataset.classes)
    near = results.neighbours(index, NEIGHBOURS)
    widgets.neighbours(results, near, ACROSS)
    button("Select them", results.features.rows[near])
