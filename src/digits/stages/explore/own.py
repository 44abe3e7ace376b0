"""Draw or upload a picture, and see what the networks make of it."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from sklearn.neighbors import NearestNeighbors

from digits.competition import COMPETITION
from digits.errors import UserError
from digits.figures.style import PALETTE
from digits.stages.explore import maps, widgets
from digits.stages.explore.clustered_run import BY_CHECKSUM, ClusteredRun, sheet
from digits.stages.explore.markdown import literal
from digits.stages.predict import export, ink, pictures
from digits.stages.predict.exported import Ensemble, Prediction

TITLE = f"Your {COMPETITION.noun}"
NEIGHBOURS, AROUND = 12, 10  # rows that are shown, and rows that put it on the map
CANVAS = 280
WAIT = "Preparing the networks; the first time they are exported, which takes a minute or two ..."


def page() -> None:
    results: ClusteredRun = st.session_state.results
    st.title(TITLE)
    picture = _picture()
    if picture is None:
        st.info(f"Draw a {COMPETITION.noun} above, or upload a picture of one.")
        return
    image = _image(picture, results.dataset.shape)
    if image is None:
        st.warning("There is no ink in this picture.")
        return
    prediction = _predict(results, image)
    _show_prediction(results, image, prediction.probabilities[0])
    _show_neighbours(results, prediction.features[0])


def _picture() -> np.ndarray | None:
    """What was drawn or uploaded, uint8 (height, width, 3)."""
    from streamlit_drawable_canvas import st_canvas

    draw, upload = st.columns([1, 2])
    with draw:
        canvas = st_canvas(
            fill_color="#000000", stroke_width=20, stroke_color="#000000", background_color="#FFFFFF",
            height=CANVAS, width=CANVAS, drawing_mode="freedraw", return_image_data=True, key="canvas",
        )  # fmt: skip
    with upload:
        file = st.file_uploader("or a picture", type=sorted(pictures.SUFFIXES))
    if file is not None:
        try:
            return pictures.read_colours(file)
        except UserError as error:
            st.error(literal(f"{file.name}: {error}"))
            return None
    if canvas.image_data is None or not canvas.json_data or not canvas.json_data["objects"]:
        return None
    return np.asarray(canvas.image_data)[..., :3].astype(np.uint8)


def _image(picture: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray | None:
    """A picture in the form of the training data, uint8 (1, *shape); None without ink."""
    if shape[2] > 1:
        return pictures.resized(picture, shape)
    found = ink.to_digit(pictures.grey(picture), shape[0])
    return None if found is None else found[None, ..., None]


def _predict(results: ClusteredRun, image: np.ndarray) -> Prediction:
    """Predict an image uint8 (1, height, width, channels).

    Raises:
        UserError: the run's networks cannot be exported, or what they predict does not fit its features.
    """
    ensemble = _ensemble(results)
    prediction = ensemble.predict(image)
    expected = (len(results.dataset.classes), results.features.sources["aligned"].shape[1])
    if (prediction.probabilities.shape[1], prediction.features.shape[1]) != expected:
        raise UserError(f"{ensemble.origin}: of another run; delete it, and reload this page")
    return prediction


@st.cache_resource(max_entries=1, show_spinner=WAIT, hash_funcs=BY_CHECKSUM)
def _ensemble(results: ClusteredRun) -> Ensemble:
    """The run's networks, opened once for everybody; exported first where they are not, which takes a while."""
    return export.current(results.run, results.run.config) or export.make(results.run)


def _show_prediction(results: ClusteredRun, image: np.ndarray, probabilities: np.ndarray) -> None:
    classes, best = results.dataset.classes, probabilities.argmax()
    seen, predicted = st.columns([1, 2])
    seen.subheader("What they saw")
    seen.image(sheet(image, 1, scale=8))
    predicted.subheader(f"{classes[best]}, with probability {probabilities[best]:.3f}")
    widgets.most_probable(predicted, probabilities, classes)
    predicted.caption(
        f"Calibrated on {COMPETITION.nouns} like those of the training data; a picture of something else has no right "
        "answer."
    )


def _show_neighbours(results: ClusteredRun, feature: np.ndarray) -> None:
    """The training rows nearest in feature space, and the point of the stored map that they mark."""
    features = results.features
    distances, near = _nearest(features.sources["aligned"], feature, NEIGHBOURS)
    st.subheader("Its neighbours")
    st.image(results.sheet(features.rows[near], NEIGHBOURS), width="stretch")
    labels = " ".join(map(str, results.dataset.classes[features.targets[near]]))
    st.caption(f"nearest first; labels {labels}; distances {distances[0]:.2f} to {distances[-1]:.2f}")
    st.subheader("Where it lands")
    st.plotly_chart(_landing(results, feature), key="landing", theme=None)
    st.caption("The star stands amid its ten nearest rows on the map.")


def _landing(results: ClusteredRun, feature: np.ndarray) -> go.Figure:
    """The stored map, with a star amid the rows that are nearest in feature space."""
    points, mapped = results.maps[results.first_map], results.mapped
    _, near = _nearest(results.features.sources["aligned"][mapped], feature, AROUND)
    x, y = np.median(points[near], axis=0)
    table = results.table.iloc[mapped].assign(x=points[:, 0], y=points[:, 1])
    table["cluster"] = results.clusters.set_index("row")["cluster"].reindex(table["row"]).to_numpy()
    chart = maps.chart(table, COMPETITION.noun, height=520)
    marker = {"symbol": "star", "size": 22, "color": PALETTE[1], "line": {"width": 2, "color": "black"}}
    return chart.add_trace(go.Scatter(x=[x], y=[y], mode="markers", name="yours", marker=marker))


def _nearest(features: np.ndarray, feature: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest rows of float (n, d), nearest first, and their indices."""
    index = NearestNeighbors(n_neighbors=min(count, len(features)), algorithm="brute").fit(features)
    distances, near = index.kneighbors(feature[None])
    return distances[0], near[0]
