"""The explorer on a run folder that somebody made to harm: a clear line, nothing fetched, nothing run."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from digits.data import corrections
from digits.data.dataset import LEFT_OUT
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Run
from digits.stages.cluster.features import gather
from digits.stages.explore import __main__ as server
from digits.stages.explore import pages, queue
from digits.stages.explore import stage as explore
from digits.stages.explore.clustered_run import CLUSTERS, QUEUE, ClusteredRun, ClusterRecord, read
from digits.stages.explore.markdown import literal
from digits.stages.predict.exported import Ensemble, Prediction
from finished_run import finish, forge

DATA = demo()
EVIL = "![x](http://127.0.0.1:9/x.png) <img src=http://127.0.0.1:9/y> [a](javascript:alert(1)) $\\frac{1}{2}$ :red[b]"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Run:
    """A finished run with clusters, in the form of `make cluster` but without its k-means."""
    run = finish(tmp_path_factory.mktemp("made") / "run", DATA)
    features = gather(run)
    features.store(run)
    mapped = {"rows": features.rows[:100], "pca": features.sources["logits"][:100, :2].astype(np.float32)}
    arrays.write(run.clusters / "embedding.npz", fingerprint=np.array(DATA.fingerprint), **mapped)
    labels = DATA.train_labels[features.rows]
    nothing = np.zeros(len(labels))
    lines = zip(features.rows, labels, labels, nothing, nothing, strict=True)
    records.write_csv(run.clusters / "clusters.csv", list(CLUSTERS), lines)
    records.write_csv(run.clusters / "label_queue.csv", list(QUEUE), [(1, features.rows[7], labels[7], labels[8], 0.1)])
    figures = dict.fromkeys(ClusterRecord.model_fields, None)
    figures |= {"method": "kmeans", "space": "aligned", "k": 10, "rows": len(labels), "perplexity": 30.0}
    records.seal(run.clusters, figures | {"oof_accuracy": 0.98, "purity": 0.97, "seconds": {}}, "metrics.json")
    return run


@pytest.fixture
def run(made, tmp_path) -> Run:
    """A copy to tamper with."""
    shutil.copytree(made.folder, tmp_path / "run")
    return dataclasses.replace(made, folder=tmp_path / "run")


def seal(run: Run) -> None:
    """Write the checksums anew, as who crafts a run would, where there still is a place for them."""
    path = run.clusters / "metrics.json"
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(path.read_text())
        records.seal(run.clusters, {key: value for key, value in record.items() if key != "checksum"}, path.name)


def opened(run: Run) -> ClusteredRun:
    """All that the pages read."""
    seal(run)
    results = read(run.folder, "demo", run.folder.parent / "cache")
    assert len(results.clusters)
    assert set(results.queue)
    assert len(results.table)
    return results


def record(name: str, change: Callable[[dict], object]) -> Callable[[Run], None]:
    return lambda run: forge(run.folder / name, change)


def altered(name: str, change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[Run], None]:
    def tamper(run: Run) -> None:
        found = arrays.read(run.folder / name)
        change(found)
        np.savez(run.folder / name, **found)

    return tamper


def csv(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Run], None]:
    def tamper(run: Run) -> None:
        change(pd.read_csv(run.clusters / name)).to_csv(run.clusters / name, index=False)

    return tamper


def absurd(run: Run) -> None:
    """A shape that would take petabytes."""
    header = io.BytesIO()
    form = {"descr": "<i8", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(header, form)
    with zipfile.ZipFile(run.oof, "w") as archive:
        archive.writestr("rows.npy", header.getvalue())


def queue_of(*line: object) -> Callable[[Run], None]:
    return csv("label_queue.csv", lambda table: pd.DataFrame([line], columns=table.columns[: len(line)]))


CRAFTED = {
    "config as a string": record("run.json", lambda old: old.update(config=EVIL)),
    "value with a picture in it": record("run.json", lambda old: old["config"].update(seed=EVIL)),
    "key with a picture in it": record("run.json", lambda old: old["config"].update({EVIL: 1})),
    "a million networks": record("run.json", lambda old: old["config"].update(seeds=10**6)),
    "data as a list": record("run.json", lambda old: old.update(data=[EVIL])),
    "method of HTML": record("clusters/metrics.json", lambda old: old.update(method=EVIL)),
    "space of HTML": record("clusters/metrics.json", lambda old: old.update(space=EVIL)),
    "NaN": record("clusters/metrics.json", lambda old: old.update(purity=float("nan"))),
    "infinite perplexity": record("clusters/metrics.json", lambda old: old.update(perplexity=float("inf"))),
    "huge number": record("clusters/metrics.json", lambda old: old.update(k=10**4000)),
    "string for a number": record("clusters/metrics.json", lambda old: old.update(silhouette=EVIL)),
    "nested number": record("clusters/metrics.json", lambda old: old.update(nmi=[[[{"a": EVIL}]]])),
    "number left out": record("clusters/metrics.json", lambda old: old.pop("ari")),
    "other rows": record("clusters/metrics.json", lambda old: old.update(rows=5)),
    "objects": altered("oof.npz", lambda old: old.update(rows=np.array([{}, {}], dtype=object))),
    "absurd shape": absurd,
    "rows beyond the table": altered("oof.npz", lambda old: old.update(rows=old["rows"] + 10**6)),
    "rows below zero": altered("oof.npz", lambda old: old.update(rows=old["rows"] - 1)),
    "rows twice": altered("oof.npz", lambda old: old.update(rows=old["rows"] // 2)),
    "text for numbers": altered("oof.npz", lambda old: old.update(probabilities=old["probabilities"].astype(str))),
    "NaN probabilities": altered("oof.npz", lambda old: old.update(probabilities=old["probabilities"] * np.nan)),
    "other classes": altered("oof.npz", lambda old: old.update(probabilities=old["probabilities"][:, :3])),
    "no fingerprint": altered("oof.npz", lambda old: old.pop("fingerprint")),
    "features of fewer rows": altered("clusters/features.npz", lambda old: old.update(aligned=old["aligned"][:5])),
    "flat features": altered("clusters/features.npz", lambda old: old.update(logits=old["logits"].ravel())),
    "map of other rows": altered("clusters/embedding.npz", lambda old: old.update(rows=old["rows"] + 10**6)),
    "map of three dimensions": altered("clusters/embedding.npz", lambda old: old.update(pca=np.zeros((100, 3)))),
    "no map": altered("clusters/embedding.npz", lambda old: old.pop("pca")),
    "clusters of HTML": csv("clusters.csv", lambda old: old.assign(cluster=EVIL)),
    "labels of HTML": csv("clusters.csv", lambda old: old.assign(label=EVIL)),
    "rows of clusters beyond": csv("clusters.csv", lambda old: old.assign(row=old["row"] + 10**6)),
    "fewer clusters": csv("clusters.csv", lambda old: old[:5]),
    "huge cluster": csv("clusters.csv", lambda old: old.assign(cluster="9" * 400)),
    "column left out": csv("clusters.csv", lambda old: old.drop(columns="silhouette")),
    "predictions of HTML": queue_of(1, 1, 1, EVIL, 0.5),
    "queue of rows below zero": queue_of(1, -1, 1, 1, 0.5),
    "binary clusters": lambda run: (run.clusters / "clusters.csv").write_bytes(b"\xff\0" * 99) and None,
    "deep record": lambda run: (run.clusters / "metrics.json").write_text("[" * 100_000) and None,
    "link elsewhere": lambda run: (run.folder / "more").symlink_to("/etc"),
}  # fmt: skip


def test_a_good_run_is_opened(run):
    assert opened(run).record.method == "kmeans"


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_run_is_refused_in_a_line(run, name):
    CRAFTED[name](run)
    with pytest.raises(UserError) as refused:
        opened(run)
    assert "\n" not in str(refused.value)


def show(folder: str, page: str) -> None:
    """A script for AppTest; a page of the explorer."""
    import importlib

    import streamlit

    from digits.stages.explore import pages

    run = folder, "demo", f"{folder}-cache"
    if page == "whole":
        pages.show(*run)
    else:
        streamlit.session_state.results = pages._read(*run, 0.0)
        importlib.import_module(f"digits.stages.explore.{page}").page()


@pytest.fixture(autouse=True)
def this_program(monkeypatch) -> None:
    """AppTest leaves its script behind as the main module, which processes that are started later would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


def shown(run: Run, page: str) -> AppTest:
    return AppTest.from_function(show, args=(str(run.folder), page), default_timeout=300).run()


@pytest.mark.parametrize("page", ["whole", "maps", "clusters", "mistakes", "queue"])
def test_every_page_of_a_good_run_is_shown(run, page):
    test = shown(run, page)
    assert not test.exception
    assert test.header
    assert not test.error


def test_a_page_waits_for_nothing_that_was_read_ahead(run):
    pages.read_ahead(str(run.folder), "demo", f"{run.folder}-cache")
    run.oof.unlink()
    assert not shown(run, "whole").error


def test_what_cannot_be_read_ahead_is_left_to_the_page(tmp_path):
    pages.read_ahead(str(tmp_path / "none"), "demo", str(tmp_path))


@pytest.mark.parametrize("name", ["key with a picture in it", "value with a picture in it"])
def test_what_an_error_repeats_of_a_file_is_text(run, name):
    CRAFTED[name](run)
    test = shown(run, "whole")
    assert not test.exception
    (error,) = test.error
    assert EVIL[:30] in error.value
    assert error.value == literal(error.value.strip("` "))


def test_a_perplexity_beyond_the_slider_is_shown(run):
    record("clusters/metrics.json", lambda old: old.update(perplexity=250.0))(run)
    assert not shown(run, "maps").exception


def upload(monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """Make every page believe that a file was uploaded."""

    def uploaded(*_: object, **__: object) -> io.BytesIO:
        file = io.BytesIO(content)
        file.name, file.file_id = name, "1"
        return file

    monkeypatch.setattr("streamlit.file_uploader", uploaded)
    monkeypatch.setattr("streamlit.delta_generator.DeltaGenerator.file_uploader", uploaded)


def test_the_name_of_an_uploaded_file_is_text(run, monkeypatch):
    upload(monkeypatch, f"../../{EVIL}.png", b"no picture")
    test = shown(run, "own")
    assert not test.exception
    (error,) = test.error
    assert error.value == literal(f"../../{EVIL}.png: no picture that can be read (of no known kind)")


def test_an_uploaded_picture_is_predicted_and_placed_by_the_exported_networks(run, monkeypatch):
    """Networks that give the answer for the training row of the picture."""
    features = read(run.folder, "demo", run.folder.parent / "cache").features
    prediction = Prediction(features.probabilities[:1], np.zeros(1), features.sources["aligned"][:1])
    ensembles = [Ensemble(lambda _: prediction, DATA.classes, DATA.shape, "of the test", {})]
    monkeypatch.setattr("digits.stages.predict.export.current", lambda *_: ensembles[0])
    content = io.BytesIO()
    Image.fromarray(np.kron(255 - DATA.train_images[0, ..., 0], np.ones((9, 9), np.uint8))).save(content, "PNG")
    upload(monkeypatch, "mine.png", content.getvalue())
    test = shown(run, "own")
    assert not test.exception
    label = DATA.train_labels[features.rows[0]]
    assert test.subheader[0].value.startswith(f"{label}, with probability 0.9")
    assert [each.value for each in test.subheader[1:]] == ["Its neighbours", "Where it lands"]
    assert any(each.value.startswith(f"Nearest in feature space; labels {label}") for each in test.caption)
    streamlit.cache_resource.clear()
    wide = prediction._replace(features=np.zeros((1, 1), np.float32))
    ensembles[0] = dataclasses.replace(ensembles[0], forward=lambda _: wide)
    (line,) = shown(run, "own").exception
    assert "of another run" in line.value
    streamlit.cache_resource.clear()


@given(text=st.text())
@example(text=EVIL)
@example(text="`` ` ``` a")
@example(text="`")
@example(text="")
def test_a_literal_is_one_span_of_code(text):
    """As CommonMark has it: the span ends where as many backticks stand as began it, and nothing within is read."""
    made = literal(text)
    fence = re.match("`+", made)[0]
    inner = made[len(fence) : -len(fence)]
    assert made == f"{fence}{inner}{fence}"
    assert inner.startswith(" ")
    assert inner.endswith(" ")
    assert "\n" not in inner
    assert fence not in re.findall("`+", inner)
    assert inner.split() == text.split()


ROWS = st.text('row,label,verdict\n0123456789"-').map(str.encode)


@given(content=st.one_of(st.binary(), ROWS, ROWS.map(lambda rows: queue.EARLIER + b"\n" + rows)))
def test_any_file_of_verdicts_is_read_or_refused(tmp_path, content):
    path = tmp_path / "verdicts.csv"
    path.write_bytes(content)
    try:
        queue.read_verdicts(path, DATA)
    except UserError as error:
        assert "\n" not in str(error)


def test_verdicts_of_an_earlier_version_are_kept(tmp_path):
    path = tmp_path / "verdicts.csv"
    assert queue.read_verdicts(path, DATA) == {}
    path.write_text("row,label,verdict\n5,4,label is right\n7,3,9\n9,1,unreadable\n11,1,-\n99999,1,2\n")
    verdicts = queue.read_verdicts(path, DATA)
    assert verdicts == {5: DATA.targets[5], 7: 9, 9: LEFT_OUT}
    corrections.write(path, verdicts, DATA)
    assert queue.read_verdicts(path, DATA) == verdicts


def test_it_serves_this_machine_alone_and_tells_nobody():
    options = explore.OPTIONS
    assert options["server.address"] == "127.0.0.1"
    assert options["server.enableCORS"] == options["server.enableXsrfProtection"] == "true"
    assert options["server.enableStaticServing"] == options["browser.gatherUsageStats"] == "false"
    assert int(options["server.maxUploadSize"]) <= 20


def test_no_page_writes_html():
    for path in Path(explore.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"unsafe_allow|st\.html\((?!STYLE\))|st\.iframe|components\.(html|iframe)|st\.latex|markdown\(", text
        ), path
    for path in Path(explore.__file__).parent.glob("*.js"):
        assert not re.search(r"HTML|eval\(|document\.write|https?:|import\(", path.read_text(encoding="utf-8")), path


def test_what_is_left_out_of_the_log_is_what_streamlit_says_of_closed_tabs():
    source = Path(importlib.util.find_spec(server.LOGGER).origin).read_text(encoding="utf-8")
    assert f'_LOGGER.exception("{server.CLOSED_TAB}")' in source
    assert "_LOGGER: Final = get_logger(__name__)" in source
