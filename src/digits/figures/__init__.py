"""Pure functions, arrays in, a matplotlib figure out; one style for all of them."""

from digits.figures.convergence import convergence
from digits.figures.history import training_history

__all__ = ["convergence", "training_history"]
