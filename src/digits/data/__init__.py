"""Where the rows come from: find a source, read and check it, split it into folds."""

from digits.data.folds import assign
from digits.data.source import DEMO, Source, find
from digits.data.table import Dataset, Rows, read, read_images
from digits.stages.kaggle.download import fetch

__all__ = ["DEMO", "Dataset", "Rows", "Source", "assign", "fetch", "find", "read", "read_images"]
