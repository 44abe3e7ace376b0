"""The explorer in a real browser, on a real run of the demo set."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from browser import PATH, needs_browser, without_display
from command import complain, start, succeed
from digits.data.demo import demo
from ports import free_port

pytestmark = [needs_browser, pytest.mark.slow]
if PATH:
    from playwright.sync_api import Page, expect

SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder, to look at every page
SECONDS = 60_000  # milliseconds that a page may take on a slow machine


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    recipe = ("--set", "folds.count=2", "--set", "training.epochs=8", "--set", "architectures=[mlp]")
    succeed("submit", "--data", "demo", "--output", folder, "--run", "small", *recipe)
    succeed("cluster", "--data", "demo", "--output", folder, "--run", "small", "--set", "cluster.maps=[tsne]")
    return folder


@pytest.fixture(scope="module")
def address(output) -> Iterator[str]:
    with _explorer(output) as (url, _):
        yield url


@contextmanager
def _explorer(output: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a running explorer, and its process."""
    port = free_port()
    options = ("--data", "demo", "--output", output, "--run", "small", "--port", str(port))
    with start("explore", *options, env=without_display()) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait(url, process)
            yield url, process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    for _ in range(300):
        assert process.poll() is None, process.communicate()
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the explorer does not answer")


@pytest.fixture
def page(browser, address, request) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    requested = []
    opened.on("request", lambda request: requested.append(request.url))
    opened.set_default_timeout(SECONDS)
    opened.goto(address)
    expect(opened.get_by_role("heading", name="Map")).to_be_visible(timeout=SECONDS)
    expect(opened.locator(".js-plotly-plot")).to_be_visible(timeout=SECONDS)
    _settled(opened)
    yield opened
    if SCREENSHOTS:
        opened.screenshot(path=f"{SCREENSHOTS}/{request.node.name}.png", full_page=True)
    opened.close()
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []


def _settled(page: Page) -> None:
    """Wait until the script has run through."""
    page.wait_for_timeout(300)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=SECONDS)
    page.wait_for_timeout(300)


def _go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible(timeout=SECONDS)
    _settled(page)


def _nothing_broke(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_it_opens_on_the_map_with_its_scores(page):
    for name in ("Purity", "Silhouette", "Accuracy", "NMI", "ARI"):
        expect(page.get_by_test_id("stMetric").filter(has_text=name).first).to_be_visible()
    expect(page.get_by_text("1,078 rows in 10 clusters")).to_be_visible()
    _nothing_broke(page)


def test_another_k_makes_other_clusters(page):
    page.get_by_role("slider", name="Number of clusters k").press("ArrowRight")
    expect(page.get_by_text("1,078 rows in 11 clusters")).to_be_visible(timeout=SECONDS)
    _nothing_broke(page)


@pytest.mark.parametrize("kind", ["PCA", "UMAP"])
def test_the_map_can_be_another(page, kind):
    page.get_by_test_id("stSelectbox").filter(has_text="Map").get_by_role("combobox").click()
    page.get_by_role("option", name=kind).click()
    _settled(page)
    expect(page.locator(".js-plotly-plot")).to_have_count(1, timeout=SECONDS)  # the earlier one is gone
    expect(page.locator(".js-plotly-plot")).to_be_visible()
    _nothing_broke(page)


def test_every_colouring_draws(page):
    for name in ("digit", "prediction", "right or wrong", "confidence"):
        page.get_by_text(name, exact=True).first.click()
        _settled(page)
        _nothing_broke(page)
    expect(page.get_by_text("confidence").first).to_be_visible()


def test_a_lasso_shows_its_images(page):
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    corners = [(0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95), (0.05, 0.06)]
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=12)
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"[\d,]+ selected"))).to_be_visible(timeout=SECONDS)
    expect(page.get_by_test_id("stImage").first).to_be_visible()
    _nothing_broke(page)


def test_a_cluster_shows_its_members(page):
    _go(page, "Clusters")
    page.get_by_test_id("stSelectbox").get_by_role("combobox").click()
    page.get_by_role("option", name="3", exact=True).click()
    _settled(page)
    expect(page.get_by_text("Nearest to the centroid")).to_be_visible()
    expect(page.get_by_test_id("stImage").first).to_be_visible()
    _nothing_broke(page)


def test_the_mistakes_are_shown_with_their_probabilities(page):
    _go(page, "Mistakes")
    expect(page.get_by_text(re.compile(r"\d+ of 1,078 out-of-fold rows are wrong"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"row \d+: label \d, predicted \d")).first).to_be_visible()
    _nothing_broke(page)


def test_verdicts_are_saved(page, output):
    _go(page, "Label queue")
    page.get_by_test_id("stSelectbox").first.get_by_role("combobox").click()
    page.get_by_role("option", name="label is right").click()
    page.get_by_role("button", name="Save verdicts").click()
    expect(page.get_by_text("1 verdicts saved")).to_be_visible(timeout=SECONDS)
    lines = (output / "small/clusters/verdicts.csv").read_text().splitlines()
    assert lines[0] == "row,label,given,fingerprint"
    assert len(set(lines[1].split(",")[1:3])) == 1
    _nothing_broke(page)


def test_an_uploaded_digit_is_predicted_and_placed(page, tmp_path):
    data = demo()
    picture = cv2.resize(255 - data.test_images[5, ..., 0], (300, 300), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "mine.png"), np.pad(picture, 90, constant_values=255))
    _go(page, "Your digit")
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(tmp_path / "mine.png")
    expect(page.get_by_text(re.compile(rf"{data.test_labels[5]}, with probability 0\.\d+"))).to_be_visible(
        timeout=SECONDS
    )
    expect(page.get_by_text("Its neighbours")).to_be_visible(timeout=SECONDS)
    expect(page.locator(".js-plotly-plot")).to_be_visible(timeout=SECONDS)
    _nothing_broke(page)


def test_a_drawn_digit_is_predicted(page):
    _go(page, "Your digit")
    expect(page.get_by_text("Draw a digit above")).to_be_visible()
    _nothing_broke(page)
    canvas = page.locator("canvas").last
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + 230, steps=20)
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"\d, with probability 0\.\d+"))).to_be_visible(timeout=SECONDS)
    _nothing_broke(page)


def test_what_is_no_picture_is_said_in_a_line(page, tmp_path):
    (tmp_path / "text.png").write_text("no picture at all")
    _go(page, "Your digit")
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(tmp_path / "text.png")
    expect(page.get_by_text("no picture that can be read")).to_be_visible(timeout=SECONDS)
    _nothing_broke(page)


def test_a_run_that_went_away_gets_a_page_that_says_so(page, output):
    whole, aside = output / "small", output / "aside"
    whole.rename(aside)
    try:
        page.reload()
        expect(page.get_by_text("there is no run")).to_be_visible(timeout=SECONDS)
        _nothing_broke(page)
    finally:
        aside.rename(whole)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_command_ends_the_server(output, end):
    with _explorer(output) as (url, process):
        process.send_signal(end)
        out, err = process.communicate(timeout=30)
        assert "Traceback" not in out + err
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2)


def test_a_taken_port_is_said_in_a_line(output, address):
    port = address.rpartition(":")[2]
    line = complain("explore", "--data", "demo", "--output", output, "--run", "small", "--port", port)
    assert f"port {port}: Address already in use; choose another with PORT=" in line
