"""The script that Streamlit runs for every page: `digits explore` starts it with a run folder and a data source."""

import sys

from digits.stages.explore import pages

pages.show(*sys.argv[1:])
