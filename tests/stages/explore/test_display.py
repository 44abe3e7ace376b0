"""Where the explorer opens a browser by itself."""

import pytest

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
