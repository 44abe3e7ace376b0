"""Candidates for wrong labels, one at a time, and what you think of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from digits.data import Dataset, corrections
from digits.data.dataset import LEFT_OUT
from digits.errors import UserError
from digits.stages.explore import selection, widgets
from digits.stages.explore.clustered_run import ClusteredRun
from digits.stages.explore.markdown import literal

NEIGHBOURS, ACROSS = 12, 6
MOST_BUTTONS = 12  # of classes; of more, the one given and the one predicted
RIGHT, UNREADABLE = "label is right", "unreadable"
EARLIER = b"row,label,verdict"  # columns of files of earlier versions, whose label is the given one


def page() -> None:
    results: ClusteredRun = st.session_state.results
    widgets.head("Label queue", results)
    queue = results.queue
    st.write(
        f"**{len(queue)}** rows whose prediction, cluster and neighbours all contradict their label, the least "
        "believed label first. Each verdict is saved at once to a file, and changes nothing else."
    )
    if queue.empty:
        return
    queue = selection.only(queue)
    path = results.run.clusters / "verdicts.csv"
    verdicts = read_verdicts(path, results.dataset)
    judged = queue["row"].isin(list(verdicts)).to_numpy()
    st.progress(judged.mean(), f"{judged.sum()} of {len(queue)} judged")
    place = _place(queue, judged)
    _go(queue["row"].tolist()[place])
    _show_candidate(results, next(queue.iloc[[place]].itertuples()))
    _ask(results, queue, place, verdicts)
    if verdicts:
        st.caption(f"Saved in {literal(str(path))}; train with the verdicts:")
        st.code(f"make submit RUN=corrected SET=data.corrections={path}", language="sh")


def _place(queue: pd.DataFrame, judged: np.ndarray) -> int:
    """Place of the candidate that is shown: the one chosen, at first the first open one."""
    found = np.flatnonzero(queue["row"] == st.session_state.get("candidate"))
    return int(found[0]) if len(found) else int(judged.argmin())


def _show_candidate(results: ClusteredRun, line: NamedTuple) -> None:
    index = int(np.searchsorted(results.features.rows, line.row))
    image, believed, near = st.columns([1, 1, 2])
    image.image(results.sheet(np.array([line.row]), 1, scale=6))
    believed.write(f"Row {line.row}: label **{line.label}**, or **{line.prediction}**?")
    believed.caption(f"Probability of the label: {_rounded(line.label_probability)}")
    widgets.most_probable(believed, results.features.probabilities[index], results.dataset.classes)
    with near:
        widgets.neighbours(results, results.neighbours(index, NEIGHBOURS), ACROSS)


def _rounded(probability: float) -> str:
    return f"{probability:.4f}" if probability >= 0.0001 else "below 0.0001"


def _ask(results: ClusteredRun, queue: pd.DataFrame, place: int, verdicts: dict[int, str]) -> None:
    """Buttons for a verdict, which also a key gives, and to the other candidates."""
    rows, classes = queue["row"].tolist(), [str(label) for label in results.dataset.classes]
    row, given, predicted = rows[place], str(queue["label"].iloc[place]), str(queue["prediction"].iloc[place])
    before = verdicts.get(row)

    def judge(verdict: str | None) -> None:
        if st.session_state.candidate != row:  # a key that was pressed before the next row's buttons were there
            return
        path = results.run.clusters / "verdicts.csv"
        saved = read_verdicts(path, results.dataset)
        saved.pop(row, None)
        write_verdicts(path, saved | ({row: verdict} if verdict else {}), results.dataset)
        others = [*rows[place + 1 :], *rows[:place]]
        if verdict:
            _go(next((other for other in others if other not in saved), row))

    def offer(verdict: str, title: str, shortcut: str | None) -> None:
        kind = "primary" if verdict == before else "secondary"
        st.button(title, on_click=judge, args=(verdict,), shortcut=shortcut, type=kind, key=f"verdict {verdict}")

    with st.container(horizontal=True):
        for label in classes if len(classes) <= MOST_BUTTONS else (given, predicted):
            key = label if len(label) == 1 and label.isascii() and label.isdigit() else None
            offer(RIGHT if label == given else label, f"{label}, as given" if label == given else label, key)
        if len(classes) > MOST_BUTTONS:
            other = st.selectbox("It is", classes, None, key=f"other-{row}", label_visibility="collapsed")
            if other and other != before:
                judge(RIGHT if other == given else other)
                st.rerun()
        offer(UNREADABLE, UNREADABLE.capitalize(), "u")
        st.button("Open again", on_click=judge, args=(None,), disabled=before is None, shortcut="o")
    with st.container(horizontal=True):
        for title, step, shortcut in (("Previous", -1, "left"), ("Next", 1, "right")):
            other = rows[(place + step) % len(rows)]
            st.button(title, on_click=_go, args=(other,), shortcut=shortcut)
        selection.button("Select on the map", [row])


def _go(row: int) -> None:
    """Show this candidate from now on."""
    st.session_state.candidate = row


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


def write_verdicts(path: Path, verdicts: dict[int, str], dataset: Dataset) -> None:
    """Save verdicts as corrected labels, but for those that are none of ours."""
    targets = {UNREADABLE: LEFT_OUT} | {str(label): index for index, label in enumerate(dataset.classes)}
    decided = {
        row: int(dataset.targets[row]) if verdict == RIGHT else targets[verdict]
        for row, verdict in verdicts.items()
        if verdict == RIGHT or verdict in targets
    }
    corrections.write(path, decided, dataset)
