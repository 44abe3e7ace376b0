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
EARLIER = b"row,label,verdict"  # columns of files of earlier versions, whose label is the given one
RIGHT, UNREADABLE = "label is right", "unreadable"  # verdicts in them
STYLE = "<style>.st-key-classes [aria-label^='Shortcut'] { display: none }</style>"  # the key is the class itself


def page() -> None:
    results: ClusteredRun = st.session_state.results
    widgets.head("Label queue", results)
    queue = results.queue
    st.write(
        f"**{len(queue)}** rows whose prediction, cluster and neighbours all contradict their label, the least "
        "believed label first. Each verdict is saved at once."
    )
    if queue.empty:
        return
    queue = selection.only(queue)
    path = results.run.clusters / "verdicts.csv"
    verdicts = read_verdicts(path, results.dataset)
    judged = queue["row"].isin(list(verdicts)).to_numpy()
    st.progress(judged.mean(), f"{judged.sum()} of {len(queue)} judged")
    place, rows = _place(queue, judged), queue["row"].tolist()
    _go(rows[place])
    line, others = next(queue.iloc[[place]].itertuples()), [*rows[place + 1 :], *rows[:place]]
    image, question, evidence = st.columns([2, 5, 4])
    image.image(results.sheet(np.array([line.row]), 1, scale=6))
    with question:
        st.write(f"Row {line.row}: label **{line.label}**, or **{line.prediction}**?")
        _ask(results, line, others, verdicts)
    with evidence:
        _show_evidence(results, line)
    if verdicts:
        st.caption(f"Saved in {literal(str(path))}; train with the verdicts:")
        st.code(f"make submit RUN=corrected SET=data.corrections={path}", language="sh")


def _place(queue: pd.DataFrame, judged: np.ndarray) -> int:
    """Place of the candidate that is shown: the one chosen, at first the first open one."""
    found = np.flatnonzero(queue["row"] == st.session_state.get("candidate"))
    return int(found[0]) if len(found) else int(judged.argmin())


def _go(row: int) -> None:
    """Show this candidate from now on."""
    st.session_state.candidate = row


def _ask(results: ClusteredRun, line: NamedTuple, others: list[int], verdicts: dict[int, int]) -> None:
    """Buttons for a verdict, which also a key gives, and to the other candidates, the next one first."""
    row, classes = line.row, results.dataset.classes

    def judge(target: int | None) -> None:
        if st.session_state.candidate != row:  # a key that was pressed before the next row's buttons were there
            return
        path = results.run.clusters / "verdicts.csv"
        saved = read_verdicts(path, results.dataset)
        saved.pop(row, None)
        corrections.write(path, saved | ({row: target} if target is not None else {}), results.dataset)
        if target is not None:
            _go(next((other for other in others if other not in saved), row))

    def offer(target: int, title: str, shortcut: str | None) -> None:
        kind = "primary" if target == verdicts.get(row) else "secondary"
        st.button(title, on_click=judge, args=(target,), shortcut=shortcut, type=kind, key=f"verdict {target}")

    st.html(STYLE)
    with st.container(horizontal=True, gap="xsmall", key="classes"):
        for target, label in enumerate(classes):
            if len(classes) <= MOST_BUTTONS or label in (line.label, line.prediction):
                key = str(label) if len(str(label)) == 1 and str(label).isascii() and str(label).isdigit() else None
                offer(target, f"{label}, as given" if label == line.label else str(label), key)
        if len(classes) > MOST_BUTTONS:
            other = st.selectbox("It is", classes, None, key=f"other-{row}", label_visibility="collapsed")
            target = None if other is None else classes.tolist().index(other)
            if target not in (None, verdicts.get(row)):
                judge(target)
                st.rerun()
    with st.container(horizontal=True, gap="xsmall"):
        offer(LEFT_OUT, "Unreadable", "u")
        st.button("Open again", on_click=judge, args=(None,), disabled=row not in verdicts, shortcut="o")
        if others:
            st.button("Previous", on_click=_go, args=others[-1:], shortcut="left")
            st.button("Next", on_click=_go, args=others[:1], shortcut="right")
        selection.button("Select on the map", [row])


def _show_evidence(results: ClusteredRun, line: NamedTuple) -> None:
    """Show the probabilities and the nearest rows, by which the label is judged."""
    index = int(np.searchsorted(results.features.rows, line.row))
    probability = f"{line.label_probability:.4f}" if line.label_probability >= 0.0001 else "below 0.0001"
    st.caption(f"Probability of the label: {probability}")
    widgets.most_probable(st, results.features.probabilities[index], results.dataset.classes)
    widgets.neighbours(results, results.neighbours(index, NEIGHBOURS), ACROSS)


def read_verdicts(path: Path, dataset: Dataset) -> dict[int, int]:
    """The verdicts saved before: the class of each row, as `corrections.read` gives them.

    Raises:
        UserError: the file is damaged, or of other rows.
    """
    if not path.exists():
        return {}
    with path.open("rb") as file:
        is_earlier = file.read(len(EARLIER)) == EARLIER
    return _read_earlier(path, dataset) if is_earlier else corrections.read(path, dataset)


def _read_earlier(path: Path, dataset: Dataset) -> dict[int, int]:
    targets = {UNREADABLE: LEFT_OUT} | {str(label): index for index, label in enumerate(dataset.classes)}
    try:
        table = pd.read_csv(path, dtype={"row": int, "verdict": str})
        table = table[table["row"].between(0, len(dataset.targets) - 1)]
        verdicts = dict(zip(table["row"].tolist(), table["verdict"], strict=True))
    except (ValueError, KeyError, OverflowError):
        raise UserError(f"{path}: damaged; mend it or delete it") from None
    right = {row: int(dataset.targets[row]) for row, verdict in verdicts.items() if verdict == RIGHT}
    return right | {row: targets[verdict] for row, verdict in verdicts.items() if verdict in targets}
