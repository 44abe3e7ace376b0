"""What the workers of a search are forked from: imported once for all of them, quietly."""

from digits.backend import load

load()

import digits.training  # noqa: E402
import digits.tuning.worker  # noqa: E402, F401
