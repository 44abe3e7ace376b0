"""The clusters that `make cluster` found: sizes, mix of classes, typical and odd members."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from digits.competition import COMPETITION
from digits.stages.cluster.clustering import NOISE
from digits.stages.explore import scatter, selection, widgets
from digits.stages.explore.clustered_run import ClusteredRun, ClusterRecord

SHOWN, ACROSS = 24, 6  # images of a group


def page() -> None:
    results: ClusteredRun = st.session_state.results
    record, table = results.record, results.clusters
    widgets.head("Clusters", results)
    st.caption(f"{widgets.scores(record.model_dump())}  \n{_about(record)}")
    _draw_sizes(table, results)
    numbers = [number for number in sorted(table["cluster"].unique().tolist()) if number != NOISE]
    if not numbers:
        st.info("Every row was left out as noise.")
        return
    chosen, middle, buttons = st.columns([1, 2, 2], vertical_alignment="bottom")
    number = chosen.selectbox("Cluster", numbers, key="cluster")
    with middle:
        members = selection.only(table[table["cluster"] == number])
    majority = members["label"].mode()[0]
    misfits = members[members["label"] != majority].sort_values("silhouette", ascending=False)
    share, plural = 1 - len(misfits) / len(members), "" if len(misfits) == 1 else "s"
    middle.write(f"**{len(members):,} rows**, {share:.2%} labelled **{majority}**; {len(misfits):,} misfit{plural}")
    with buttons.container(horizontal=True, horizontal_alignment="right"):
        selection.button("Select all", members["row"])
        selection.button("Select the misfits", misfits["row"])
    _show_members(results, members.sort_values("distance"), misfits)


def _about(record: ClusterRecord) -> str:
    text = f"{record.method} in {record.space}, k = {record.k}, {record.rows:,} rows."
    before, after, chance = record.fold_probe_before, record.fold_probe_after, record.fold_probe_chance
    if None in (before, after, chance):
        return text
    probe = f"{before:.0%} right before alignment, {after:.0%} after it, {chance:.0%} by chance"
    return f"{text} A probe guesses a row's fold from its features: {probe}."


def _draw_sizes(table: pd.DataFrame, results: ClusteredRun) -> None:
    """Rows of each cluster, stacked by class."""
    import altair as alt

    noun, groups = COMPETITION.noun, scatter.grouped(table, "label", results.dataset.classes)
    counts = table.groupby(["cluster", "label"]).size().rename("rows").reset_index().astype({"label": str})
    counts["cluster"] = counts["cluster"].astype(str).replace(str(NOISE), "noise")
    colours = alt.Scale(domain=groups.names, range=groups.colours)
    bars = alt.Chart(counts).mark_bar()
    bars = bars.encode(
        alt.X("cluster:N", sort=None, axis=alt.Axis(labelAngle=0)),
        alt.Y("rows:Q"),
        alt.Color("label:N", title=noun, scale=colours),
        tooltip=["cluster:N", alt.Tooltip("label:N", title=noun), "rows:Q"],
    )
    st.altair_chart(bars, height=240)


def _show_members(results: ClusteredRun, near: pd.DataFrame, misfits: pd.DataFrame) -> None:
    """Images of members, sorted by their distance from the centroid, and the table of the misfits."""
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
