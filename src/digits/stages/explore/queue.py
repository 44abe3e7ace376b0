"""Candidates for wrong labels, and what you think of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from digits.data import Dataset, corrections
from digits.data.dataset import LEFT_OUT
from digits.errors import UserError
from digits.stages.explore import widgets
from digits.stages.explore.clustered_run import ClusteredRun
from digits.stages.explore.markdown import literal

A_PAGE, ACROSS = 20, 5
OPEN, RIGHT, UNREADABLE = "-", "label is right", "unreadable"
EARLIER = b"row,label,verdict"  # columns of files of earlier versions, whose label is the given one


def page() -> None:
    results: ClusteredRun = st.session_state.results
    st.title("Label queue")
    queue = results.queue
    st.write(
        f"**{len(queue)}** rows whose prediction, cluster and neighbours all contradict their label, the least "
        "believed label first. What you choose here is saved to a file and changes nothing else."
    )
    if queue.empty:
        return
    path = results.run.clusters / "verdicts.csv"
    verdicts = read_verdicts(path, results.dataset)
    candidates = widgets.page_of(queue, A_PAGE)
    with st.form("verdicts"):
        chosen = _choose(results, candidates, verdicts)
        if st.form_submit_button("Save verdicts", type="primary"):
            verdicts |= chosen
            saved = write_verdicts(path, verdicts, results.dataset)
            st.success(f"{saved} verdicts saved in {literal(str(path))}")
            st.write("Train with them:", literal(f"make submit RUN=corrected SET=data.corrections={path}"))


def _choose(results: ClusteredRun, candidates: pd.DataFrame, verdicts: dict[int, str]) -> dict[int, str]:
    """The verdict of every candidate on the page, by row."""
    chosen = {}
    options = [OPEN, RIGHT, *map(str, results.dataset.classes), UNREADABLE]
    for line in widgets.grid(candidates, ACROSS):
        st.image(results.sheet(np.array([line.row]), 1, scale=4))
        st.write(f"row {line.row}: label **{line.label}**, or **{line.prediction}**?")
        before = verdicts.get(line.row, OPEN)
        index = options.index(before) if before in options else 0
        chosen[line.row] = st.selectbox("It is", options, index, key=f"verdict-{line.row}")
    return chosen


def read_verdicts(path: Path, dataset: Dataset) -> dict[int, str]:
    """The verdicts saved before, by row.

    Raises:
        UserError: the file is damaged, or of other rows.
    """
    if not path.exists():
        return {}
    with path.open("rb") as file:
        if file.read(len(EARLIER)) == EARLIER:
            return _read_earlier(path, dataset)
    targets = corrections.read(path, dataset)
    verdicts = {row: str(dataset.classes[target]) for row, target in targets.items()}
    verdicts |= {row: RIGHT for row, target in targets.items() if target == dataset.targets[row]}
    return verdicts | {row: UNREADABLE for row, target in targets.items() if target == LEFT_OUT}


def _read_earlier(path: Path, dataset: Dataset) -> dict[int, str]:
    try:
        table = pd.read_csv(path, dtype={"row": int, "verdict": str})
        table = table[table["row"].between(0, len(dataset.targets) - 1)]
        return dict(zip(table["row"], table["verdict"], strict=True))
    except (ValueError, KeyError, OverflowError):
        raise UserError(f"{path}: damaged; mend it or delete it") from None


def write_verdicts(path: Path, verdicts: dict[int, str], dataset: Dataset) -> int:
    """Save all but the open ones as corrected labels; their number."""
    targets = {UNREADABLE: LEFT_OUT} | {str(label): index for index, label in enumerate(dataset.classes)}
    decided = {
        row: int(dataset.targets[row]) if verdict == RIGHT else targets[verdict]
        for row, verdict in verdicts.items()
        if verdict == RIGHT or verdict in targets
    }
    corrections.write(path, decided, dataset)
    return len(decided)
