"""The rows that the ensemble gets wrong when it has not seen them."""

from __future__ import annotations

import numpy as np
import streamlit as st

from digits.stages.explore import selection, widgets
from digits.stages.explore.clustered_run import ClusteredRun

A_PAGE, ACROSS = 12, 4


def page() -> None:
    results: ClusteredRun = st.session_state.results
    widgets.head("Mistakes", results)
    table, classes = results.table, results.dataset.classes
    wrong = table[~table["right"]].sort_values("confidence", ascending=False)
    share = len(wrong) / len(table)
    st.write(f"**{len(wrong):,}** of {len(table):,} out-of-fold predictions are wrong ({share:.2%}), the surest first.")
    if wrong.empty:
        return
    wrong = selection.only(wrong)
    *filters, button = st.columns([2, 2, 1], vertical_alignment="bottom")
    for column, name, title in zip(filters, ("label", "prediction"), ("Label", "Predicted"), strict=True):
        chosen = column.selectbox(title, ["any", *classes])
        wrong = wrong[wrong[name] == chosen] if chosen != "any" else wrong
    if wrong.empty:
        st.info("No such mistake.")
        return
    with button:
        selection.button(f"Select these {len(wrong):,}", wrong["row"])
    for line in widgets.grid(widgets.page_of(wrong, A_PAGE, "mistakes"), ACROSS):
        st.image(results.sheet(np.array([line.row]), 1, scale=5))
        st.write(f"row {line.row}: label **{line.label}**, predicted **{line.prediction}**")
        widgets.most_probable(st, results.features.probabilities[line.Index], classes)
    widgets.turn(len(wrong), A_PAGE, "mistakes")
