"""The pages of a run, and the run that they share."""

from __future__ import annotations

import contextlib
from pathlib import Path

import streamlit as st

from digits.competition import COMPETITION
from digits.errors import UserError
from digits.stages.explore import clusters, maps, mistakes, own, queue, selection, views
from digits.stages.explore.clustered_run import ClusteredRun, read
from digits.stages.explore.markdown import literal


def show(run_folder: str, data_source: str, cache: str) -> None:
    """Draw the page that is chosen at the top."""
    st.set_page_config(page_title=f"{COMPETITION.title}: {Path(run_folder).name}", page_icon="✍️", layout="wide")
    pages = [
        st.Page(maps.page, title="Map", icon=":material/scatter_plot:", url_path="map", default=True),
        st.Page(clusters.page, title="Clusters", icon=":material/bubble_chart:", url_path="clusters"),
        st.Page(mistakes.page, title="Mistakes", icon=":material/error:", url_path="mistakes"),
        st.Page(queue.page, title="Label queue", icon=":material/rule:", url_path="queue"),
        st.Page(own.page, title=own.TITLE, icon=":material/draw:", url_path="own"),
    ]
    chosen = st.navigation(pages, position="top")
    try:
        with st.spinner("Reading the run ..."):
            changed = _changed(run_folder)
            results = _read(run_folder, data_source, cache, changed)
        maps.keep_settings(forget=st.session_state.get("changed") != changed)
        st.session_state.results, st.session_state.changed = results, changed
        selection.restore(results)
        chosen.run()
    except UserError as error:
        st.error(literal(str(error)))
        st.write("Then reload this page.")
        return
    own.load_ahead(results)


def read_ahead(run_folder: str, data_source: str, cache: str) -> None:
    """Read the run and prepare its map before anybody opens a page."""
    with contextlib.suppress(UserError):  # which the page shows
        results = _read(run_folder, data_source, cache, _changed(run_folder))
        views.view(results, views.first(results))
        _ = results.table, results.sprite


def _changed(run_folder: str) -> float:
    """When the run was clustered, in seconds since 1970."""
    clustered = Path(run_folder) / "clusters/metrics.json"
    return clustered.stat().st_mtime if clustered.exists() else 0.0


@st.cache_resource(max_entries=1, show_spinner=False)
def _read(run_folder: str, data_source: str, cache: str, changed: float) -> ClusteredRun:
    """Read the run, anew where it was clustered at another time."""
    return read(Path(run_folder), data_source or None, Path(cache))
