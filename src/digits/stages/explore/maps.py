"""The map: every row a point, recomputed and recoloured at will."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pandas as pd
import streamlit as st

from digits.competition import COMPETITION
from digits.stages.cluster import clustering
from digits.stages.explore import scatter, selection, views, widgets
from digits.stages.explore.background import Job
from digits.stages.explore.clustered_run import MAPS, ClusteredRun
from digits.stages.explore.views import SPACES, Choice, View

SETTINGS = ("colour", "labels", "only", "confidence", "k", "method", "kind", "space", "rows", "perplexity")
SHOWN = ["all", "right", "wrong"]
PAUSE = 0.5  # seconds between two looks at a job


def page() -> None:
    results: ClusteredRun = st.session_state.results
    line = widgets.head("Map", results)
    with st.sidebar:
        colouring = st.radio("Colour", list(scatter.COLOURINGS), key="colour", horizontal=True)
        is_shown = _filter(results)
        choice = _choose(results)
    view, job = _view(results, choice)
    if job:
        with line.container():
            _wait(job, view.choice)
    table = results.table.iloc[view.selected].assign(cluster=view.clusters, x=view.points[:, 0], y=view.points[:, 1])
    table = table[is_shown(table)]
    left, right = st.columns([3, 1])
    with left:
        scatter.draw(results, table, colouring, str(view.choice.drawn))
    with right:
        selection.show(results, table)
    scores = widgets.scores(view.scores | {"oof_accuracy": results.record.oof_accuracy})
    left.caption(f"{scores}  \n{_about(table, view)}")
    if job is None:
        st.session_state.ahead = views.make_ahead(results, choice)


def _about(table: pd.DataFrame, view: View) -> str:
    shown = f"{len(table):,} of {view.choice.rows:,}" if len(table) < view.choice.rows else f"{len(table):,}"
    text = f"{shown} rows in {view.scores['clusters']} clusters of their {SPACES[view.choice.space]}"
    if view.scores["noise"]:
        text += f", {view.scores['noise']:.1%} left out as noise"
    if view.choice.space == "pixels":
        return f"{text}."
    return f"{text}. The networks were trained on labels, so this is no record of unsupervised clustering."


def _filter(results: ClusteredRun) -> Callable[[pd.DataFrame], pd.Series]:
    """Draw the filter; gives what tells which lines of a table pass it."""
    st.session_state.setdefault("only", SHOWN[0])
    st.session_state.setdefault("confidence", (0.0, 1.0))
    with st.expander("Filter"):
        labels = st.multiselect(COMPETITION.noun.capitalize(), results.dataset.classes.tolist(), key="labels")
        only = st.segmented_control("Predictions", SHOWN, key="only", required=True)
        least, most = st.slider("Confidence", 0.0, 1.0, key="confidence")

    def is_shown(table: pd.DataFrame) -> pd.Series:
        passes = table["confidence"].clip(0, 1).between(least, most)
        if labels:
            passes &= table["label"].isin(labels)
        return passes if only == SHOWN[0] else passes & (table["right"] == (only == "right"))

    return is_shown


def _choose(results: ClusteredRun) -> Choice:
    """Draw the settings of the map; at first, they show what `make cluster` has computed already."""
    first, total = views.first(results), len(results.drawable)
    for name, value in asdict(first).items():
        st.session_state.setdefault(name, value)
    smallest = min(1000, first.rows)
    k = st.slider("Number of clusters k", 2, max(30, 2 * len(results.dataset.classes), first.k), key="k")
    method = st.selectbox(
        "Clusters by", list(clustering.CLUSTERERS), format_func=lambda name: name.replace("_", " "), key="method"
    )
    kind = st.selectbox("Map", list(MAPS), format_func=MAPS.get, key="kind")
    space = st.selectbox("Computed from", list(SPACES), format_func=SPACES.get, key="space")
    rows = st.slider("Rows", smallest, total, key="rows") if total > smallest else total
    low, high = min(5, first.perplexity), max(100, first.perplexity)
    perplexity = st.slider("Perplexity", low, high, key="perplexity", disabled=kind != "tsne")
    return Choice(kind, space, rows, perplexity, method, k)


def keep_settings(forget: bool) -> None:
    """Keep the settings on other pages, where Streamlit would forget them, or forget those of another clustering."""
    for name in {*SETTINGS, "shown"} & {*st.session_state}:
        if forget:
            del st.session_state[name]
        else:
            st.session_state[name] = st.session_state[name]


def _view(results: ClusteredRun, choice: Choice) -> tuple[View, Job | None]:
    """The view of a choice; or until it is computed, the one shown before, and the job that it waits for."""
    found = views.view(results, choice)
    _stop_others(found)
    if isinstance(found, Job) and "shown" in st.session_state:
        return st.session_state.shown, found
    while isinstance(found, Job):  # there is nothing to show in the meantime
        with st.spinner(found.title):
            found.result()
        found = views.view(results, choice)
    st.session_state.shown = found
    return found, None


def _stop_others(wanted: View | Job) -> None:
    """Cancel the job that this page waited for, and the one that it began ahead of time, where another is wanted."""
    if isinstance(wanted, Job):
        for name in ("waited", "ahead"):
            if (job := st.session_state.get(name)) not in (None, wanted):
                job.cancel()
        st.session_state.waited = wanted


@st.fragment(run_every=PAUSE)
def _wait(job: Job, shown: Choice) -> None:
    """Show how far a job is, and draw the page when it is done."""
    if job.done:
        if not job.cancelled:
            job.result()  # or the error that ended it
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.share, job.state)
        st.button("Cancel", on_click=_cancel, args=(job, asdict(shown)), type="tertiary")


def _cancel(job: Job, settings: dict[str, Any]) -> None:
    """Cancel a job, and go back to the settings of what is shown."""
    job.cancel()
    for name, value in settings.items():
        st.session_state[name] = value
