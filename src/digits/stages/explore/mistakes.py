"""The digits that the ensemble gets wrong when it has not seen them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from digits.stages.explore.results import Results

A_PAGE = 12


def page() -> None:
    results: Results = st.session_state.results
    st.title("Mistakes")
    table = results.table
    wrong = table[~table["right"]].sort_values("confidence", ascending=False)
    st.write(f"**{len(wrong):,}** of {len(table):,} out-of-fold rows are wrong ({len(wrong) / len(table):.2%}).")
    if wrong.empty:
        return
    labels, predictions = st.columns(2)
    label = labels.selectbox("Label", ["any", *results.dataset.classes])
    prediction = predictions.selectbox("Predicted", ["any", *results.dataset.classes])
    if label != "any":
        wrong = wrong[wrong["label"] == label]
    if prediction != "any":
        wrong = wrong[wrong["prediction"] == prediction]
    if wrong.empty:
        st.info("No such mistake.")
        return
    st.caption(f"{len(wrong)} mistakes, the most confident first")
    pages = -(-len(wrong) // A_PAGE)
    number = st.number_input(f"Page of {pages}", 1, pages, 1) if pages > 1 else 1
    _show(results, wrong.iloc[(number - 1) * A_PAGE : number * A_PAGE])


def _show(results: Results, wrong: pd.DataFrame) -> None:
    places = np.searchsorted(results.features.rows, wrong["row"])
    for start in range(0, len(wrong), 4):
        lines = zip(st.columns(4), wrong.iloc[start : start + 4].itertuples(), places[start : start + 4], strict=False)
        for column, line, place in lines:
            with column.container(border=True):
                st.image(results.sheet(np.array([line.row]), 1, scale=5))
                st.write(f"row {line.row}: label **{line.label}**, predicted **{line.prediction}**")
                chances = results.features.probabilities[place]
                for of in np.argsort(chances)[::-1][:3]:
                    st.progress(float(chances[of]), f"{results.dataset.classes[of]}: {chances[of]:.4f}")
