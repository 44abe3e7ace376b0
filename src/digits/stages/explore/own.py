"""Draw or upload a picture, and see what the networks make of it."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from digits.competition import COMPETITION
from digits.errors import UserError
from digits.stages.explore import scatter, selection, widgets
from digits.stages.explore.background import Job
from digits.stages.explore.clustered_run import ClusteredRun, sheet
from digits.stages.explore.markdown import literal
from digits.stages.predict import export, ink, pictures, readings
from digits.stages.predict.exported import Ensemble, Prediction
from digits.stages.predict.readings import OK, Picture, Reading

TITLE = f"Your {COMPETITION.noun}"
NEIGHBOURS, AROUND = 12, 10  # rows that are shown, and rows that put it on the map
THUMBNAIL = 140  # pixels of what was judged
WAIT = "Preparing the networks; the first time they are exported, which takes a minute or two ..."
DRAWN = "your drawing"
HTML = """
<canvas width="280" height="280" role="img" aria-label="Draw here"></canvas>
<button>Clear</button>
"""
CSS = """
canvas { display: block; width: 280px; max-width: 100%; border: 1px solid #888; border-radius: 8px; touch-action: none;
  cursor: crosshair; margin-bottom: 6px; }
button { font: 14px var(--st-font, sans-serif); color: inherit; background: var(--st-secondary-background-color);
  padding: 4px 14px; border: 1px solid #8884; border-radius: 6px; cursor: pointer; }
"""
PAD = st.components.v2.component(
    "digits_pad", html=HTML, css=CSS, js=Path(__file__).with_name("pad.js").read_text(encoding="utf-8")
)


def page() -> None:
    results: ClusteredRun = st.session_state.results
    widgets.head(TITLE, results)
    job = _networks(results)
    pad, judged = st.columns([1, 2])
    below = st.container()
    picture = _picture(results, pad, below)
    several = below.toggle("Several side by side", key="several", help="as SPLIT=1 of make predict")
    if picture is None:
        judged.info(f"Draw a {COMPETITION.noun}, or upload a picture of one.")
        return
    with judged:
        with st.spinner(WAIT):
            ensemble = job.result()
        prediction = _predict(results, ensemble, picture.images)
        reading = readings.read(picture, prediction.probabilities, prediction.novelty, results.dataset.classes, several)
        _show_reading(results, reading)
    if len(picture.images) == 1:
        _show_neighbours(results, prediction.features[0])


def load_ahead(results: ClusteredRun) -> None:
    """Begin to load the networks, if they are exported already, before anybody draws."""
    if "loading" not in st.session_state and results.run.exported.exists():
        st.session_state.loading = _networks(results)


def _networks(results: ClusteredRun) -> Job:
    """The run's networks, opened once for everybody; exported first where they are not."""
    return results.jobs.get(
        ("networks", ""),
        WAIT,
        lambda _: export.current(results.run, results.run.config) or export.make(results.run),
    )


def _picture(results: ClusteredRun, pad: DeltaGenerator, below: DeltaGenerator) -> Picture | None:
    """The last picture that was drawn or uploaded, by what is drawn in two places of the page."""
    state = st.session_state
    shape = results.dataset.shape
    state.setdefault("uploads", 0)  # counted, so that each empties the pad, and a stroke empties the uploader
    with pad:
        strokes = PAD(key="pad", data={"drawing": state.uploads}, on_drawn_change=lambda: None).drawn
    file = below.file_uploader("or a picture", type=sorted(pictures.SUFFIXES), key=f"upload-{state.get('strokes', 0)}")
    try:
        if strokes is not None:
            state.picture = _brought(DRAWN, io.BytesIO(_decoded(strokes)), shape) if strokes else None
            if file is not None:
                state.strokes = state.get("strokes", 0) + 1
                st.rerun()
        elif file is not None and file.file_id != state.get("uploaded"):
            state.uploaded = file.file_id
            state.uploads += 1
            state.picture = _brought(file.name, file, shape)
            st.rerun()
    except UserError as error:
        state.picture = None
        st.error(literal(f"{DRAWN if strokes else file.name}: {error}"))
    return state.get("picture")


def _decoded(url: str) -> bytes:
    """The content of a data: URL."""
    try:
        return base64.b64decode(url.partition(",")[2], validate=True)
    except binascii.Error:
        raise UserError("no picture that can be read") from None


def _brought(name: str, file: BinaryIO, shape: tuple[int, int, int]) -> Picture:
    """A picture in the form of the training data, as `make predict` reads it.

    Raises:
        UserError: it cannot be read.
    """
    picture = pictures.read_colours(file)
    if shape[2] == 1:
        images = ink.to_digits(pictures.grey(picture), shape[0])[..., None]
    else:
        images = pictures.resized(picture, shape)
    return Picture(name, images, pictures.thumbnail(picture, THUMBNAIL))


def _predict(results: ClusteredRun, ensemble: Ensemble, images: np.ndarray) -> Prediction:
    """Predict images uint8 (n, height, width, channels).

    Raises:
        UserError: what the networks predict does not fit the run's features.
    """
    prediction = ensemble.predict(images)
    expected = (len(results.dataset.classes), results.features.sources["aligned"].shape[1])
    if (prediction.probabilities.shape[1], prediction.features.shape[1]) != expected:
        raise UserError(f"{ensemble.origin}: of another run; delete it, and reload this page")
    return prediction


def _show_reading(results: ClusteredRun, reading: Reading) -> None:
    """Show the picture, the networks' input and their prediction, in the words of the command line."""
    read, given, seen = st.columns([2, 1, 1])
    given.caption(f"Judged: {literal(reading.picture.name)}")
    given.image(reading.picture.thumbnail)
    seen.caption("What they saw")
    if len(reading.picture.images):
        seen.image(sheet(reading.picture.images, 4, scale=4))
    if reading.status != OK:
        read.warning(f"{reading.status}: {reading.note}")
    if reading.label:
        read.subheader(f"{reading.label}, with probability {reading.confidence:.3f}", anchor=False)
    if reading.probabilities is not None and len(reading.probabilities) == 1:
        widgets.most_probable(read, reading.probabilities[0], results.dataset.classes)


def _show_neighbours(results: ClusteredRun, feature: np.ndarray) -> None:
    """The training rows nearest in feature space, and the point of the stored map that they mark."""
    features = results.features
    near = results.nearest(feature, NEIGHBOURS)
    st.subheader("Its neighbours", anchor=False)
    widgets.neighbours(results, near, NEIGHBOURS)
    selection.button("Select them", features.rows[near])
    st.subheader("Where it lands", anchor=False)
    points, mapped = results.maps[results.first_map], results.mapped
    near = results.nearest(feature, AROUND, mapped)
    star = np.median(points[np.searchsorted(mapped, near)], axis=0).tolist()
    table = results.table.iloc[mapped].assign(x=points[:, 0], y=points[:, 1])
    table["cluster"] = results.clusters.set_index("row")["cluster"].reindex(table["row"]).to_numpy()
    scatter.draw(results, table, COMPETITION.noun, results.first_map, star)
    st.caption("The star stands amid its ten nearest rows on the map.")
