"""What the workers of a search are forked from: imported once for all of them, quietly."""

from digits.training.backend import load

load()
