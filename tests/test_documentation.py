"""What README and docs/ name exists: commands, variables, config keys, files, links, anchors and pictures."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from PIL import Image

from command import ROOT
from digits import config
from digits.__main__ import app
from digits.errors import UserError

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
PICTURES = sorted((ROOT / "docs/pictures").glob("*"))
MOST_LINES, MOST_BYTES = 150, 2_000_000  # of README, of all pictures
WIDTHS = 600, 2000  # pixels of a picture: GitHub shows 830 of them, twice as many on a fine screen

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
ASSIGNMENT = re.compile(r"([A-Z]+)=(.*)")
FILE = re.compile(r"(?:configs|docs|src|tests)/[\w./-]*\w")

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", MAKEFILE))
VARIABLES = {name: set(names.split()) for name, names in re.findall(r"(?m)^([a-z-]+): VARIABLES := (.*)$", MAKEFILE)}
EVERYWHERE = {"BACKEND", "GPU", "PYTHON"}  # variables that every target reads
COMMANDS = typer.main.get_command(app).commands

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def snippets(text: str) -> Iterator[str]:
    """Lines of shell and inline code, without comments and with single spaces."""
    for language, block in FENCE.findall(text):
        if language == "sh":
            yield from (line.partition(" #")[0].strip() for line in block.splitlines())
    for code in CODE.findall(FENCE.sub("", text)):
        yield " ".join(code.split())


def mistakes(text: str) -> list[str]:
    """What snippets name that does not exist: targets, variables, config keys, sub-commands, files."""
    found = []
    for snippet in snippets(text):
        found += [f"{snippet}: no {name}" for name in FILE.findall(snippet) if not (ROOT / name).exists()]
        for command in snippet.split("&&"):
            words = shlex.split(command) if re.match(r"\s*([A-Z_]+=|\S*python |make\b)", command) else []
            problem = _mistake(words)
            found += [f"{snippet}: {problem}"] if problem else []
    return found


def _mistake(words: list[str]) -> str | None:
    assigned = dict(match.groups() for match in map(ASSIGNMENT.fullmatch, words) if match)
    target = words[words.index("make") + 1] if "make" in words[:-1] else None
    known = VARIABLES.get(target, set()) if target else set().union(*VARIABLES.values())
    if target and target not in TARGETS:
        return f"no target {target}"
    if unknown := assigned.keys() - known - EVERYWHERE:
        return f"{target or 'the Makefile'} has no variable {unknown}"
    if words[1:3] == ["-m", "digits"] and not (len(words) > 3 and words[3] in COMMANDS):
        return "no such sub-command"
    pairs = [pair for pair in assigned.get("SET", "").split() if "<" not in pair and "=" in pair]
    try:
        config.revise(config.Config(), pairs, "of the page")
    except UserError as error:
        return str(error)
    return None


def broken_links(page: Path, text: str) -> list[str]:
    """Links of a page to files and anchors that do not exist; those to other sites are not followed."""
    found = []
    for target in ("".join(groups) for groups in LINK.findall(CODE.sub("", FENCE.sub("", text)))):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if "://" in target:
            continue
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            found.append(target)
    return found


def anchors(text: str) -> set[str]:
    """Anchors that GitHub gives the headings of a page."""
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(FENCE.sub("", text))}


@every_page
def test_every_command_variable_and_file_exists(page):
    assert mistakes(page.read_text(encoding="utf-8")) == []


@every_page
def test_every_link_anchor_and_picture_resolves(page):
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_the_readme_is_short_and_leads_to_every_page():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in text] == []


def test_every_picture_is_shown_small_enough_to_load_and_large_enough_to_read():
    shown = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert PICTURES
    assert [path.name for path in PICTURES if f"pictures/{path.name}" not in shown] == []
    assert sum(path.stat().st_size for path in PICTURES) < MOST_BYTES
    for path in PICTURES:
        with Image.open(path) as picture:
            assert WIDTHS[0] <= picture.width <= WIDTHS[1], path.name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Run `make sumbit`.", "no target sumbit"),
        ("Run `make submit TRIALS=3`.", "submit has no variable {'TRIALS'}"),
        ("With `SCHEDULR=tcp://host:1` it", "the Makefile has no variable {'SCHEDULR'}"),
        ('```sh\nmake data && make submit SET="folds.cuont=2"  # x\n```', "cuont"),
        ("`.venv/bin/python -m digits sumbit`", "no such sub-command"),
        ("`.venv/bin/python tests/tools/gone.py zip`", "no tests/tools/gone.py"),
        ("`make submit\nCONFIG=configs/gone.yaml`", "no configs/gone.yaml"),
    ],
)
def test_what_does_not_exist_is_found(text, words):
    (found,) = mistakes(text)
    assert words in found


@pytest.mark.parametrize("link", ["[a](gone.md)", "[a](page.md#gone)", "![a](gone.png)", '<img src="gone.png">'])
def test_a_broken_link_is_found(tmp_path, link):
    page = tmp_path / "page.md"
    page.write_text(
        f"# The `page`\n\n[a](#the-page) [b](page.md#the-page) [c](https://gone.example/) `[d](gone)` {link}\n"
    )
    assert len(broken_links(page, page.read_text())) == 1
