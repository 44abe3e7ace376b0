"""Open the explorer on a finished run."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from digits.errors import UserError
from digits.runs import RunFolder

ADDRESS = "127.0.0.1"  # of this machine alone
MOST_MEGABYTES = 20  # of an uploaded picture
OPTIONS = {
    "server.address": ADDRESS,
    "server.enableCORS": "true",  # the default, as the next two, but Streamlit's own config files can change it
    "server.enableXsrfProtection": "true",
    "server.enableStaticServing": "false",
    "server.maxUploadSize": str(MOST_MEGABYTES),
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",  # with which it waits for an answer where it opens a browser
    "browser.serverAddress": ADDRESS,
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "theme.paddingTop": "1rem",  # of 8, which would move the map below the first screen
    "theme.paddingBottom": "2rem",
    "theme.light.primaryColor": "#0072B2",  # not red, which means a mistake here
    "theme.dark.primaryColor": "#2E86C8",
    "theme.light.codeTextColor": "#2F2D2B",  # as without a theme of our own, where it is green
    "theme.dark.codeTextColor": "#EDEBE8",
    "client.showErrorDetails": "none",  # a bug's traceback stands in the terminal
}


def run(run: RunFolder, data_source: str | None, cache: Path, port: int | None) -> NoReturn:
    """Serve the explorer until it is interrupted, and open a browser on it where there is a display.

    This process becomes the server, so that ending one ends the other.

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
    headless = str(not has_display(os.environ)).lower()
    options = [f"--{name}={value}" for name, value in OPTIONS.items()] + [f"--server.headless={headless}"]
    if port:
        try:
            socket.create_server((ADDRESS, port)).close()
        except OSError as error:
            raise UserError(f"port {port}: {os.strerror(error.errno)}; choose another with PORT=") from None
        options.append(f"--server.port={port}")
    command = [sys.executable, "-m", "digits.stages.explore", "run", str(script), *options, "--"]
    print(f"Explorer of {run.folder}; Ctrl-C ends it", flush=True)
    os.execv(sys.executable, [*command, str(run.folder), data_source or "", str(cache)])


def has_display(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """A browser that is opened here is seen by the person who asks for it.

    Args:
        environment: variables of the process.
        platform: as `sys.platform` names it.
    """
    if platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in environment
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
