"""Pure functions, arrays in, a matplotlib figure out; one style for all of them."""

from digits.figures.history import training_history

__all__ = ["training_history"]
