"""The page: its sections and pictures, and the template that they fill."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from digits.competition import COMPETITION
from digits.runs import Run
from digits.stages.report import point_map

PHONE = 560  # pixels: what is wider is not shrunk to a phone, but scrolled
FIRST = 24  # images of a gallery that are shown at once
READING = (
    "Out of fold: each training row is predicted only by networks that never saw it. All scores here are of such rows.",
    "95% interval: where the score would lie for other rows drawn the same way. Where two intervals overlap a lot, the "
    "difference may be chance.",
    "Expected score: of the test rows, whose labels nobody knows; the networks of all folds together do a little "
    "better than one.",
    "Confidence: the probability that the networks give to what they chose.",
)


@dataclass(frozen=True)
class PagePicture:
    """A figure of the page: its data as a URI, its size in pixels of the page, its words.

    name: in the address of its full size.
    """

    name: str
    uri: str
    width: int
    height: int
    title: str
    caption: str

    @property
    def is_wide(self) -> bool:
        return self.width > PHONE


@dataclass(frozen=True)
class PageImage:
    """An image of the data: a URI, and lines below it."""

    uri: str
    lines: Sequence[str]


@dataclass(frozen=True)
class PageSection:
    """A part of the page: sentences, a table, images of the data, and figures.

    scores: name, value and interval of each, in large letters. folded: opened by a click. missing: the command that
    makes what it would show.
    """

    title: str
    sentences: Sequence[str] = ()
    scores: Sequence[tuple[str, str, str]] = ()
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    pictures: Sequence[PagePicture] = ()
    images: Sequence[PageImage] = ()
    points: point_map.Points | None = None
    folded: bool = False
    missing: str = ""

    @property
    def anchor(self) -> str:
        return "-".join(self.title.lower().split())

    @property
    def first_images(self) -> Sequence[PageImage]:
        return self.images[:FIRST]

    @property
    def more_images(self) -> Sequence[PageImage]:
        return self.images[FIRST:]


def render(run: Run, sections: Sequence[PageSection]) -> str:
    """The page as HTML, without any reference to the network."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # the order of lines at the mouse
    script = point_map.script()
    return environment.get_template("report.html").render(
        title=f"{run.dataset.name}: run {run.folder.name}",
        prose=COMPETITION.prose,
        card=_about(run),
        reading=READING,
        sections=sections,
        grey=run.dataset.shape[-1] == 1,
        script=Markup(script),
        checksum=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _about(run: Run) -> list[tuple[str, str]]:
    """Data, networks, command and date, in a few lines."""
    data, config = run.dataset, run.config
    height, width, _ = data.shape
    folds, seeds = len(config.folds.trained), config.seeds
    names = ", ".join(each.label for each in config.architectures)
    times = f"{folds} {'fold' if folds == 1 else 'folds'} x {seeds} {'seed' if seeds == 1 else 'seeds'}"
    size = f"{len(data.train_labels):,} training and {len(data.test_images):,} test rows, {height} x {width} pixels"
    return [
        ("data", f"{data.name}: {size}, {len(data.classes)} {COMPETITION.nouns}"),
        ("networks", f"{names} x {times}"),
        ("command", f"make report RUN={run.folder.name}"),
        ("written", time.strftime("%Y-%m-%d %H:%M")),
    ]
