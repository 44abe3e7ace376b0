"""Fetching the data with Kaggle's command, for which a script stands in."""

import os
import shutil
import stat
import sys

import numpy as np
import pytest

from digits.competition import COMPETITION
from digits.data import find
from digits.errors import UserError
from digits.stages.kaggle.download import fetch
from kaggle_form import make_zip, write_competition


@pytest.fixture
def archive(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 3, 3))
    return make_zip(write_competition(tmp_path / "made", pixels[:6], np.arange(6) % 2, pixels[6:]), tmp_path / "a.zip")


def complaint(root):
    with pytest.raises(UserError) as caught:
        fetch(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """Install a `kaggle` command made of Python lines; `folder` in them is its -p."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere" / "python"))
    interpreter = os.path.realpath("/proc/self/exe")

    def install(*lines):
        command = tmp_path / "bin" / "kaggle"
        command.parent.mkdir(exist_ok=True)
        command.write_text("\n".join([f"#!{interpreter}", "import sys", "folder = sys.argv[-1]", *lines]))
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

    return install


def test_fetch_puts_the_whole_zip_in_place(archive, tmp_path, kaggle):
    kaggle(
        "assert sys.argv[1:5] == ['competitions', 'download', '-c', 'digit-recognizer']",
        "import shutil",
        f"shutil.copy({str(archive)!r}, folder + '/digit-recognizer.zip')",
    )
    root = tmp_path / "input"
    assert fetch(root) == root / COMPETITION.name / "digit-recognizer.zip"
    assert [path.name for path in (root / COMPETITION.name).iterdir()] == ["digit-recognizer.zip"]
    assert find(None, root, ()).path == root / COMPETITION.name


# As printed by kaggle 2.2.4 and 1.6.
@pytest.mark.parametrize(
    ("output", "meaning"),
    [
        (
            "Authentication required to call the Kaggle API.\n\nFirst, you will need an account.",
            "credentials",
        ),
        ("OSError: Could not find kaggle.json. Make sure it's located in ~/.kaggle.", "credentials"),
        ("401 Client Error: Unauthorized for url: https://api.kaggle.com/v1/x", "credentials"),
        ("403 Client Error: Forbidden for url: https://api.kaggle.com/v1/x", "accept the rules"),
        ("403 - Forbidden - You must accept this competition's rules before ...", "accept the rules"),
        ("HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: /v1", "network"),
        ("ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403'))", "network"),
        ("first\nsomething new\n", "failed: something new"),
        ("", "printed nothing"),
    ],
)
def test_fetch_says_what_went_wrong(tmp_path, kaggle, output, meaning):
    kaggle(f"sys.exit({output!r} or 1)")
    assert meaning in complaint(tmp_path / "input")
    assert list((tmp_path / "input" / COMPETITION.name).iterdir()) == []


def test_fetch_without_the_command(tmp_path, kaggle):
    assert "pip install kaggle" in complaint(tmp_path / "input")


def test_a_cut_off_download_leaves_the_earlier_zip(archive, tmp_path, kaggle):
    root = tmp_path / "input"
    (root / COMPETITION.name).mkdir(parents=True)
    earlier = shutil.copy(archive, root / COMPETITION.name / "digit-recognizer.zip")
    content = earlier.read_bytes()
    kaggle("open(folder + '/digit-recognizer.zip', 'wb').write(b'PK\\x03\\x04 cut off')")
    assert "not a whole zip" in complaint(root)
    kaggle("pass")
    assert "left no digit-recognizer.zip" in complaint(root)
    assert earlier.read_bytes() == content
    assert list((root / COMPETITION.name).iterdir()) == [earlier]
