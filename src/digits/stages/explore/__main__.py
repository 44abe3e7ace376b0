"""`python -m digits.stages.explore run ...`: Streamlit, with everything imported and read before a page asks for it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
from typing import Any

from streamlit.web import cli

from digits.stages.explore import pages

CLOSED_TAB = "Error sending websocket payload"  # what Streamlit logs, with a traceback, of a tab that was closed
LOGGER = "streamlit.web.server.starlette.starlette_websocket"


class Output(io.FileIO):
    """Standard output that may go away, as Ctrl-C ends the `tee` of a pipe: Streamlit would not end for it."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(BrokenPipeError):
            return super().write(data)
        return len(data)


if __name__ == "__main__":
    if sys.stdout is not None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(Output(1, "w", closefd=False)), line_buffering=True)
    logging.getLogger(LOGGER).addFilter(lambda record: record.msg != CLOSED_TAB)
    sys.argv[0] = "streamlit"
    threading.Thread(target=pages.read_ahead, args=sys.argv[-3:], daemon=True).start()
    try:
        cli.main()
    except SystemExit as ended:  # without waiting for a map that nobody will see; files are whole or absent
        os._exit(ended.code if isinstance(ended.code, int) else 1)
