"""The rows: find a source, read and check it, split it into folds."""

from digits.data.corrections import corrected
from digits.data.dataset import Dataset, Rows, Split
from digits.data.folds import assign
from digits.data.source import DEMO, Source, find
from digits.data.table import read, read_images

__all__ = ["DEMO", "Dataset", "Rows", "Source", "Split", "assign", "corrected", "find", "read", "read_images"]
