"""The page that holds all that is known about a run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from browser import needs_browser
from command import refuse, succeed
from digits import config
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import records
from digits.runs import Run
from digits.stages import submit
from digits.stages.evaluate import stage as evaluate
from digits.stages.report import stage as report
from finished_run import finish, forge

DATA = demo()


def _seal(folder: Path, names: Sequence[str], record: dict[str, Any], name: str = "metrics.json") -> None:
    """Write what another stage would: pictures and a record."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in names:
        Image.new("L", (1600, 400)).save(folder / f"{picture}.png")
    records.seal(folder, record | {"seconds": {}}, name, beside=["search.json"])


def _write(run: Run) -> str:
    """Write the page; its text."""
    with contextlib.redirect_stdout(io.StringIO()):
        report.run(run, run.folder.parent / "eda/demo", run.folder.parent / "tune")
    return (run.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """An evaluated run of two architectures, with what the other stages would have written."""
    output = tmp_path_factory.mktemp("output")
    made = finish(output / "both", DATA, architectures=("small", "mlp"), spread=3.0)
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(made, {})
        evaluate.run(made)
    eda = {"data": {"train": DATA.fingerprint}, "captions": {"means.png": "The means."}}
    _seal(output / "eda/demo", ["means"], eda)
    _seal(made.clusters, report.CLUSTERS, {"purity": 0.9, "findings": ["The clusters are pure."]})
    for name, fingerprint in (("first", DATA.fingerprint), ("other", "of other rows")):
        _seal(output / "tune" / name, report.SEARCH, {"findings": ["Six trials."]}, "results.json")
        records.write_twice(output / "tune" / name / "search.json", {"data": fingerprint})
    return made


@pytest.fixture(scope="module")
def page(run) -> str:
    return _write(run)


@pytest.fixture
def copy(run, tmp_path) -> Run:
    """A copy of the run, and of everything beside it."""
    shutil.copytree(run.folder.parent, tmp_path / "output")
    return dataclasses.replace(run, folder=tmp_path / "output" / run.folder.name)


def _titles(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_it_needs_nothing_else(page):
    assert len(page) < 5_000_000
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']*)""", page) + re.findall(r"url\(|@import|<script", page)
    assert outside == []


def test_every_part_is_there(page):
    assert _titles(page) == [
        "Result", "Data", "Recipe", "Training", "Digits", "Confidence", "Ensemble", "Clusters", "Tuning first",
        "Mistakes", "How it was made",
    ]  # fmt: skip
    assert page.count("<img ") == 9 + 1 + len(report.CLUSTERS) + len(report.SEARCH)
    assert "Digit Recognizer asks for the digit" in page
    for text in ("The means.", "The clusters are pure.", "Six trials."):
        assert text in page


def test_its_figures_and_sentences_are_those_of_the_run(run, page):
    metrics = records.read_json(run.metrics)
    evaluation = records.read_json(run.evaluation / "metrics.json")
    assert f"{metrics['oof_accuracy']:.5f}" in page
    assert f"{metrics['predicted_score']:.5f}" in page
    assert f"{evaluation['classes'][3]['recall']:.4f}" in page
    for sentences in evaluation["findings"].values():
        assert all(sentence in page for sentence in sentences)


def test_the_model_card_says_the_same_of_the_run(run, page):
    metrics = records.read_json(run.metrics)
    found = records.read_json(run.evaluation / "metrics.json")["findings"]
    _, head, text = (run.folder / "MODEL_CARD.md").read_text(encoding="utf-8").split("---\n", 2)
    known = yaml.safe_load(head)
    assert known["license"] == "mit"
    assert known["pipeline_tag"] == "image-classification"
    (result,) = known["model-index"][0]["results"]
    assert result["metrics"] == [
        {"type": "accuracy", "name": "out-of-fold accuracy", "value": round(metrics["oof_accuracy"], 5)}
    ]
    titles = ["Data", "Recipe", "Scores", "Limits", "How it was made", "Use"]
    assert re.findall(r"(?m)^## (.*)", text) == titles
    for sentence in (*found["scores"], *found["classes"], *found["confidence"]):
        assert f"\n{sentence}\n" in text
    assert f"{metrics['predicted_low']:.5f} to {metrics['predicted_high']:.5f}" in text
    assert "| images | uint8, 28 x 28 pixels, 1 channel |" in text
    assert f"| fingerprint, train | {DATA.fingerprint} |" in text
    assert "`make export RUN=both` writes `ensemble.onnx`, which" in text


def test_a_run_is_evaluated_anew_only_where_it_changed_whatever_the_clock_says(copy):
    os.utime(copy.evaluation / "metrics.json", (0, 0))
    assert report.is_evaluated(copy)
    voting = dataclasses.replace(copy, config=config.replaced(copy.config, {"ensemble.rule": "vote"}, "test"))
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(voting, {})
    os.utime(copy.oof, (0, 0))
    assert not report.is_evaluated(copy)
    with pytest.raises(UserError, match="has not been evaluated as it is"):
        _write(copy)


def test_an_evaluation_of_an_earlier_version_is_made_anew(copy):
    forge(copy.evaluation / "metrics.json", lambda record: record.pop("findings"))
    assert not report.is_evaluated(copy)


def test_what_is_not_there_is_left_out(copy):
    for folder in (copy.clusters, copy.folder.parent / "eda", copy.folder.parent / "tune"):
        shutil.rmtree(folder)
    assert not {"Data", "Clusters", "Tuning first"} & set(_titles(_write(copy)))


@pytest.mark.slow
def test_the_command_makes_what_is_missing(tmp_path):
    made = finish(tmp_path / "one", DATA, limit=1)
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(made, {})
    succeed("report", "--data", "demo", "--run", "one", "--output", tmp_path, alone=True)
    titles = _titles((made.folder / "report.html").read_text(encoding="utf-8"))
    assert {"Data", "Digits", "Mistakes"} <= set(titles)
    assert "Clusters" not in titles


def test_no_run_is_a_line(tmp_path):
    assert "there is no run" in refuse("report", "--data", "demo", "--run", "none", "--output", tmp_path)


@needs_browser
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_it_fits_the_screen_and_every_picture_is_drawn(run, page, browser, width):
    requests, messages = [], []
    with browser.new_page(viewport={"width": width, "height": 800}) as opened:
        opened.on("request", lambda request: requests.append(request.url))
        opened.on("console", lambda message: messages.append(message.text))
        opened.goto(Path(run.folder / "report.html").resolve().as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        widths = opened.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
    assert len(widths) > 20
    assert min(widths) > 100
    assert messages == []
    assert all(url.startswith(("file:", "data:")) for url in requests)


EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\" onload='alert(1)' {{ 7 * 7 }}"
NO_TEXT = "\ud800"  # half of a character, which JSON can hold


def test_nothing_in_the_page_is_somebodys_html(copy):
    forge(copy.origin, _add_evil_origin)
    forge(copy.evaluation / "metrics.json", _add_evil_words)
    forge(copy.clusters / "metrics.json", lambda record: record.update(findings=[EVIL], captions={"sizes.png": EVIL}))
    first = copy.folder.parent / "tune/first"
    first.rename(first.with_name(EVIL.replace("/", " ")))
    text = _write(dataclasses.replace(copy, config=copy.recorded_config()))
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7 * 7 }}" in text  # a template of somebody's is text too
    tags = re.findall(r"<(\w+)", re.sub(r"<style>.*?</style>", "", text, flags=re.S))
    assert set(tags) <= {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "nav", "a", "main", "section", "h2", "p",
        "div", "table", "thead", "tr", "th", "tbody", "td", "figure", "img", "figcaption",
    }  # fmt: skip
    assert not re.search(r"<[^>]*\son\w+\s*=", re.sub(r'"[^"]*"', "", text))
    card = (copy.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert r"\<script>alert(1)\</script>\<img" in card
    assert not re.search(r"(?<!\\)[<\[]", card.replace("```python", "").partition("## Use")[0].partition("\n# ")[2])


def _add_evil_origin(record: dict[str, Any]) -> None:
    record["machine"] |= {EVIL: EVIL + NO_TEXT}
    record["versions"] |= {EVIL: [EVIL]}
    for architecture in record["config"]["architectures"]:
        architecture["options"] = {EVIL: EVIL}


def _add_evil_words(record: dict[str, Any]) -> None:
    record["captions"] = dict.fromkeys(record["captions"], EVIL)
    record["findings"] = {section: [EVIL] for section in record["findings"]}
    record["classes"][0]["class"] = EVIL


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tune/first/search.json", lambda record: record.pop("data")),
        ("both/clusters/metrics.json", lambda record: record.update(sha256={})),
        ("both/clusters/metrics.json", lambda record: record.update(findings=5)),
        ("both/evaluation/metrics.json", lambda record: record.update(findings={"scores": [], "classes": 5})),
        ("both/evaluation/metrics.json", lambda record: record.update(classes=[{"class": 1}])),
        ("both/metrics.json", lambda record: record.pop("oof_accuracy_std")),
    ],
)
def test_damaged_parts_are_a_line(copy, name, change):
    forge(copy.folder.parent / name, change)
    with pytest.raises(UserError, match=r": damaged|are damaged or of another version") as refused:
        _write(copy)
    assert "\n" not in str(refused.value)


def test_a_damaged_search_is_left_out(copy, caplog):
    (copy.folder.parent / "tune/first/progress.png").write_text("no picture")
    assert "Tuning first" not in _titles(_write(copy))
    assert "first is damaged or half written" in caplog.text


@pytest.mark.parametrize("size", [None, (9000, 9000)], ids=["no picture", "too large"])
def test_a_picture_that_cannot_be_read_is_a_line(copy, size):
    path = copy.folder.parent / "eda/demo/means.png"
    if size:
        Image.new("1", size).save(path)
    else:
        path.write_text("no picture")
    _seal(path.parent, [], {"data": {"train": DATA.fingerprint}, "captions": {"means.png": ""}})
    with pytest.raises(UserError, match=r"means.png: cannot be read") as refused:
        _write(copy)
    assert "\n" not in str(refused.value)
