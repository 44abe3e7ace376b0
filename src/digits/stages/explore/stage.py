"""Open the explorer on a finished run."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from digits.errors import UserError
from digits.runs import RunFolder

ADDRESS = "127.0.0.1"  # of this machine alone
MOST_MEGABYTES = 20  # of an uploaded picture
OPTIONS = {
    "server.address": ADDRESS,
    "server.headless": "true",
    "server.enableCORS": "true",  # the default, as the next two, but Streamlit's own config files can change it
    "server.enableXsrfProtection": "true",
    "server.enableStaticServing": "false",
    "server.maxUploadSize": str(MOST_MEGABYTES),
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",  # a bug's traceback stands in the terminal
    "theme.base": "light",
}


def run(run: RunFolder, data_source: str | None, cache: Path, port: int | None) -> NoReturn:
    """Serve the explorer until it is interrupted: this process becomes the server, so that ending one ends the other.

    Args:
        run: finished and clustered.
        data_source: as the user gave it.
        cache: of the rows.
        port: on this machine; by default the first free one from 8501 on.

    Raises:
        UserError: Streamlit is not installed, or the port is taken.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise UserError("the explorer needs configs/requirements/explore.txt; `make explore` installs it")
    script = Path(__file__).with_name("main.py")
    options = [f"--{name}={value}" for name, value in OPTIONS.items()]
    if port:
        try:
            socket.create_server((ADDRESS, port)).close()
        except OSError as error:
            raise UserError(f"port {port}: {os.strerror(error.errno)}; choose another with PORT=") from None
        options.append(f"--server.port={port}")
    command = [sys.executable, "-m", "digits.stages.explore", "run", str(script), *options, "--"]
    print(f"Explorer of {run.folder}; Ctrl-C ends it", flush=True)
    os.execv(sys.executable, [*command, str(run.folder), data_source or "", str(cache)])
