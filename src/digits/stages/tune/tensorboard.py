"""The trials of a search for TensorBoard's HParams page. Needs the package tensorboard."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pandas as pd


def write(folder: Path, table: pd.DataFrame, keys: list[str]) -> None:
    """Write a log folder a trial, anew: its searched values, log loss and accuracy.

    Args:
        folder: for `tensorboard --logdir`.
        table: a row a trial, with the columns of `keys`, trial, log_loss and accuracy.
        keys: the searched config keys.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.api import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    shutil.rmtree(folder, ignore_errors=True)
    for _, row in table[table["log_loss"].notna()].iterrows():
        writer = EventFileWriter(str(folder / str(row["trial"])))
        values = {key: row[key].item() if hasattr(row[key], "item") else row[key] for key in keys}
        writer.add_event(Event(summary=hparams_pb(values, trial_id=str(row["trial"])), wall_time=time.time()))
        scores = [Summary.Value(tag=name, simple_value=row[name]) for name in ("log_loss", "accuracy")]
        writer.add_event(Event(summary=Summary(value=scores), step=0, wall_time=time.time()))
        writer.close()
