"""The page that holds all that is known about a run."""

from __future__ import annotations

import base64
import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from PIL import Image

from browser import needs_browser
from command import refuse, succeed
from digits import config, pipeline
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Run
from digits.stages import submit
from digits.stages.evaluate import stage as evaluate
from digits.stages.report import inputs, point_map, sections
from digits.stages.report import stage as report
from finished_run import finish, forge

if TYPE_CHECKING:
    from playwright.sync_api import Page

DATA = demo()


CLUSTERS = ["map_pca", "map_tsne", *sections.CLUSTERS, "cluster_0", "cluster_1", "label_queue"]
SEARCH = ["progress", "parallel"]


def _seal(folder: Path, names: Sequence[str], record: dict[str, Any], name: str = "metrics.json") -> None:
    """Write what another stage would: figures with captions, and a record."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in names:
        Image.new("L", (960, 400)).save(folder / f"{picture}.png")
    captions = {
        f"{each}.png": {"title": f"Title of {folder.name} {each}", "text": f"Look at {each}."} for each in names
    }
    records.seal(folder, {"captions": captions} | record | {"seconds": {}}, name, beside=["search.json"])


def _cluster(run: Run) -> None:
    """Write what `make cluster` would: a map of some rows, and a row whose label may be wrong."""
    rows = np.sort(np.random.default_rng(0).permutation(len(DATA.train_labels))[:500])
    points = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    run.clusters.mkdir()
    arrays.write(run.clusters / "embedding.npz", rows=rows, tsne=points, fingerprint=np.array(DATA.fingerprint))
    records.write_csv(run.clusters / "label_queue.csv", ["rank", "row", "label", "prediction"], [(1, 7, 3, 8)])
    _seal(run.clusters, CLUSTERS, {"purity": 0.9, "findings": ["The clusters are pure."]})


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
    _seal(output / "eda/demo", ["means"], {"data": {"train": DATA.fingerprint}})
    _cluster(made)
    for name, fingerprint in (("first", DATA.fingerprint), ("other", "of other rows")):
        _seal(output / "tune" / name, SEARCH, {"findings": ["Six trials."]}, "results.json")
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


def _sections(page: str) -> dict[str, str]:
    """HTML of each section by its title."""
    parts = re.split(r"<h2>(.*?)</h2>", page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_it_needs_nothing_else(page):
    assert len(page) < 5_000_000
    without = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']*)""", without)
    assert outside + re.findall(r"url\(|@import|<script[^>]*src", page) == []


def test_only_its_own_script_runs(page):
    """A browser refuses whatever has not this checksum, and whatever comes from elsewhere."""
    script = re.search(r'<script type="module">(.*?)</script>', page, re.S)[1]
    checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; connect-src data:; style-src 'unsafe-inline'; script-src "
    assert f"{policy}'sha256-{checksum}'" in page
    assert page.count("<script") == 2  # the other one holds data


def test_what_readers_came_for_is_first_and_all_else_is_folded(page):
    titles = _titles(page)
    assert titles == [
        "Result", "Mistakes", "Comparison", "Map", "Digits", "Confidence", "Ensemble", "Clusters", "Doubtful labels",
        "Training", "Data", "Recipe", "Tuning first", "Versions",
    ]  # fmt: skip
    folded = re.findall(r"<details><summary><h2>(.*?)</h2>", page)
    assert folded == titles[4:]
    contents = re.findall(r'<a href="#([\w-]+)">', page.partition("</nav>")[0])
    assert len(contents) == len(titles)
    assert all(f'id="{anchor}"' in page for anchor in contents)
    assert "Digit Recognizer asks for the digit" in page
    assert "make report RUN=both" in page.partition("<nav")[0]
    assert "How to read this page" in page.partition("<nav")[0]
    for text in ("Look at means.", "The clusters are pure.", "Six trials."):
        assert text in page


def test_every_figure_has_words_of_its_own_and_a_full_size(page):
    figures = re.findall(r'<figure id="([\w-]+)".*?</figure>', page, re.S)
    assert len(figures) == len(set(figures)) == 9 + 1 + 1 + len(sections.CLUSTERS) + len(SEARCH)
    assert {f'<a href="#{name}"' in page for name in figures} == {True}
    alternatives = re.findall(r'<a href="#[\w-]+" title="[^"]*"><img src="[^"]*" alt="([^"]*)"', page)
    assert len(set(alternatives)) == len(figures)
    assert {"Title of clusters map_tsne", "Confusion matrix of the out-of-fold rows"} <= set(alternatives)
    assert page.count("<figcaption>") == len(figures)


def test_the_surest_mistakes_are_shown_as_images(run, page):
    section = _sections(page)["Mistakes"]
    with (run.evaluation / "mistakes.csv").open() as file:
        mistakes = list(csv.DictReader(file))
    shown = re.findall(r"<li><img [^>]*><b>(\d), taken for (\d)</b>([\d.]+)% sure, row (\d+)</li>", section)
    assert len(shown) == min(len(mistakes), sections.MOST_IMAGES)
    first = mistakes[0]
    sure = f"{float(first['first_probability']):.1%}".rstrip("%")
    assert shown[0] == (first["label"], first["first"], sure, first["row"])
    assert section.index("<figure") < section.index("<li>") < section.index("<details")  # the first are seen at once


def test_the_map_has_the_rows_their_images_and_all_mistakes_on_it(run, page):
    data = json.loads(re.search(r'<script type="application/json" id="map-data">(.*?)</script>', page, re.S)[1])
    points, oof = data["points"], arrays.read(run.oof)
    rows = arrays.read(run.clusters / "embedding.npz")["rows"]
    assert sorted(points["row"]) == rows.tolist()
    chosen = oof["probabilities"].argmax(axis=1)[points["row"]]
    assert points["prediction"] == [str(DATA.classes[each]) for each in chosen]
    assert points["label"] == [str(label) for label in DATA.train_labels[points["row"]]]
    wrong = chosen != DATA.targets[points["row"]]
    assert [colour == len(DATA.classes) for colour in points["colour"]] == wrong.tolist()
    sprite = Image.open(io.BytesIO(base64.b64decode(data["sprite"].partition(",")[2]))).convert("L")
    side, across = data["side"], data["across"]
    left, top = points["image"][5] % across * side, points["image"][5] // across * side
    shown = np.asarray(sprite.crop((left, top, left + side, top + side)), float)
    assert np.abs(255 - DATA.train_images[points["row"][5], ..., 0] - shown).mean() < 8


def test_the_map_of_many_rows_keeps_all_mistakes(run, monkeypatch):
    monkeypatch.setattr(point_map, "MOST_POINTS", 60)
    all_of_them = point_map.of_run(run)
    assert all_of_them.count == 60
    monkeypatch.setattr(point_map, "MOST_BYTES", 5_000)
    fewer = point_map.of_run(run)
    assert fewer.count < 60
    assert len(base64.b64decode(fewer.data["sprite"].partition(",")[2])) <= 5_000
    wrong = [colour == 10 for colour in all_of_them.data["points"]["colour"]]
    assert any(wrong)
    assert wrong == sorted(wrong)  # mistakes are drawn last, on top


def test_it_is_compared_with_all_runs_on_the_same_rows(copy):
    output = copy.folder.parent
    other = {**records.read_json(copy.metrics), "predicted_score": 1.0, "predicted_high": 1.0}
    for name, fingerprint in (("better", DATA.fingerprint), ("of-other-rows", "x")):
        (output / name).mkdir()
        records.write_json(output / name / "metrics.json", other)
        records.write_twice(output / name / "run.json", {"data": {"train": fingerprint}})
    (output / "published/both").mkdir(parents=True)
    records.write_json(output / "published/both/metrics.json", other | {"data": {"train": DATA.fingerprint}})
    (output / "broken").mkdir()
    (output / "broken/metrics.json").write_text("{")
    section = _sections(_write(copy))["Comparison"]
    assert re.findall(r'<th scope="row">(.*?)</th>', section) == ["better", "both (this run)"]
    assert "make compare A=both B=&lt;other&gt;" in section


def test_its_figures_and_sentences_are_those_of_the_run(run, page):
    metrics = records.read_json(run.metrics)
    evaluation = records.read_json(run.evaluation / "metrics.json")
    assert f"{metrics['oof_accuracy']:.5f}" in page
    assert f"{metrics['predicted_score']:.5f}" in page
    low, high = evaluation["accuracy_interval"]
    assert f"<b>{metrics['oof_accuracy']:.5f}</b>{low:.5f} to {high:.5f}" in page.partition("<p>Of ")[0]
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
    assert inputs.is_evaluated(copy)
    voting = dataclasses.replace(copy, config=config.replaced(copy.config, {"ensemble.rule": "vote"}, "test"))
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(voting, {})
    os.utime(copy.oof, (0, 0))
    assert not inputs.is_evaluated(copy)
    with pytest.raises(UserError, match="has not been evaluated as it is"):
        _write(copy)


@pytest.mark.parametrize("change", [{"findings": None}, {"captions": {"confusion.png": "Words, without a title."}}])
def test_what_an_earlier_version_wrote_is_made_anew(copy, change):
    name, value = next(iter(change.items()))
    explored = copy.folder.parent / "eda/demo"
    for folder in (copy.evaluation, copy.clusters, explored):
        forge(
            folder / "metrics.json", lambda record: record.pop(name, None) if value is None else record.update(change)
        )
    assert not inputs.is_evaluated(copy)
    assert inputs.is_explored(explored, DATA) == (value is None)
    assert (inputs.clusters(copy) is None) == (value is not None)


def test_a_missing_stage_is_named_with_its_command(copy):
    for folder in (copy.clusters, copy.folder.parent / "eda", copy.folder.parent / "tune"):
        shutil.rmtree(folder)
    sections = _sections(_write(copy))
    assert not {"Map", "Doubtful labels"} & sections.keys()
    for title, command in (("Data", "make eda"), ("Clusters", "make cluster RUN=both"), ("Tuning", "make tune")):
        assert f"<code>{command}</code>" in sections[title]


def test_it_says_where_to_look(copy, capsys):
    pipeline.report(copy)
    *_, last = capsys.readouterr().out.splitlines()
    assert last == f"Next: open {(copy.folder / 'report.html').as_uri()} in a browser; it needs no other file"


@pytest.mark.slow
def test_the_command_makes_what_is_missing(tmp_path):
    made = finish(tmp_path / "one", DATA, limit=1)
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(made, {})
    succeed("report", "--data", "demo", "--run", "one", "--output", tmp_path, alone=True)
    titles = _titles((made.folder / "report.html").read_text(encoding="utf-8"))
    assert {"Data", "Digits", "Mistakes"} <= set(titles)
    assert "Map" not in titles


def test_no_run_is_a_line(tmp_path):
    assert "there is no run" in refuse("report", "--data", "demo", "--run", "none", "--output", tmp_path)


@pytest.fixture
def opened(run, page, browser, request) -> Iterator[Page]:
    """The page in a browser of this width and colour scheme."""
    width, scheme = request.param
    messages, requests = [], []
    with browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme) as shown:
        shown.on("request", lambda asked: requests.append(asked.url))
        shown.on("console", lambda message: messages.append(message.text))
        shown.on("pageerror", lambda error: messages.append(str(error)))
        shown.goto(Path(run.folder / "report.html").resolve().as_uri())
        yield shown
    assert messages == []
    assert all(url.startswith(("file:", "data:")) for url in requests)


SCREENS = pytest.mark.parametrize("opened", [(1280, "light"), (390, "dark")], ids=["desk", "phone"], indirect=True)


@needs_browser
@SCREENS
def test_it_fits_the_screen_and_every_picture_is_drawn(opened):
    opened.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    widths = opened.eval_on_selector_all("figure img", "all => all.map(one => one.naturalWidth)")
    assert len(widths) > 15
    assert min(widths) > 100
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = opened.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert paper == ("rgb(20, 20, 20)" if dark else "rgb(255, 255, 255)")


@needs_browser
@pytest.mark.slow
@SCREENS
def test_the_contents_stay_in_sight_and_open_what_they_lead_to(opened):
    opened.locator("nav a", has_text="Recipe").click()
    opened.get_by_text("label smoothing").wait_for()
    assert opened.locator("nav").bounding_box()["y"] == pytest.approx(0, abs=1)


@needs_browser
@pytest.mark.slow
@SCREENS
def test_a_figure_is_shown_in_full_size_and_closed_again(opened):
    opened.locator("#evaluation-confusion img").click()
    small = opened.viewport_size["width"]
    assert opened.locator("#evaluation-confusion").bounding_box()["width"] == pytest.approx(small, abs=16)
    assert opened.locator("#evaluation-confusion img").bounding_box()["width"] > 900
    opened.locator("#evaluation-confusion .close").click()
    assert opened.locator("#evaluation-confusion img").bounding_box()["width"] < 500


@needs_browser
@pytest.mark.slow
@SCREENS
def test_the_image_of_a_point_is_shown_at_the_mouse_and_images_from_near(opened):
    canvas = opened.locator(".map > canvas")
    canvas.scroll_into_view_if_needed()
    opened.wait_for_function("document.querySelector('.map').dataset.painted")
    box = canvas.bounding_box()
    points = [(x / 20, y / 20) for x in range(6, 15) for y in range(6, 15)]
    for x, y in points:
        opened.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if opened.locator(".tip").is_visible():
            break
    text = opened.locator(".tip").inner_text()
    assert re.search(r"row \d+\ndigit \d\npredicted \d\nwith [01]", text)
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    opened.mouse.wheel(0, -6000)
    opened.wait_for_function("document.querySelector('.map').dataset.painted === 'images'")


@needs_browser
@pytest.mark.slow
@SCREENS
def test_on_paper_all_parts_are_there_black_on_white(opened):
    opened.emulate_media(media="print")
    assert opened.get_by_text("label smoothing").is_visible()  # which is in a folded part
    assert not opened.locator("nav").is_visible()
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.evaluate("getComputedStyle(document.querySelector('figure img')).filter") == "none"


EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\" onload='alert(1)' {{ 7 * 7 }}"
NO_TEXT = "\ud800"  # half of a character, which JSON can hold


def test_nothing_in_the_page_is_somebodys_html(copy):
    forge(copy.origin, _add_evil_origin)
    forge(copy.evaluation / "metrics.json", _add_evil_words)
    forge(copy.clusters / "metrics.json", _add_evil_captions)
    first = copy.folder.parent / "tune/first"
    first.rename(first.with_name(EVIL.replace("/", " ")))
    text = _write(dataclasses.replace(copy, config=copy.recorded_config()))
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7 * 7 }}" in text  # a template of somebody's is text too
    (script,) = re.findall(r'<script type="module">.*?</script>', text, flags=re.S)
    text = text.replace(script, "")
    tags = re.findall(r"<(\w+)", re.sub(r"<style>.*?</style>", "", text, flags=re.S))
    assert set(tags) <= {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "nav", "a", "main", "section", "h2", "p",
        "div", "table", "thead", "tr", "th", "tbody", "td", "figure", "img", "figcaption", "dl", "dt", "dd", "details",
        "summary", "ul", "li", "b", "code", "canvas", "button", "span", "script",
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


def _add_evil_captions(record: dict[str, Any]) -> None:
    record["captions"] = {name: {"title": EVIL, "text": EVIL} for name in record["captions"]}
    record["findings"] = [EVIL]


def _add_evil_words(record: dict[str, Any]) -> None:
    sections = list(record["findings"])
    _add_evil_captions(record)
    record["findings"] = {section: [EVIL] for section in sections}
    record["classes"][0]["class"] = EVIL


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tune/first/search.json", lambda record: record.pop("data")),
        ("both/clusters/metrics.json", lambda record: record.update(sha256={})),
        ("both/clusters/metrics.json", lambda record: record.update(findings=5)),
        ("both/clusters/metrics.json", lambda record: record["captions"].update({"map_tsne.png": {}})),
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


@pytest.mark.parametrize("content", ["row,label\n-1,5", "row,label\n99999,5", "label\n5", f'"{"x" * 200_000}"', None])
@pytest.mark.parametrize("name", ["evaluation/mistakes.csv", "clusters/label_queue.csv"])
def test_a_damaged_list_is_a_line(copy, name, content):
    path = copy.folder / name
    path.unlink() if content is None else path.write_text(content)
    records.seal(path.parent, records.read_json(path.parent / "metrics.json"), "metrics.json")
    with pytest.raises(UserError, match="damaged") as refused:
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
    captions = {"means.png": {"title": "", "text": ""}}
    _seal(path.parent, [], {"data": {"train": DATA.fingerprint}, "captions": captions})
    with pytest.raises(UserError, match=r"means.png: cannot be read") as refused:
        _write(copy)
    assert "\n" not in str(refused.value)
