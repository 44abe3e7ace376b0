"""The clusters that `make cluster` found: sizes, mix of classes, typical and odd members."""

from __future__ import annotations

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import streamlit as st

from digits.competition import COMPETITION
from digits.figures.style import SERIES
from digits.stages.cluster.clustering import NOISE
from digits.stages.explore import widgets
from digits.stages.explore.clustered_run import ClusteredRun

SHOWN, ACROSS = 24, 6  # images of a group


def page() -> None:
    results: ClusteredRun = st.session_state.results
    record, table = results.record, results.clusters
    st.title("Clusters")
    widgets.scores(record.model_dump())
    caption = f"{record.method} in {record.space}, k = {record.k}, {record.rows:,} rows."
    probes = (record.fold_probe_before, record.fold_probe_after, record.fold_probe_chance)
    if None not in probes:
        caption += " Fold probe {:.2f} before alignment, {:.2f} after it (chance {:.2f}).".format(*probes)
    st.caption(caption)
    st.plotly_chart(_sizes(table), key="sizes", theme=None)
    numbers = [number for number in sorted(table["cluster"].unique().tolist()) if number != NOISE]
    if not numbers:
        st.info("Every row was left out as noise.")
        return
    number = st.selectbox("Cluster", numbers, key="cluster")
    _members(results, table[table["cluster"] == number])


def _sizes(table: pd.DataFrame) -> go.Figure:
    """Rows of each cluster, stacked by class."""
    counts = table.groupby(["label", "cluster"]).size().rename("rows").reset_index()
    order = {"cluster": ["noise" if number == NOISE else str(number) for number in sorted(set(counts["cluster"]))]}
    counts = counts.astype({"label": str, "cluster": str}).replace({"cluster": {str(NOISE): "noise"}})
    chart = px.bar(
        counts, x="cluster", y="rows", color="label", labels={"label": COMPETITION.noun}, category_orders=order,
        color_discrete_sequence=SERIES,
    )  # fmt: skip
    chart.update_xaxes(type="category")
    return chart.update_layout(height=360, margin={"l": 60, "r": 0, "t": 10, "b": 50}, plot_bgcolor="white")


def _members(results: ClusteredRun, members: pd.DataFrame) -> None:
    majority = members["label"].mode()[0]
    misfits = members[members["label"] != majority].sort_values("silhouette", ascending=False)
    share = 1 - len(misfits) / len(members)
    st.write(f"**{len(members):,} rows**, {share:.2%} of them labelled **{majority}**, {len(misfits)} misfits")
    near = members.sort_values("distance")
    groups = {
        "Nearest to the centroid": near,
        "Farthest from it": near[::-1],
        "Misfits, the deepest inside first": misfits,
    }
    for column, (title, rows) in zip(st.columns(len(groups)), groups.items(), strict=True):
        column.subheader(title)
        if rows.empty:
            column.caption("none")
        else:
            column.image(results.sheet(rows["row"].to_numpy()[:SHOWN], ACROSS), width="stretch")
    if not misfits.empty:
        st.dataframe(misfits, hide_index=True)
