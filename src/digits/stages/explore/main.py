"""The script that Streamlit runs: `digits explore` starts it with a run folder and a data source."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

from digits.competition import COMPETITION
from digits.errors import UserError
from digits.stages.explore import clusters, maps, mistakes, own, queue, selection
from digits.stages.explore.clustered_run import ClusteredRun, read
from digits.stages.explore.markdown import literal


def main(run_folder: str, data_source: str, cache: str) -> None:
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
    clustered = Path(run_folder) / "clusters/metrics.json"
    try:
        changed = clustered.stat().st_mtime if clustered.exists() else 0.0
        st.session_state.results = results = _read(run_folder, data_source, cache, changed)
        maps.keep_settings(results)
        selection.restore(results)
        chosen.run()
    except UserError as error:
        st.error(literal(str(error)))
        st.write("Then reload this page.")
        return
    own.load_ahead(results)


@st.cache_resource(max_entries=1, show_spinner="Reading the run ...")
def _read(run_folder: str, data_source: str, cache: str, changed: float) -> ClusteredRun:
    """Read the run, anew where it was clustered at another time, seconds since 1970."""
    return read(Path(run_folder), data_source or None, Path(cache))


if __name__ == "__main__":
    main(*sys.argv[1:])
