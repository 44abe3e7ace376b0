"""The clusters that `make cluster` found: sizes, mix of classes, typical and odd members."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from digits.competition import COMPETITION
from digits.stages.cluster.clustering import NOISE
from digits.stages.explore import scatter, selection, widgets
from digits.stages.explore.clustered_run import ClusteredRun

SHOWN, ACROSS = 24, 6  # images of a group


def page() -> None:
    results: ClusteredRun = st.session_state.results
    record, table = results.record, results.clusters
    widgets.head("Clusters", results)
    caption = f"{record.method} in {record.space}, k = {record.k}, {record.rows:,} rows."
    probes = (record.fold_probe_before, record.fold_probe_after, record.fold_probe_chance)
    if None not in probes:
        caption += " Fold probe {:.2f} before alignment, {:.2f} after it (chance {:.2f}).".format(*probes)
    st.caption(f"{widgets.scores(record.model_dump())}  \n{caption}")
    _draw_sizes(table, results)
    numbers = [number for number in sorted(table["cluster"].unique().tolist()) if number != NOISE]
    if not numbers:
        st.info("Every row was left out as noise.")
        return
    number = st.selectbox("Cluster", numbers, key="cluster")
    _show_members(results, selection.only(table[table["cluster"] == number]))


def _draw_sizes(table: pd.DataFrame, results: ClusteredRun) -> None:
    """Rows of each cluster, stacked by class."""
    counts = table.groupby(["cluster", "label"]).size().rename("rows").reset_index()
    groups = scatter.grouped(table, "label", results.dataset.classes)
    counts["cluster"] = counts["cluster"].astype(str).replace(str(NOISE), "noise")
    counts = counts.astype({"label": str}).rename(columns={"label": COMPETITION.noun})
    sizes = counts.pivot_table("rows", "cluster", COMPETITION.noun, fill_value=0, sort=False)
    st.bar_chart(sizes[groups.names], color=groups.colours, height=300, sort=False, x_label="cluster", y_label="rows")


def _show_members(results: ClusteredRun, members: pd.DataFrame) -> None:
    majority = members["label"].mode()[0]
    misfits = members[members["label"] != majority].sort_values("silhouette", ascending=False)
    share = 1 - len(misfits) / len(members)
    told, all_of_it, odd = st.columns([3, 1, 1], vertical_alignment="center")
    told.write(f"**{len(members):,} rows**, {share:.2%} of them labelled **{majority}**, {len(misfits)} misfits")
    with all_of_it:
        selection.button("Select all", members["row"])
    with odd:
        selection.button("Select the misfits", misfits["row"])
    near = members.sort_values("distance")
    groups = {
        "Nearest to the centroid": near,
        "Farthest from it": near[::-1],
        "Misfits, the deepest inside first": misfits,
    }
    for column, (title, rows) in zip(st.columns(len(groups)), groups.items(), strict=True):
        column.write(f"**{title}**")
        if rows.empty:
            column.caption("none")
        else:
            column.image(results.sheet(rows["row"].to_numpy()[:SHOWN], ACROSS), width="stretch")
    if not misfits.empty:
        st.dataframe(misfits, hide_index=True)
