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
    from playwright.sync_api import Browser, Locator, Page, expect

SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder, to look at every page
SECONDS = 180_000  # milliseconds that a page may take on a slow machine
if PATH:
    expect.set_options(timeout=SECONDS)


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
    for _ in range(900):
        assert process.poll() is None, process.communicate()
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the explorer does not answer")


@pytest.fixture
def page(browser, address, request) -> Iterator[Page]:
    with _opened(browser, address) as opened:
        yield opened
        if SCREENSHOTS:
            opened.screenshot(path=f"{SCREENSHOTS}/{request.node.name}.png", full_page=True)


@contextmanager
def _opened(browser: Browser, address: str, path: str = "", **options: object) -> Iterator[Page]:
    """A page that is drawn, and asks nothing of anybody but the explorer."""
    opened = browser.new_page(**{"viewport": {"width": 1400, "height": 900}} | options)
    requested = []
    opened.on("request", lambda request: requested.append(request.url))
    opened.set_default_timeout(SECONDS)
    opened.goto(f"{address}/{path}")
    expect(opened.get_by_role("heading", level=2).first).to_be_visible()
    _settled(opened)
    yield opened
    opened.close()
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []


def _settled(page: Page) -> None:
    """Wait until the script has run through."""
    page.wait_for_timeout(300)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    page.wait_for_timeout(300)


def _go(page: Page, name: str) -> None:
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, level=2)).to_be_visible()
    _settled(page)


def _nothing_broke(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlert")).to_have_count(0)


def _map(page: Page) -> Locator:
    """The map, drawn, with the images of its rows."""
    found = page.locator(".map")
    expect(found).to_have_attribute("data-painted", re.compile("dots|images"))
    page.wait_for_function("map => map.map.sprite", arg=found.element_handle())
    return found


def _row(page: Page) -> tuple[int, float, float]:
    """The row that is drawn nearest to the middle of the map, and its place on the page."""
    found = _map(page)
    box = found.locator("canvas").first.bounding_box()
    row, x, y = found.evaluate(
        """root => {
            const { map } = root;
            const off = i => Math.hypot(...map.toData(map.canvas.clientWidth / 2, map.canvas.clientHeight / 2)
                .map((value, axis) => value - [map.x[i], map.y[i]][axis]));
            const nearest = map.order.reduce((best, i) => off(i) < off(best) ? i : best);
            return [map.row[nearest], ...map.toScreen(nearest)];
        }"""
    )
    return row, box["x"] + x, box["y"] + y


def _lasso(page: Page) -> None:
    """Draw around everything on the map."""
    box = _map(page).locator("canvas").first.bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def test_it_opens_on_the_map_of_the_run_with_its_scores(page):
    expect(page.get_by_role("heading", name="Map")).to_be_visible()
    expect(page.get_by_text("Run small")).to_be_visible()
    for name in ("Purity", "Networks' accuracy", "Silhouette", "Hungarian accuracy", "NMI", "ARI"):
        expect(page.get_by_text(re.compile(rf"{name} (0\.\d{{4}}|1\.0000)"))).to_be_visible()
    expect(page.get_by_text("1,078 rows in 10 clusters")).to_be_visible()
    assert _map(page).locator("canvas").first.bounding_box()["y"] < 300
    assert len(set(_map(page).locator(".legend i").evaluate_all("dots => dots.map(i => i.style.background)"))) == 10
    _nothing_broke(page)


def test_another_k_makes_other_clusters_and_stays_on_other_pages(page):
    before = _map(page).bounding_box()["y"]
    page.get_by_role("slider", name="Number of clusters k").press("ArrowRight")
    expect(page.get_by_text("1,078 rows in 11 clusters")).to_be_visible()
    _settled(page)
    assert _map(page).bounding_box()["y"] == before
    _go(page, "Clusters")
    _go(page, "Map")
    expect(page.get_by_text("1,078 rows in 11 clusters")).to_be_visible()
    _nothing_broke(page)


@pytest.mark.parametrize("kind", ["PCA", "UMAP"])
def test_the_map_can_be_another(page, kind):
    before = _map(page).evaluate("map => map.map.x[0]")
    page.get_by_test_id("stSelectbox").filter(has_text="Map").get_by_role("combobox").click()
    page.get_by_role("option", name=kind).click()
    page.wait_for_function(
        "([map, kind]) => map.map.view.includes(kind)", arg=[_map(page).element_handle(), kind.lower()]
    )
    assert _map(page).evaluate("map => map.map.x[0]") != before
    _nothing_broke(page)


def test_every_colouring_draws(page):
    for name in ("cluster", "prediction", "right or wrong", "confidence"):
        page.get_by_test_id("stRadio").get_by_text(name, exact=True).click()
        _settled(page)
        assert _map(page).locator(".legend button").count() > 1
        _nothing_broke(page)


def test_the_mouse_shows_the_image_of_a_row(page):
    row, x, y = _row(page)
    page.mouse.move(x, y)
    tip = _map(page).locator(".tip")
    expect(tip).to_contain_text(re.compile(rf"row {row}\s+label \d\s+predicted \d\s+with [01]\.?\d*\s+cluster \d"))
    shades = tip.locator("canvas").evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    )
    assert shades > 5
    page.mouse.move(2, 2)
    expect(tip).to_be_hidden()


def test_a_click_shows_a_row_and_its_neighbours_and_the_address_keeps_it(page, browser, address):
    row, x, y = _row(page)
    page.mouse.click(x, y)
    expect(page.get_by_role("heading", name=f"Row {row}")).to_be_visible()
    expect(page.get_by_text("Nearest in feature space")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"rows={row}$"))
    page.get_by_role("button", name="Select them").click()
    expect(page.get_by_text("12 selected")).to_be_visible()
    _go(page, "Clusters")
    expect(page).to_have_url(re.compile(r"clusters\?rows=[\d%2C,]+$"))
    with _opened(browser, address, page.url.removeprefix(f"{address}/clusters")) as other:
        expect(other.get_by_text("12 selected")).to_be_visible()
        other.get_by_role("button", name="Clear").click()
        expect(other.get_by_text("12 selected")).to_have_count(0)
    _nothing_broke(page)


def test_a_lasso_shows_images_a_table_and_a_file(page):
    _map(page).get_by_role("button", name="Lasso").click()
    _lasso(page)
    expect(page.get_by_text("1,078 selected")).to_be_visible()
    expect(page.get_by_test_id("stImage").first).to_be_visible()
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").get_by_role("button").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "row,label,prediction,confidence,right,cluster"
    assert len(lines) == 1079
    expect(page).to_have_url(re.compile("rows=z"))
    _nothing_broke(page)


def test_a_name_selects_its_points_and_a_filter_leaves_the_others_out(page):
    _map(page).locator(".legend button", has_text="3").click()
    expect(page.get_by_text(re.compile(r"Labels: \d+ x 3$"))).to_be_visible()
    _settled(page)
    page.get_by_text("Filter", exact=True).click()
    page.get_by_role("radio", name="wrong", exact=True).click()
    expect(page.get_by_text(re.compile(r"\d+ of 1,078 rows in"))).to_be_visible()
    _nothing_broke(page)


def test_the_wheel_brings_images_and_keys_go_back(page):
    found = _map(page)
    _, x, y = _row(page)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -1500)
    expect(found).to_have_attribute("data-painted", "images")
    found.locator("canvas").first.focus()
    page.keyboard.press("0")
    expect(found).to_have_attribute("data-painted", "dots")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_as_light_or_dark_as_the_browser(browser, address, scheme):
    with _opened(browser, address, color_scheme=scheme) as page:
        paper = _map(page).evaluate("map => getComputedStyle(map).getPropertyValue('--st-background-color')")
        assert (int(paper[1:3], 16) < 128) is (scheme == "dark")
        assert _map(page).evaluate("map => map.map.paper") == paper


def test_a_phone_shows_the_map_on_its_first_screen(browser, address):
    with _opened(browser, address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        box = _map(page).locator("canvas").first.bounding_box()
        assert box["y"] + box["height"] < 844
        row, x, y = _row(page)
        page.touchscreen.tap(x, y)
        expect(page.get_by_role("heading", name=f"Row {row}")).to_be_visible()
        _nothing_broke(page)


def test_a_cluster_shows_its_members(page):
    _go(page, "Clusters")
    page.get_by_test_id("stSelectbox").get_by_role("combobox").click()
    page.get_by_role("option", name="3", exact=True).click()
    expect(page.get_by_text(re.compile("labelled 3; "))).to_be_visible()
    expect(page.get_by_test_id("stImage").first).to_be_visible()
    _nothing_broke(page)


def test_the_mistakes_are_shown_with_their_probabilities(page):
    _go(page, "Mistakes")
    expect(page.get_by_text(re.compile(r"\d+ of 1,078 out-of-fold predictions are wrong"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"row \d+: label \d, predicted \d")).first).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text(re.compile(r"Page 2 of \d+"))).to_be_visible()
    _nothing_broke(page)


def test_every_verdict_is_saved_at_once(page, output):
    path = output / "small/clusters/verdicts.csv"
    queue = [int(line.split(",")[1]) for line in (path.parent / "label_queue.csv").read_text().splitlines()[1:]]
    path.unlink(missing_ok=True)
    _go(page, "Label queue")
    expect(page.get_by_text(f"0 of {len(queue)} judged")).to_be_visible()
    expect(page.get_by_text(f"Row {queue[0]}: label")).to_be_visible()
    expect(page.get_by_text("Probability of the label")).to_be_visible()
    expect(page.get_by_text("Nearest in feature space")).to_be_visible()
    page.get_by_role("button", name="as given").click()
    expect(page.get_by_text(f"1 of {len(queue)} judged")).to_be_visible()
    lines = path.read_text().splitlines()
    assert lines[0] == "row,label,given,fingerprint"
    assert lines[1].startswith(f"{queue[0]},")
    assert len(set(lines[1].split(",")[1:3])) == 1
    expect(page.get_by_text(f"Row {queue[1]}: label")).to_be_visible()
    _settled(page)
    page.keyboard.press("u")
    expect(page.get_by_text(f"2 of {len(queue)} judged")).to_be_visible()
    _go(page, "Mistakes")
    _go(page, "Label queue")
    expect(page.get_by_text(f"2 of {len(queue)} judged")).to_be_visible()
    expect(page.get_by_text(f"Row {queue[2]}: label")).to_be_visible()
    _settled(page)
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text(f"Row {queue[1]}: label")).to_be_visible()
    expect(page.get_by_role("button", name="Open again")).to_be_enabled()
    _settled(page)
    page.keyboard.press("o")
    expect(page.get_by_text(f"1 of {len(queue)} judged")).to_be_visible()
    assert [int(line.split(",")[0]) for line in path.read_text().splitlines()[1:]] == queue[:1]
    _nothing_broke(page)


def _picture(path: Path, *rows: int) -> int:
    """Write a picture of demo digits side by side; the label of the first."""
    data = demo()
    digits = np.hstack([np.pad(255 - data.test_images[row, ..., 0], 6, constant_values=255) for row in rows])
    large = cv2.resize(digits, None, fx=9, fy=9, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), np.pad(large, 40, constant_values=255))
    return data.test_labels[rows[0]]


def _upload(page: Page, path: Path) -> None:
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(path)


def _draw(page: Page, *strokes: float) -> None:
    """Draw upright lines, at these shares of the pad's width."""
    box = page.locator("canvas[aria-label='Draw here']").bounding_box()
    for place in strokes:
        x = box["x"] + place * box["width"]
        page.mouse.move(x, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(x, box["y"] + 230, steps=20)
        page.mouse.up()


def test_an_uploaded_digit_is_predicted_and_placed(page, tmp_path):
    label = _picture(tmp_path / "mine.png", 5)
    _go(page, "Your digit")
    _upload(page, tmp_path / "mine.png")
    expect(page.get_by_text(re.compile(rf"{label}, with probability [01]\.\d+"))).to_be_visible()
    expect(page.get_by_text("Its neighbours")).to_be_visible()
    assert _map(page).evaluate("map => map.map.data.star.length") == 2


def test_the_last_input_wins_and_clear_takes_it_away(page, tmp_path):
    label = _picture(tmp_path / "mine.png", 5)
    _go(page, "Your digit")
    expect(page.get_by_text("Draw a digit, or upload")).to_be_visible()
    _draw(page, 0.5)
    expect(page.get_by_text("Judged: your drawing")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d, with probability [01]\.\d+"))).to_be_visible()
    _upload(page, tmp_path / "mine.png")
    expect(page.get_by_text("Judged: mine.png")).to_be_visible()
    expect(page.get_by_text(re.compile(rf"{label}, with probability"))).to_be_visible()
    _draw(page, 0.3)
    expect(page.get_by_text("Judged: your drawing")).to_be_visible()
    expect(page.get_by_text("mine.png")).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Draw a digit, or upload")).to_be_visible()


def test_several_digits_are_told_as_the_command_line_does(page, tmp_path):
    _go(page, "Your digit")
    _draw(page, 0.2, 0.8)
    expect(page.get_by_text("not a digit: several things: 2 of them; SPLIT=1 reads them all")).to_be_visible()
    page.get_by_text("Several side by side").click()
    expect(page.get_by_text(re.compile(r"\d\d, with probability"))).to_be_visible()
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((90, 90), 255, np.uint8))
    _upload(page, tmp_path / "empty.png")
    expect(page.get_by_text("not a digit: there is no ink")).to_be_visible()


def test_what_is_no_picture_is_said_in_a_line(page, tmp_path):
    (tmp_path / "text.png").write_text("no picture at all")
    _go(page, "Your digit")
    _upload(page, tmp_path / "text.png")
    expect(page.get_by_text("no picture that can be read")).to_be_visible()


def test_a_run_that_went_away_gets_a_page_that_says_so(page, output):
    whole, aside = output / "small", output / "aside"
    whole.rename(aside)
    try:
        page.reload()
        expect(page.get_by_text("there is no run")).to_be_visible()
        expect(page.get_by_test_id("stException")).to_have_count(0)
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


def test_ctrl_c_ends_it_where_nobody_reads_what_it_says(output):
    with _explorer(output) as (url, process):
        process.stdout.close()
        process.stderr.close()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2)


def test_a_closed_tab_leaves_no_traceback(browser, output):
    with _explorer(output) as (url, process):
        for pause in (0, 500, 3_000):
            page = browser.new_page()
            page.goto(url)
            page.wait_for_timeout(pause)
            page.close()
        with _opened(browser, url) as page:
            page.get_by_role("slider", name="Number of clusters k").press("ArrowRight")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in out + err


def test_a_taken_port_is_said_in_a_line(output, address):
    port = address.rpartition(":")[2]
    line = complain("explore", "--data", "demo", "--output", output, "--run", "small", "--port", port)
    assert f"port {port}: Address already in use; choose another with PORT=" in line
