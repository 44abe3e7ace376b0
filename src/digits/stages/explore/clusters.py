"""The clusters that `make cluster` found: sizes, digit mix, typical and odd members."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from digits.figures.style import SERIES
from digits.stages.cluster.clustering import NOISE
from digits.stages.explore.results import Results

SHOWN = 24  # images of a group


def page() -> None:
    results: Results = st.session_state.results
    st.title("Clusters")
    table = results.clusters
    _scores(results)
    st.plotly_chart(_sizes(table), key="sizes", theme=None)
    numbers = [int(number) for number in np.unique(table["cluster"]) if number != NOISE]
    if not numbers:
        st.info("Every row was left out as noise.")
        return
    number = st.selectbox("Cluster", numbers, key="cluster")
    _members(results, table[table["cluster"] == number])


def _scores(results: Results) -> None:
    record = results.record
    titles = {
        "purity": "Purity",
        "oof_accuracy": "Its ceiling",
        "silhouette": "Silhouette",
        "hungarian_accuracy": "Accuracy",
        "nmi": "NMI",
        "ari": "ARI",
    }
    for column, (name, title) in zip(st.columns(len(titles)), titles.items(), strict=True):
        column.metric(title, "-" if record[name] is None else f"{record[name]:.4f}")
    caption = f"{record['method']} in {record['space']}, k = {record['k']}, {record['rows']:,} rows."
    before, after, chance = (record[f"fold_probe_{when}"] for when in ("before", "after", "chance"))
    if None not in (before, after, chance):
        caption += f" Fold probe {before:.2f} before alignment, {after:.2f} after it (chance {chance:.2f})."
    st.caption(caption)


def _sizes(table: pd.DataFrame) -> go.Figure:
    """Rows of each cluster, stacked by digit."""
    counts = table.groupby(["label", "cluster"]).size().unstack(fill_value=0)
    chart = go.Figure()
    for place, (label, row) in enumerate(counts.iterrows()):
        names = ["noise" if number == NOISE else str(number) for number in counts.columns]
        chart.add_trace(go.Bar(x=names, y=row, name=str(label), marker={"color": SERIES[place % len(SERIES)]}))
    chart.update_layout(
        barmode="stack", height=360, margin={"l": 60, "r": 0, "t": 10, "b": 50}, plot_bgcolor="white",
        legend={"title": "digit"}, xaxis={"title": "cluster", "type": "category"}, yaxis={"title": "rows"},
    )  # fmt: skip
    return chart


def _members(results: Results, members: pd.DataFrame) -> None:
    most = members["label"].mode()[0]
    misfits = members[members["label"] != most]
    share = 1 - len(misfits) / len(members)
    st.write(f"**{len(members):,} rows**, {share:.2%} of them labelled **{most}**, {len(misfits)} misfits")
    near = members.sort_values("distance")
    columns = st.columns(3)
    groups = (
        ("Nearest to the centroid", near[:SHOWN]),
        ("Farthest from it", near[::-1][:SHOWN]),
        ("Misfits, the deepest inside first", misfits.sort_values("silhouette", ascending=False)[:SHOWN]),
    )
    for column, (title, rows) in zip(columns, groups, strict=True):
        column.subheader(title)
        if rows.empty:
            column.caption("none")
            continue
        column.image(results.sheet(rows["row"].to_numpy(), 6), width="stretch")
    if not misfits.empty:
        st.dataframe(misfits.sort_values("silhouette", ascending=False), hide_index=True)
