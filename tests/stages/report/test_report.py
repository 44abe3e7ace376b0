"""The page that holds all that is known about a run."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from browser import needs_browser
from command import refuse, succeed
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import records
from digits.runs import Run
from digits.stages import submit
from digits.stages.cluster import stage as cluster
from digits.stages.report import stage as report
from finished_run import finish, forge

DATA = demo()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A run of two kinds of nets with clusters, and its report."""
    made = finish(tmp_path_factory.mktemp("output") / "both", DATA, architectures=("small", "mlp"), spread=3.0)
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(made, {})
        cluster.run(made)
    succeed("report", "--data", "demo", "--run", "both", "--output", made.folder.parent, alone=True)
    return made


@pytest.fixture(scope="module")
def page(run) -> str:
    return (run.folder / "report.html").read_text(encoding="utf-8")


def test_it_needs_nothing_else(page):
    assert len(page) < 5_000_000
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']*)""", page) + re.findall(r"url\(|@import|<script", page)
    assert outside == []


def test_every_part_is_there(run, page):
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [
        "Result", "Data", "Recipe", "Training", "Digits", "Confidence", "Ensemble", "Clusters", "Mistakes",
        "How it was made",
    ]  # fmt: skip
    assert page.count("<img ") > 20
    assert (run.folder.parent / "eda" / "demo" / "metrics.json").exists()
    assert run.evaluation.exists()


def test_its_figures_are_those_of_the_run(run, page):
    metrics = records.read_json(run.metrics)
    evaluation = records.read_json(run.evaluation / "metrics.json")
    assert f"{metrics['oof_accuracy']:.5f}" in page
    assert f"{metrics['predicted_score']:.5f}" in page
    assert f"{evaluation['mistakes']:,} are wrong" in page
    assert f"{evaluation['calibration']['stages']['scaled by architecture']['ece']:.4f}" in page


def test_a_run_is_evaluated_anew_only_where_it_changed_whatever_the_clock_says(run, tmp_path):
    copy = Run(shutil.copytree(run.folder, tmp_path / "both"))
    shutil.copytree(run.folder.parent / "eda", tmp_path / "eda")
    record = copy.evaluation / "metrics.json"
    os.utime(record, (0, 0))
    succeed("report", "--data", "demo", "--run", "both", "--output", tmp_path)
    assert record.stat().st_mtime == 0
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(copy, {})
    os.utime(copy.oof, (0, 0))
    succeed("report", "--data", "demo", "--run", "both", "--output", tmp_path)
    assert records.read_json(record)["rule"] == "geometric"


def test_what_is_not_there_is_left_out(tmp_path):
    made = finish(tmp_path / "one", DATA, limit=1)
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(made, {})
    succeed("report", "--data", "demo", "--run", "one", "--output", tmp_path)
    assert "<h2>Clusters</h2>" not in (made.folder / "report.html").read_text(encoding="utf-8")


def test_no_run_is_a_line(tmp_path):
    assert "there is no run" in refuse("report", "--data", "demo", "--run", "none", "--output", tmp_path)


@needs_browser
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_it_fits_the_screen_and_every_picture_is_drawn(run, browser, width):
    asked, said = [], []
    with browser.new_page(viewport={"width": width, "height": 800}) as opened:
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("console", lambda message: said.append(message.text))
        opened.goto(Path(run.folder / "report.html").resolve().as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        drawn = opened.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth)")
    assert len(drawn) > 20
    assert min(drawn) > 100
    assert said == []
    assert all(url.startswith(("file:", "data:")) for url in asked)


EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\" onload='alert(1)' {{ 7 * 7 }}"
NO_TEXT = "\ud800"  # half of a character, which JSON can hold


def _crafted(run: Run, folder: Path) -> Run:
    """A copy of the run with somebody's HTML in every place that is shown."""
    shutil.copytree(run.folder.parent, folder / "output")
    made = Run(folder / "output" / run.folder.name)
    forge(made.origin, _with_evil_origin)
    forge(made.evaluation / "metrics.json", lambda of: of.update(captions=dict.fromkeys(of["captions"], EVIL)))
    forge(made.clusters / "metrics.json", lambda of: of.update(method=EVIL, space=EVIL))
    search = folder / "output/tune" / EVIL.replace("/", " ")
    search.mkdir(parents=True)
    config = {"tune": {"objective": "accuracy"}}
    (search / "search.json").write_text(json.dumps({"data": DATA.fingerprint, "config": config}))
    with (search / "leaderboard.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["status", "accuracy", "accuracy_se"], [EVIL, 1, 1], ["done", 1, 1]])
    return made


def _with_evil_origin(record: dict[str, Any]) -> None:
    record["machine"] |= {EVIL: EVIL + NO_TEXT}
    record["versions"] |= {EVIL: [EVIL]}
    for architecture in record["config"]["architectures"]:
        architecture["options"] = {EVIL: EVIL}


def _written(made: Run) -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        report.run(made, made.folder.parent / "eda/demo", made.folder.parent / "tune")
    return (made.folder / "report.html").read_text(encoding="utf-8")


def test_nothing_in_the_page_is_somebodys_html(run, tmp_path):
    text = _written(_crafted(run, tmp_path))
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7 * 7 }}" in text  # a template of somebody's is text too
    tags = re.findall(r"<(\w+)", re.sub(r"<style>.*?</style>", "", text, flags=re.S))
    assert set(tags) <= {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "nav", "a", "main", "section", "h2", "p",
        "div", "table", "thead", "tr", "th", "tbody", "td", "figure", "img", "figcaption",
    }  # fmt: skip
    assert not re.search(r"<[^>]*\son\w+\s*=", re.sub(r'"[^"]*"', "", text))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tune/x/leaderboard.csv", "status,accuracy\ndone,many\n"),
        ("tune/x/leaderboard.csv", "x\n1\n"),
        ("both/clusters/metrics.json", '{"purity": 0.5, "controls": {}}'),
        ("both/evaluation/digits.png", "no picture"),
    ],
)
def test_damaged_parts_are_a_line(run, tmp_path, name, content):
    shutil.copytree(run.folder.parent, tmp_path / "output")
    path = tmp_path / "output" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.startswith("tune"):
        search = {"data": DATA.fingerprint, "config": {"tune": {"objective": "accuracy"}}}
        (path.parent / "search.json").write_text(json.dumps(search))
    path.write_text(content)
    with pytest.raises(UserError, match=r"damaged|cannot be read") as refused:
        _written(Run(tmp_path / "output/both"))
    assert "\n" not in str(refused.value)
