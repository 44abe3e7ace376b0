"""How time and memory grow with the rows: every stage on competitions of 10,000 to 1,000,000 of them.

    make bench-scale DATA=digit-recognizer.zip                 # 20 minutes on two quiet cores, 4 GB of disk
    make bench-scale DATA=digit-recognizer.zip ROWS=100000     # no more than that

Writes scale.csv, scale.md and scale.png to output/bench/. The competitions are those of big_table.py, and go as soon as
they are measured. The commands are those that people call, each in a process of its own: one epoch of a small network
on either half of the rows, so that each row is trained on once and predicted out of fold once. Left out are the t-SNE
and UMAP maps, which are drawn of 10,000 rows however many there are. Sizes that scale.csv holds already are not
measured again.

Memory is the proportional set size (PSS) of a command and all its children together, looked at five times a second: a
page that several of them share counts once; what takes less than a second is hardly seen. It is what Linux tells, so
this runs on Linux alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import typer
from matplotlib.figure import Figure

import big_table
from digits import data, runs
from digits.figures.style import SERIES, canvas, styled
from digits.files import records
from digits.files.atomic import replacing
from digits.runs import RunFolder
from digits.workers import gpus

SIZES = (10_000, 31_623, 100_000, 316_228, 1_000_000)
LIMIT = 8e9  # bytes that the whole shall do with
EVERY = 0.2  # seconds between two looks at the memory
RECIPE = ["--config", "configs/fast.yaml"]
RECIPE += [f"--set={of}" for of in ("architectures=[small]", "folds.count=2", "training.epochs=1")]
READ = "import sys, pathlib; from digits import data; data.read(data.find(sys.argv[1]), pathlib.Path(sys.argv[2]))"
TICK = os.sysconf("SC_CLK_TCK")


class Stage(NamedTuple):
    """What a stage took. cpu: seconds of all cores together. peak: bytes."""

    rows: int
    stage: str
    seconds: float
    cpu: float
    peak: float


class Watched(NamedTuple):
    """A command that ended well: looks at it, float (looks, 3): the time, bytes of memory, seconds of the processor."""

    looks: np.ndarray

    def stage(self, rows: int, name: str, begin: float = -np.inf, end: float = np.inf) -> Stage:
        """What happened between two times, by the clock of `time.time`."""
        times, memory, cpu = self.looks.T
        begin, end = max(begin, times[0]), min(end, times[-1])
        around = slice(np.searchsorted(times, begin, "right") - 1, np.searchsorted(times, end) + 1)
        used = np.interp([begin, end], times, cpu)
        return Stage(rows, name, end - begin, used[1] - used[0], memory[around].max())


def main(
    source: Annotated[str | None, typer.Option("--data", help="As for every stage.")] = None,
    most: Annotated[int, typer.Option(help="Rows of the largest competition.")] = SIZES[-1],
    output: Path = Path("output"),
) -> None:
    """Measure the sizes that are not measured yet; table and figure grow with each."""
    folder = output / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "scale.csv"
    known = pd.read_csv(table) if table.exists() else pd.DataFrame()
    dataset = data.read(data.find(source), output / "cache")
    for rows in (of for of in SIZES if of <= most):
        if len(known) and (known["rows"] == rows).any():
            continue
        print(f"{rows:,} rows", flush=True)
        place = folder / f"scale-{rows}"
        shutil.rmtree(place, ignore_errors=True)  # of a call that was stopped
        big_table.write(dataset.rows, place, rows)
        measured = pd.DataFrame(_stages(rows, place))
        shutil.rmtree(place)
        known = pd.concat([known, measured]).sort_values("rows", kind="stable")
        _write(folder, known)
    print(f"Written: {table}, scale.md, scale.png")


def _stages(rows: int, place: Path) -> Iterator[Stage]:
    """Run every stage on the competition in `place`, which also takes the results."""
    common = ["--data", str(place), "--output", str(place)]
    for name in ("read the CSVs", "read them again"):
        yield _told(_watch("-c", READ, str(place), str(place / "cache")).stage(rows, name))
    training = _watch("-m", "digits", "train", *common, *RECIPE, "--run", "scale", "--workers", "2")
    yield _told(training.stage(rows, "train and predict"))
    yield from map(_told, _parts(rows, training, RunFolder(place / "scale")))
    finished = [*common, "--run", "scale"]
    yield _told(_watch("-m", "digits", "submit", *finished, *RECIPE).stage(rows, "submit"))
    yield _told(_watch("-m", "digits", "evaluate", *finished).stage(rows, "evaluate"))
    yield _told(_watch("-m", "digits", "cluster", *finished, "--set=cluster.maps=[]").stage(rows, "cluster"))
    yield _told(_watch("-m", "digits", "eda", *common).stage(rows, "eda"))


def _parts(rows: int, training: Watched, run: RunFolder) -> Iterator[Stage]:
    """The epoch and the prediction of two networks at a time, by the times of the files that members leave."""
    folders = [run.member(member) for member in runs.members(run.recorded_config())]
    trained, saved, predicted = (
        [(folder / name).stat().st_mtime for folder in folders] for name in ("history.csv", "model.keras", "test.npz")
    )
    epoch = max(records.read_json(folder / "member.json", seconds=float)["seconds"] for folder in folders)
    yield training.stage(rows, "of it: an epoch", max(trained) - epoch, max(trained))
    yield training.stage(rows, "of it: prediction", min(saved), max(predicted))


def _watch(*arguments: str) -> Watched:
    """Run Python with these arguments to its end and look at the memory of all its processes meanwhile."""
    environment = os.environ | gpus.PROCESSOR
    looks = [(time.time(), 0.0, 0.0)]
    with subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            while process.poll() is None:
                looks.append(_look(process.pid))
                time.sleep(EVERY)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    looks.append((time.time(), 0.0, looks[-1][2]))
    if process.returncode:
        raise SystemExit(f"error: {' '.join(arguments)} ended with status {process.returncode}")
    return Watched(np.array(looks))


def _look(session: int) -> tuple[float, float, float]:
    """The time, and the memory and processor time of all processes of a session, their dead children included."""
    memory = ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) != session:
                continue
            ticks += sum(map(int, fields[11:15]))
            lines = (stat.parent / "smaps_rollup").read_text().splitlines()
            memory += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # it has just ended
            continue
    return time.time(), 1024.0 * memory, ticks / TICK


def _told(stage: Stage) -> Stage:
    print(f"  {stage.stage:18} {stage.seconds:7.1f} s {stage.peak / 1e6:7,.0f} MB", flush=True)
    return stage


def _write(folder: Path, measured: pd.DataFrame) -> None:
    """The table as CSV and as Markdown, and the figure."""
    with replacing(folder / "scale.csv") as temporary:
        measured.to_csv(temporary, index=False, float_format="%.6g")
    lines = [
        "| rows | stage | seconds | of the processor | a 1,000 rows | MB at the peak |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {of.rows:,} | {of.stage} | {of.seconds:.1f} | {of.cpu:.1f} | {1000 * of.seconds / of.rows:.3f} | "
        f"{of.peak / 1e6:,.0f} |"
        for of in measured.itertuples()
    ]
    with replacing(folder / "scale.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with replacing(folder / "scale.png") as temporary:
        draw(measured).savefig(temporary)


@styled
def draw(measured: pd.DataFrame) -> Figure:
    """Seconds and memory by rows, a line a stage: columns are those of `Stage`. Dashed: in step with the rows."""
    figure, (times, peaks) = canvas(2, width=7.5, height=3.6)
    for (stage, of), colour in zip(measured.groupby("stage", sort=False), SERIES, strict=False):
        look = {"color": colour, "marker": "o", "ms": 3, "lw": 1.4, "label": stage}
        times.plot(of["rows"], of["seconds"], **look)
        peaks.plot(of["rows"], of["peak"] / 1e9, **look)
    rows = np.array([measured["rows"].min(), measured["rows"].max()])
    longest = measured.loc[measured["rows"] == rows[1], "seconds"].max()
    times.plot(rows, 1.5 * longest * rows / rows[1], color="#444444", ls="--", lw=1)
    peaks.axhline(LIMIT / 1e9, color="#444444", ls="--", lw=1)
    peaks.annotate(f"{LIMIT / 1e9:.0f} GB", (rows[0], LIMIT / 1e9), va="bottom")
    times.set(title="Time", xlabel="labelled rows", ylabel="seconds", xscale="log", yscale="log")
    peaks.set(title="Memory at the peak, all processes", xlabel="labelled rows", ylabel="GB", xscale="log")
    peaks.set_ylim(0, 1.1 * max(LIMIT, measured["peak"].max()) / 1e9)
    peaks.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


if __name__ == "__main__":
    typer.run(main)
