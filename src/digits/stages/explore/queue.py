"""Candidates for wrong labels, and what you think of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from digits.errors import UserError
from digits.files.atomic import replacing
from digits.stages.explore import widgets
from digits.stages.explore.clustered_run import ClusteredRun
from digits.stages.explore.markdown import literal

A_PAGE, ACROSS = 20, 5
COLUMNS = ["row", "label", "verdict"]
OPEN, RIGHT, UNREADABLE = "-", "label is right", "unreadable"


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
    verdicts = read_verdicts(path)
    candidates = widgets.page_of(queue, A_PAGE)
    with st.form("verdicts"):
        chosen = _choose(results, candidates, verdicts)
        if st.form_submit_button("Save verdicts", type="primary"):
            verdicts |= chosen
            write_verdicts(path, verdicts, dict(zip(queue["row"], queue["label"], strict=True)))
            saved = sum(verdict != OPEN for verdict in verdicts.values())
            st.success(f"{saved} verdicts saved in {literal(str(path))}")


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


def read_verdicts(path: Path) -> dict[int, str]:
    """The verdicts saved before, by row.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        table = pd.read_csv(path, dtype={"row": int, "verdict": str})
        return dict(zip(table["row"], table["verdict"], strict=True))
    except (ValueError, KeyError, OverflowError):
        raise UserError(f"{path}: damaged; mend it or delete it") from None


def write_verdicts(path: Path, verdicts: dict[int, str], labels: dict[int, int | str]) -> None:
    """Save all but the open ones: row, label, verdict."""
    lines = [(row, labels.get(row, ""), verdict) for row, verdict in sorted(verdicts.items()) if verdict != OPEN]
    with replacing(path) as temporary:
        pd.DataFrame(lines, columns=COLUMNS).to_csv(temporary, index=False)
