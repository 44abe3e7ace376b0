"""The map: every row a point, recomputed and recoloured at will."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from digits.figures.style import SERIES
from digits.stages.cluster import clustering, spaces
from digits.stages.explore.results import Results

STORED = {"aligned": "aligned features", "pixels": "pixels", "logits": "logits"}
MAPS = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PCA"}
COLOURS = ("cluster", "digit", "prediction", "right or wrong", "confidence")
SHOWN = 60  # images of a selection
REMEMBERED = 30  # maps, clusterings and scores of a session


def page() -> None:
    results: Results = st.session_state.results
    st.title("Map")
    with st.sidebar:
        choice = _choose(results)
    places = _sample(results, choice["rows"])
    points = _points(results, places, choice)
    clusters = _clusters(results, places, choice)
    _scores(results, places, clusters, choice)
    table = results.table.iloc[places].assign(cluster=clusters, x=points[:, 0], y=points[:, 1])
    picture, selection = st.columns([3, 1])
    with picture:
        chart = _chart(table, choice["colour"])
        event = st.plotly_chart(
            chart, key="map", on_select="rerun", selection_mode=("points", "box", "lasso"), theme=None
        )
    with selection:
        _selection(results, table, _rows(chart, event["selection"]["points"]))


def _choose(results: Results) -> dict:
    """What the widgets at the side say; at first, what `make cluster` has computed already."""
    total = len(results.features.rows)
    stored = [name for name in MAPS if name in results.maps]
    kind = st.selectbox("Map", list(MAPS), list(MAPS).index(stored[0]), format_func=MAPS.get)
    space = st.selectbox("of", list(STORED), format_func=STORED.get)
    mapped = len(results.mapped)
    smallest = min(1000, mapped)
    rows = st.slider("Rows", smallest, total, mapped) if total > smallest else total
    usual = int(results.record["perplexity"])
    perplexity = st.slider("Perplexity", min(5, usual), max(100, usual), usual, disabled=kind != "tsne")
    colour = st.radio("Colour", COLOURS)
    method = st.selectbox("Clusters by", list(clustering.CLUSTERERS), format_func=lambda name: name.replace("_", " "))
    classes = len(results.dataset.classes)
    k = st.slider("Number of clusters k", 2, max(30, classes), classes)
    return {
        "kind": kind,
        "space": space,
        "rows": rows,
        "perplexity": perplexity,
        "colour": colour,
        "method": method,
        "k": k,
    }


def _sample(results: Results, rows: int) -> np.ndarray:
    """Places of the rows shown: those of the stored maps, fewer of them, or more."""
    if rows <= len(results.mapped):
        return results.mapped[:: max(1, len(results.mapped) // rows)][:rows]
    others = np.setdiff1d(np.arange(len(results.features.rows)), results.mapped)
    drawn = np.random.default_rng(0).permutation(others)[: rows - len(results.mapped)]
    return np.sort(np.concatenate([results.mapped, drawn]))


def _remembered() -> dict:
    """What was computed in this session, by what it was computed of; the oldest goes first."""
    computed = st.session_state.setdefault("computed", {})
    while len(computed) > REMEMBERED:
        computed.pop(next(iter(computed)))
    return computed


def _points(results: Results, places: np.ndarray, choice: dict) -> np.ndarray:
    """The map's points, float (n, 2): the stored ones where they are what is asked for."""
    kind, record = choice["kind"], results.record
    usual = choice["space"] == record["space"] and choice["rows"] == len(results.mapped)
    if kind in results.maps and usual and (kind != "tsne" or choice["perplexity"] == int(record["perplexity"])):
        return results.maps[kind]
    key = ("points", kind, choice["space"], choice["rows"], choice["perplexity"] if kind == "tsne" else None)
    if key not in _remembered():
        rows = spaces.vectors(results.features.sources[choice["space"]][places])
        with st.spinner(f"{MAPS[kind]} of {len(places):,} rows ..."):
            if kind == "pca":
                points = spaces.pca(rows, 0, components=2)
            elif kind == "tsne":
                bar = st.progress(0.0)
                points = spaces.tsne(_narrow(rows), 0, choice["perplexity"], progress=bar.progress)
                bar.empty()
            else:
                points = spaces.umap(_narrow(rows), 0)
        _remembered()[key] = points
    return _remembered()[key]


def _narrow(rows: np.ndarray) -> np.ndarray:
    """Pixels by their first components, as everybody gives them to t-SNE and UMAP."""
    return spaces.pca(rows, 0) if rows.shape[1] > 4 * spaces.COMPONENTS else rows


def _clusters(results: Results, places: np.ndarray, choice: dict) -> np.ndarray:
    """The cluster of every row shown: those of `make cluster` where they are what is asked for."""
    asked = {"space": choice["space"], "method": choice["method"], "k": choice["k"], "rows": len(results.features.rows)}
    if asked == {name: results.record[name] for name in asked}:
        return results.clusters["cluster"].to_numpy()[places]
    key = ("clusters", choice["space"], choice["rows"], choice["method"], choice["k"])
    if key not in _remembered():
        rows = spaces.vectors(results.features.sources[choice["space"]][places])
        clusterer = clustering.CLUSTERERS[choice["method"]]
        with st.spinner(f"{choice['method'].replace('_', ' ')} of {len(places):,} rows ..."):
            found = clusterer.fit(rows, choice["k"], 0)
            _remembered()[key] = clustering.ordered(found, results.features.targets[places])
    return _remembered()[key]


def _scores(results: Results, places: np.ndarray, clusters: np.ndarray, choice: dict) -> None:
    """The scores of the clusters shown, live."""
    key = ("scores", choice["space"], choice["rows"], choice["method"], choice["k"])
    if key not in _remembered():
        rows = spaces.vectors(results.features.sources[choice["space"]][places])
        scores = clustering.agreement(clusters, results.features.targets[places])
        silhouette = clustering.mean_interval(clustering.silhouettes(rows, clusters), 0).value
        _remembered()[key] = scores | {"silhouette": silhouette}
    scores = _remembered()[key]
    names = {
        "purity": "Purity",
        "silhouette": "Silhouette",
        "hungarian_accuracy": "Accuracy",
        "nmi": "NMI",
        "ari": "ARI",
    }
    for column, (name, title) in zip(st.columns(len(names) + 1), names.items(), strict=False):
        column.metric(title, f"{scores[name]:.4f}")
    st.caption(
        f"{len(places):,} rows in {scores['clusters']} clusters of their {STORED[choice['space']]}, "
        f"{scores['noise']:.1%} left out as noise. The networks were trained on labels: these are no figures of "
        "unsupervised clustering, except for pixels."
    )


def _chart(table: pd.DataFrame, colour: str) -> go.Figure:
    chart = go.Figure()
    if colour == "confidence":
        bar = {"color": table["confidence"], "colorscale": "Viridis", "colorbar": {"title": "confidence"}}
        chart.add_trace(_trace(table, "confidence", bar))
    else:
        column = {"digit": "label", "right or wrong": "right"}.get(colour, colour)
        for place, (value, rows) in enumerate(table.groupby(column)):
            chart.add_trace(_trace(rows, *_group(colour, value, place)))
    chart.update_layout(
        height=680, margin={"l": 0, "r": 0, "t": 0, "b": 0}, legend={"title": colour, "itemsizing": "constant"},
        plot_bgcolor="white", dragmode="lasso", uirevision="map",
    )  # fmt: skip
    chart.update_xaxes(visible=False)
    chart.update_yaxes(visible=False, scaleanchor="x")
    return chart


def _group(colour: str, value: object, place: int) -> tuple[str, dict]:
    """Name and marker of a group of points."""
    if colour == "right or wrong":
        marker = {"color": "#BBBBBB"} if value else {"color": "#D55E00", "size": 8}
        return ("right" if value else "wrong"), marker
    if value == clustering.NOISE and colour == "cluster":
        return "noise", {"color": "#CCCCCC"}
    return str(value), {"color": SERIES[place % len(SERIES)]}


def _trace(rows: pd.DataFrame, name: str, marker: dict) -> go.Scattergl:
    hover = "row %{customdata[0]}<br>label %{customdata[1]}, predicted %{customdata[2]} (%{customdata[3]:.4f})<br>"
    return go.Scattergl(
        x=rows["x"],
        y=rows["y"],
        mode="markers",
        name=name,
        marker={"size": 5, "opacity": 0.7} | marker,
        customdata=rows[["row", "label", "prediction", "confidence", "cluster"]].to_numpy(),
        hovertemplate=hover + "cluster %{customdata[4]}<extra></extra>",
    )


def _rows(chart: go.Figure, points: list[dict]) -> list[int]:
    """The training rows of the selected points."""
    return [int(chart.data[point["curve_number"]].customdata[point["point_index"]][0]) for point in points]


def _selection(results: Results, table: pd.DataFrame, rows: list[int]) -> None:
    """The images of the points that were clicked or lassoed."""
    if not rows:
        st.caption("Click a point, or draw a lasso around some: their images stand here.")
        return
    of = table[table["row"].isin(rows)]
    shown = of["row"].to_numpy()[:SHOWN]
    st.subheader(f"{len(of):,} selected" if len(of) > 1 else f"Row {shown[0]}")
    if len(of) == 1:
        line = of.iloc[0]
        st.image(results.sheet(shown, 1, scale=8))
        st.write(
            f"label **{line['label']}**, predicted **{line['prediction']}** ({line['confidence']:.4f}), "
            f"cluster {line['cluster']}"
        )
        return
    st.image(results.sheet(shown, 6), width="stretch")
    if len(of) > SHOWN:
        st.caption(f"the first {SHOWN} of them")
    st.dataframe(of["label"].value_counts().rename("rows"), height=220)
