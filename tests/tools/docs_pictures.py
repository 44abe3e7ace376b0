"""Make every picture of README and docs/ anew, from a run: `make docs-pictures RUN=fast DATA=digit-recognizer.zip`.

`make evaluate cluster report docs-pictures RUN=fast DATA=...` makes what they show first. The two maps of digits are
drawn here, and the figure of compute by frontier.py. The other figures are the run's own. The small ensemble reads
pictures that own_pictures.py draws of rows that it never saw. Chromium takes pictures of the explorer and the report.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np
import typer
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

import frontier
import own_pictures
from browser import PATH, without_display
from command import ROOT, start, succeed
from digits import data
from digits.__main__ import OUTPUT, DataOption, OutputOption
from digits.data import Dataset
from digits.errors import UserError, one_line_errors
from digits.figures.style import styled
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.runs import Run, RunFolder
from digits.stages.cluster import features, spaces
from ports import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = ROOT / "docs/pictures"
WIDEST = 1600  # pixels of a picture: twice what GitHub shows
COLOURS = 256  # of a picture
FIGURES = {  # of a run, by the name of their picture
    "history": "history.png",
    "confusion": "confusion.png",
    "mistakes": "evaluation/mistakes.png",
    "map": "clusters/map_tsne.png",
}
MOST_ROWS = 5_000  # on a map of digits
SIDE, GLYPH, MARGIN = 756, 18, 22  # pixels of a map of digits, of a digit on it, and around it
INK = 1.3  # times as strong, since small digits are faint
PAPER, TEXT = "#10141c", "#e9ecef"
LIGHTS = [  # colours of the classes on PAPER
    "#ff6b6b", "#ffa94d", "#ffe066", "#a9e34b", "#51cf66",
    "#3bc9db", "#4dabf7", "#9775fa", "#f06595", "#e9ecef",
]  # fmt: skip
PREDICTED = 7  # pictures of digits that are read
SCREEN = {"width": 1280, "height": 800}
SECONDS = 300  # that a page may take on a busy machine


def run(run: Run, data_source: str | None) -> None:
    """Write `docs/pictures/` and the figure of `docs/frontier/`.

    Args:
        run: finished, evaluated, clustered and reported.
        data_source: as the user gave it.

    Raises:
        UserError: a stage was not run, or there is no browser.
    """
    missing = [name for name in (*FIGURES.values(), "report.html") if not (run.folder / name).exists()]
    if missing:
        name = run.folder.name
        raise UserError(f"run {run.folder} has no {missing[0]}; make it: make evaluate cluster report RUN={name}")
    if PATH is None:
        raise UserError("no Chromium found, which shows the explorer and the report: apt-get install chromium")
    frontier.draw(frontier.stored())
    for name, file in FIGURES.items():
        save(Image.open(run.folder / file), name)
    save(_predictions(run), "predictions")
    for name, picture in _pages(run, data_source):
        save(picture, name)
    save(_hero(run), "hero")


def save(picture: Image.Image, name: str, folder: Path = PICTURES) -> None:
    """Save as a PNG of at most `WIDEST` pixels and `COLOURS` colours."""
    picture = picture.convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    with replacing(folder / f"{name}.png") as temporary:
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(temporary, "PNG", optimize=True)
    print(f"Written: {folder / name}.png ({(folder / f'{name}.png').stat().st_size / 1e3:.0f} kB)")


def _hero(run: Run) -> Image.Image:
    """The same digits on t-SNE maps of raw and of aligned features, each with the purity of k-means."""
    sample = features.gather(run).sample(MOST_ROWS, seed=0)
    images, classes = sample.sources["pixels"][..., 0], sample.targets
    controls = records.read_json(run.clustered() / "metrics.json", controls=dict)["controls"]
    maps = {}
    for name in ("raw", "aligned"):
        points = spaces.tsne(sample.sources[name], seed=0)
        maps[f"{name} features: k-means purity {controls[name]['purity']:.3f}"] = digit_map(points, images, classes)
    return _drawn(side_by_side(maps))


def digit_map(points: np.ndarray, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Digits where they lie on a map, in the colour of their class; of those of one place the first that is drawn.

    Args:
        points: float (n, 2).
        images: uint8 (n, height, width).
        classes: int (n,).

    Returns:
        float (SIDE, SIDE, 3) in 0..1.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    places = ((points - (low + high) / 2) / (high - low).max() + 0.5) * (SIDE // GLYPH - 1)
    corners = GLYPH * np.rint(places).astype(int)
    order = np.random.default_rng(0).permutation(len(points))
    shown = order[np.unique(corners[order], axis=0, return_index=True)[1]]
    sheet = np.full((SIDE, SIDE, 3), to_rgb(PAPER))
    for row in shown:
        left, top = corners[row]
        small = cv2.resize(images[row], (GLYPH, GLYPH), interpolation=cv2.INTER_AREA)
        ink = np.minimum(INK * small / 255, 1)[..., None]
        colour = np.array(to_rgb(LIGHTS[classes[row] % len(LIGHTS)]))
        sheet[top : top + GLYPH, left : left + GLYPH] += ink * (colour - to_rgb(PAPER))
    return sheet


@styled
def side_by_side(maps: Mapping[str, np.ndarray]) -> Figure:
    """Maps of digits under their titles, pixel for pixel."""
    dpi, step, head = 100, SIDE + 2 * MARGIN, 60
    width, height = step * len(maps), SIDE + head + MARGIN
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi, facecolor=PAPER)
    for index, (title, sheet) in enumerate(maps.items()):
        figure.figimage(sheet, index * step + MARGIN, MARGIN, origin="upper")
        middle = (index + 0.5) / len(maps)
        figure.text(middle, 1 - head / 2 / height, title, color=TEXT, fontsize=20, ha="center", va="center")
    return figure


def _drawn(figure: Figure) -> Image.Image:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        figure.savefig(file.name, dpi=figure.dpi, facecolor=figure.get_facecolor())
        return Image.open(file.name).convert("RGB")


def _predictions(run: Run) -> Image.Image:
    """What `make predict` reads in a letter and in rows that the small ensemble, of the first fold, never saw."""
    rows, draw = arrays.read(run.member(run.members[0]) / "oof.npz")["rows"], np.random.default_rng(1)
    images, targets = run.dataset.train_images[..., 0], run.dataset.targets[rows]
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = Path(temporary) / "pictures", Path(temporary) / "output"
        folder.mkdir()
        for number in range(PREDICTED):
            row = draw.choice(rows[targets == number % len(run.dataset.classes)])
            style = (own_pictures.photo, own_pictures.paint)[number % 2]
            picture, suffix, options = style(own_pictures.redrawn(images[row], draw), draw)
            cv2.imwrite(str(folder / f"{number + 1}-{style.__name__}.{suffix}"), picture, options)
        cv2.imwrite(str(folder / f"{PREDICTED + 1}-letter.png"), own_pictures.letter(images, draw))
        succeed("predict", folder, "--output", output)
        return Image.open(output / "predictions/predictions.png").convert("RGB")


def _pages(run: Run, data_source: str | None) -> Iterator[tuple[str, Image.Image]]:
    """The first screens of the explorer and of the report."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox", "--use-gl=swiftshader"])
        yield "report", _screenshot(_page(browser, (run.folder / "report.html").absolute().as_uri()))
        yield "explorer", _explorer(browser, run, data_source)
        browser.close()


def _page(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport=SCREEN, color_scheme="light")
    page.set_default_timeout(1000 * SECONDS)
    page.goto(address)
    return page


def _explorer(browser: Browser, run: Run, data_source: str | None) -> Image.Image:
    port = str(free_port())
    options = ["--output", run.folder.parent.absolute(), "--run", run.folder.name, "--port", port]
    options += ["--data", data_source] if data_source else []
    environment = without_display() | {"PYTHONUNBUFFERED": "1"}
    with start("explore", *options, env=environment) as process:
        try:
            next(line for line in process.stdout if "URL" in line)
            page = _page(browser, f"http://127.0.0.1:{port}")
            page.locator(".map[data-painted]").wait_for()
            return _screenshot(page)
        finally:
            process.kill()  # not by Ctrl-C, which a job in the background ignores


def _screenshot(page: Page) -> Image.Image:
    """The page once it changes no more."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        before = b""
        for _ in range(SECONDS):
            shown = page.screenshot(path=file.name)
            if shown == before:
                return Image.open(file.name).convert("RGB")
            before = shown
            time.sleep(3)
    raise UserError(f"{page.url}: still changes after {SECONDS} pictures")


app = typer.Typer(add_completion=False)


@app.command()
@one_line_errors
def main(
    run_name: Annotated[str, typer.Option("--run", help="A finished run.")] = "default",
    source: DataOption = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Make the pictures of README and docs/ anew."""
    folder = RunFolder.existing(output, run_name)
    dataset: Dataset = data.read(data.find(source), output / "cache")
    run(Run(folder.folder, folder.covered_config(folder.recorded_config()), dataset), source)


if __name__ == "__main__":
    app()
