"""Download the competition's data with the `kaggle` command."""

from __future__ import annotations

import tempfile
from pathlib import Path

from digits.competition import COMPETITION
from digits.data.source import locate
from digits.errors import UserError
from digits.stages.kaggle import command


def fetch(root: Path = Path("input")) -> Path:
    """Download the competition with the `kaggle` command and return the path of its zip.

    Raises:
        UserError: no `kaggle` command, no credentials, rules not accepted, no network, or a bad download.
    """
    folder, page = root / COMPETITION.name, f"{COMPETITION.url}/data"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as unfinished:
        arguments = ("competitions", "download", "-c", COMPETITION.name, "-p", unfinished)
        command.run(*arguments, again="make data", otherwise=f"or put the zip from {page} into {folder}")
        archive = Path(unfinished, f"{COMPETITION.name}.zip")
        if not archive.is_file():
            raise UserError(f"the `kaggle` command left no {archive.name}; see {page}")
        for table in locate(archive).values():
            with table.open() as stream:
                while stream.read(2**20):  # to the end: only there does the zip's checksum speak
                    pass
        return archive.replace(folder / archive.name)
