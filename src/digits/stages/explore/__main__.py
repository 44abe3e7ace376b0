"""`python -m digits.stages.explore run ...`: Streamlit, with everything imported before the first page asks for it."""

from __future__ import annotations

import sys

from streamlit.web import cli

from digits.stages.explore import main  # noqa: F401  so that the first page does not wait for it

if __name__ == "__main__":
    sys.argv[0] = "streamlit"
    cli.main()
