"""Where the explorer opens a browser by itself."""

import sys
import time
from pathlib import Path

import pytest

from browser import without_display
from command import start
from digits.stages.explore.stage import has_display


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ""}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}, False),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}, False),
    ],
)
def test_a_browser_is_opened_where_somebody_sees_it(platform, environment, expected):
    assert has_display(environment, platform) is expected


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing can stand in for a browser")
@pytest.mark.parametrize("display", [None, ":7"])
def test_it_says_its_address_and_opens_it_where_there_is_a_display(tmp_path, display):
    (tmp_path / "small/clusters").mkdir(parents=True)
    (tmp_path / "small/clusters/metrics.json").write_text("{}")  # enough for the server to start
    environment = without_display() | {"PYTHONUNBUFFERED": "1"} | ({"DISPLAY": display} if display else {})
    environment = _with_browser(environment, tmp_path)
    with start("explore", "--output", tmp_path, "--run", "small", env=environment) as process:
        shown = next(line for line in process.stdout if "URL" in line)
        for _ in range(100 if display else 5):
            if (tmp_path / "opened.txt").exists():
                break
            time.sleep(0.1)
        process.kill()
    assert "http://127.0.0.1:" in shown
    opened = (tmp_path / "opened.txt").read_text().strip() if display else ""
    assert opened in shown
    assert (tmp_path / "opened.txt").exists() is bool(display)


def _with_browser(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """The environment with an `xdg-open` that writes down what it was asked to open."""
    command = folder / "xdg-open"
    command.write_text(f'#!/bin/sh\necho "$1" > "{folder}/opening"\nmv "{folder}/opening" "{folder}/opened.txt"\n')
    command.chmod(0o755)
    return environment | {"PATH": f"{folder}:{environment['PATH']}"}
