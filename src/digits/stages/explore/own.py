"""Draw or upload a digit, and see what the networks make of it. The only page that needs TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from sklearn.neighbors import NearestNeighbors

from digits.errors import UserError
from digits.figures.style import PALETTE, SERIES
from digits.stages.explore.markdown import literal
from digits.stages.explore.results import MAPS, Results
from digits.stages.predict import ink, pictures

if TYPE_CHECKING:
    from digits.stages.predict.networks import Ensemble

NEIGHBOURS = 12
CANVAS = 280


def page() -> None:
    results: Results = st.session_state.results
    st.title("Your digit")
    picture = _picture()
    if picture is None:
        st.info("Draw a digit above, or upload a picture of one.")
        return
    digit = ink.to_digit(picture, results.dataset.shape[0])
    if digit is None:
        st.warning("There is no ink in this picture.")
        return
    probabilities, features = _ensemble(results).predict(digit[None, ..., None])
    _show_prediction(results, digit, probabilities[0])
    _show_neighbours(results, features[0])


def _picture() -> np.ndarray | None:
    """What was drawn or uploaded, in shades of grey, uint8 (height, width)."""
    from streamlit_drawable_canvas import st_canvas

    draw, upload = st.columns([1, 2])
    with draw:
        canvas = st_canvas(
            fill_color="#000000", stroke_width=20, stroke_color="#000000", background_color="#FFFFFF",
            height=CANVAS, width=CANVAS, drawing_mode="freedraw", return_image_data=True, key="canvas",
        )  # fmt: skip
    with upload:
        file = st.file_uploader("or a picture", type=["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"])
    if file is not None:
        try:
            return pictures.read(file)
        except UserError as error:
            st.error(literal(f"{file.name}: {error}"))
            return None
    if canvas.image_data is None or not canvas.json_data or not canvas.json_data["objects"]:
        return None
    return np.asarray(canvas.image_data)[..., :3].mean(axis=2).astype(np.uint8)


def _ensemble(results: Results) -> Ensemble:
    """The networks, loaded once for everybody."""
    from digits.stages.predict import networks as inference

    held = _held()
    if held.get("of") is not results:
        bar = st.progress(0.0, "Loading the networks ...")
        ensemble = inference.load(results.run, results.features, bar.progress)
        bar.empty()
        held.update(of=results, ensemble=ensemble)
    return held["ensemble"]


@st.cache_resource
def _held() -> dict[str, Any]:
    """What `_ensemble` keeps. It is not cached itself: Streamlit would replay its progress bar, and fail."""
    return {}


def _show_prediction(results: Results, digit: np.ndarray, probabilities: np.ndarray) -> None:
    seen, said = st.columns([1, 2])
    seen.subheader("What they saw")
    seen.image(np.kron(255 - digit, np.ones((8, 8), np.uint8)))
    best = probabilities.argmax()
    said.subheader(f"{results.dataset.classes[best]}, with probability {probabilities[best]:.3f}")
    for of in np.argsort(probabilities)[::-1][:3]:
        said.progress(float(probabilities[of]), f"{results.dataset.classes[of]}: {probabilities[of]:.4f}")
    said.caption(
        "Calibrated on digits like those of the training data; a picture of something else has no right answer."
    )


def _show_neighbours(results: Results, feature: np.ndarray) -> None:
    """The training rows nearest in feature space, and the place on the stored map that they mark."""
    aligned = results.features.sources["aligned"]
    near = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(aligned)), algorithm="brute").fit(aligned)
    distances, places = (found[0] for found in near.kneighbors(feature[None]))
    rows = results.features.rows[places]
    st.subheader("Its neighbours")
    st.image(results.sheet(rows, NEIGHBOURS, scale=2), width="stretch")
    labels = results.dataset.classes[results.features.targets[places]]
    st.caption(
        f"nearest first; labels {' '.join(map(str, labels))}; distances {distances[0]:.2f} to {distances[-1]:.2f}"
    )
    st.subheader("Where it lands")
    name = next(name for name in MAPS if name in results.maps)
    st.plotly_chart(_landing(results, name, feature), key="landing", theme=None)
    st.caption("The star stands amid its ten nearest rows on the map.")


def _landing(results: Results, name: str, feature: np.ndarray) -> go.Figure:
    points, aligned = results.maps[name], results.features.sources["aligned"][results.mapped]
    nearest = np.argsort(((aligned - feature) ** 2).sum(axis=1))[:10]
    star = np.median(points[nearest], axis=0)
    targets = results.features.targets[results.mapped]
    chart = go.Figure()
    for target, label in enumerate(results.dataset.classes):
        of = points[targets == target]
        colour = SERIES[target % len(SERIES)]
        chart.add_trace(
            go.Scattergl(x=of[:, 0], y=of[:, 1], mode="markers", name=str(label), marker={"size": 4, "color": colour})
        )
    marker = {"symbol": "star", "size": 22, "color": PALETTE[1], "line": {"width": 2, "color": "black"}}
    chart.add_trace(go.Scatter(x=[star[0]], y=[star[1]], mode="markers", name="yours", marker=marker))
    chart.update_layout(
        height=520, margin={"l": 0, "r": 0, "t": 0, "b": 0}, plot_bgcolor="white", legend={"itemsizing": "constant"}
    )
    chart.update_xaxes(visible=False)
    chart.update_yaxes(visible=False, scaleanchor="x")
    return chart
