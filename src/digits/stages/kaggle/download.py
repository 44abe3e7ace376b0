"""Download the competition's data with the `kaggle` command."""

from __future__ import annotations

import tempfile
from pathlib import Path

from digits.competition import COMPETITION
from digits.data.source import locate
from digits.errors import UserError
from digits.stages.kaggle import command

DOWNLOAD_SECONDS = 600


def fetch(root: Path = Path("input")) -> Path:
    """Download the competition with the `kaggle` command and return the path of its zip.

    Raises:
        UserError: no `kaggle` command, no credentials, rules not accepted, no network, or a bad download.
    """
    folder = root / COMPETITION.name
    command.path(f"or put the zip from {COMPETITION.url}/data into {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as unfinished:
        arguments = ("competitions", "download", "-c", COMPETITION.name, "-p", unfinished)
        command.run(*arguments, seconds=DOWNLOAD_SECONDS, again="`make data`")
        archive = Path(unfinished, f"{COMPETITION.name}.zip")
        if not archive.is_file():
            raise UserError(f"the `kaggle` command left no {archive.name}; see {COMPETITION.url}/data")
        for table in locate(archive).values():
            with table.open() as stream:
                while stream.read(2**20):  # to the end: only there does the zip's checksum speak
                    pass
        return archive.replace(folder / archive.name)
