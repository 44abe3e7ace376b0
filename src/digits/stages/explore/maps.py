"""The map: every row a point, recomputed and recoloured at will."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import streamlit as st

from digits.competition import COMPETITION
from digits.figures.style import SERIES
from digits.stages.cluster import clustering, spaces
from digits.stages.explore import widgets
from digits.stages.explore.clustered_run import BY_CHECKSUM, MAPS, ClusteredRun

SPACES = {"aligned": "aligned features", "pixels": "pixels", "logits": "logits"}
COLOURS = {  # and the columns that they show
    "cluster": "cluster",
    COMPETITION.noun: "label",
    "prediction": "prediction",
    "right or wrong": "right",
    "confidence": "confidence",
}
MARKERS = {"noise": {"color": "#CCCCCC"}, "right": {"color": "#BBBBBB"}, "wrong": {"color": "#D55E00", "size": 8}}
SHOWN, ACROSS = 60, 6  # images of a selection


@dataclass(frozen=True)
class Choice:
    """What is chosen at the side."""

    kind: str
    space: str
    rows: int
    perplexity: int
    colour: str
    method: str
    k: int


def page() -> None:
    results: ClusteredRun = st.session_state.results
    st.title("Map")
    with st.sidebar:
        choice = _choose(results)
    clusters, scores = _cluster(results, choice.space, choice.rows, choice.method, choice.k)
    points = _points(results, choice)
    widgets.scores(scores)
    st.caption(
        f"{len(points):,} rows in {scores['clusters']} clusters of their {SPACES[choice.space]}, "
        f"{scores['noise']:.1%} left out as noise. The networks were trained on labels: these are no figures of "
        "unsupervised clustering, except for pixels."
    )
    table = results.table.iloc[_sample(results, choice.rows)]
    table = table.assign(cluster=clusters, x=points[:, 0], y=points[:, 1])
    left, right = st.columns([3, 1])
    drawn = chart(table, choice.colour, height=680, dragmode="lasso", uirevision="map")
    with left:
        modes = ("points", "box", "lasso")
        event = st.plotly_chart(drawn, key="map", on_select="rerun", selection_mode=modes, theme=None)
    with right:
        rows = [point["customdata"][0] for point in event["selection"]["points"]]
        _show_selection(results, table[table["row"].isin(rows)])


def _choose(results: ClusteredRun) -> Choice:
    """Draw the widgets at the side; at first, they show what `make cluster` has computed already."""
    total, mapped, classes = len(results.features.rows), len(results.mapped), len(results.dataset.classes)
    smallest, usual = min(1000, mapped), int(results.record.perplexity)
    kind = st.selectbox("Map", list(MAPS), list(MAPS).index(results.first_map), format_func=MAPS.get)
    return Choice(
        kind=kind,
        space=st.selectbox("of", list(SPACES), format_func=SPACES.get),
        rows=st.slider("Rows", smallest, total, mapped) if total > smallest else total,
        perplexity=st.slider("Perplexity", min(5, usual), max(100, usual), usual, disabled=kind != "tsne"),
        colour=st.radio("Colour", list(COLOURS)),
        method=st.selectbox(
            "Clusters by", list(clustering.CLUSTERERS), format_func=lambda name: name.replace("_", " ")
        ),
        k=st.slider("Number of clusters k", 2, max(30, classes), classes),
    )


def _sample(results: ClusteredRun, rows: int) -> np.ndarray:
    """Indices of the rows shown: those of the stored maps, fewer of them, or more."""
    mapped = results.mapped
    if rows <= len(mapped):
        return mapped[:: max(1, len(mapped) // rows)][:rows]
    others = np.setdiff1d(np.arange(len(results.features.rows)), mapped)
    drawn = np.random.default_rng(0).permutation(others)[: rows - len(mapped)]
    return np.sort(np.concatenate([mapped, drawn]))


def _vectors(results: ClusteredRun, space: str, rows: int) -> np.ndarray:
    """The rows shown in a space, float (n, d)."""
    return spaces.vectors(results.features.sources[space][_sample(results, rows)])


def _points(results: ClusteredRun, choice: Choice) -> np.ndarray:
    """The map's points, float (n, 2): the stored ones where they are what is asked for."""
    kind, record = choice.kind, results.record
    perplexity = choice.perplexity if kind == "tsne" else int(record.perplexity)
    wanted = (choice.space, choice.rows, perplexity)
    if kind in results.maps and wanted == (record.space, len(results.mapped), int(record.perplexity)):
        return results.maps[kind]
    computed = st.session_state.setdefault("maps", {})  # Streamlit's cache would replay the progress bar, and fail
    key = (results.checksum, kind, *wanted)
    if key not in computed:
        vectors = _vectors(results, choice.space, choice.rows)
        with st.spinner(f"{MAPS[kind]} of {len(vectors):,} rows ..."):
            computed[key] = _draw(kind, vectors, perplexity)
    return computed[key]


def _draw(kind: str, vectors: np.ndarray, perplexity: int) -> np.ndarray:
    """A map, float (n, 2), of vectors float (n, d)."""
    if kind == "pca":
        return spaces.pca(vectors, 0, components=2)
    if vectors.shape[1] > 4 * spaces.COMPONENTS:  # pixels, of which everybody gives t-SNE and UMAP the first components
        vectors = spaces.pca(vectors, 0)
    if kind == "umap":
        return spaces.umap(vectors, 0)
    bar = st.progress(0.0)
    points = spaces.tsne(vectors, 0, perplexity, progress=bar.progress)
    bar.empty()
    return points


@st.cache_data(max_entries=30, show_spinner="Clustering ...", hash_funcs=BY_CHECKSUM)
def _cluster(results: ClusteredRun, space: str, rows: int, method: str, k: int) -> tuple[np.ndarray, dict[str, float]]:
    """Cluster the rows shown: int (n,), and the scores; the clusters of `make cluster` where they are asked for."""
    record, selected, vectors = results.record, _sample(results, rows), _vectors(results, space, rows)
    targets = results.features.targets[selected]
    if (space, method, k, len(results.table)) == (record.space, record.method, record.k, record.rows):
        clusters = results.clusters["cluster"].to_numpy()[selected]
    else:
        clusters = clustering.ordered(clustering.CLUSTERERS[method].fit(vectors, k, 0), targets)
    silhouette = pd.Series(clustering.silhouettes(vectors, clusters)).mean()
    return clusters, clustering.agreement(clusters, targets) | {"silhouette": float(silhouette)}


def chart(table: pd.DataFrame, colour: str, **layout: Any) -> go.Figure:
    """Draw the rows of a table as points: row, label, prediction, confidence, right, cluster, x, y.

    colour: one of `COLOURS`. layout: Plotly's; its height at least.
    """
    column = COLOURS[colour]
    table = table.sort_values(column)
    if column == "right":
        table[column] = np.where(table[column], "right", "wrong")
    elif column == "cluster":
        table[column] = np.where(table[column] == clustering.NOISE, "noise", table[column].astype(str))
    elif column != "confidence":
        table[column] = table[column].astype(str)
    hover = {"x": False, "y": False, "label": True, "prediction": True, "confidence": ":.4f", "cluster": True}
    points = px.scatter(
        table, x="x", y="y", color=column, labels={column: colour}, custom_data=["row"], hover_name="row",
        hover_data=hover, opacity=0.7, render_mode="webgl", color_discrete_sequence=SERIES,
        color_continuous_scale="Viridis",
    )  # fmt: skip
    points.update_traces(marker_size=5)
    for name, marker in MARKERS.items():
        points.update_traces(marker=marker, selector={"name": name})
    margin = {"l": 0, "r": 0, "t": 0, "b": 0}
    points.update_layout(margin=margin, plot_bgcolor="white", legend_itemsizing="constant", **layout)
    points.update_xaxes(visible=False)
    return points.update_yaxes(visible=False, scaleanchor="x")


def _show_selection(results: ClusteredRun, selected: pd.DataFrame) -> None:
    """The images of the points that were clicked or lassoed."""
    shown = selected["row"].to_numpy()[:SHOWN]
    if selected.empty:
        st.caption("Click a point, or draw a lasso around some: their images stand here.")
    elif len(selected) == 1:
        line = selected.iloc[0]
        st.subheader(f"Row {line['row']}")
        st.image(results.sheet(shown, 1, scale=8))
        st.write(
            f"label **{line['label']}**, predicted **{line['prediction']}** ({line['confidence']:.4f}), "
            f"cluster {line['cluster']}"
        )
    else:
        st.subheader(f"{len(selected):,} selected")
        st.image(results.sheet(shown, ACROSS), width="stretch")
        if len(selected) > SHOWN:
            st.caption(f"the first {SHOWN} of them")
        st.dataframe(selected["label"].value_counts().rename("rows"), height=220)
