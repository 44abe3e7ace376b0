"""What `kaggle_kernel.py` runs on Kaggle: the ordinary stages on the mounted data, for as long as there is time.

`python -m digits.stages.kaggle.on_kaggle settings.json`. Needs only what Kaggle's image has: no typer, no keras-tuner.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path

from digits import config, data, runs
from digits.competition import COMPETITION
from digits.config import Config
from digits.data import Source
from digits.errors import UserError
from digits.progress import duration
from digits.runs import Run
from digits.workers.cost import Deadline

MAPS = {"tsne": "openTSNE", "umap": "umap"}  # and the packages that they need


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the head of the kernel says.

    config: file. name: of the run. overrides: such as `training.epochs=3`. max_hours: for all of it. mounted: where
    Kaggle mounts data. working: where results go. began: when the kernel was started, seconds since 1970.
    """

    config: str
    name: str
    overrides: list[str]
    max_hours: float
    mounted: str
    working: str
    began: float


def main(settings: Settings) -> None:
    """Train what fits into the time, and leave a submission that gets better as members finish.

    Raises:
        UserError: a TPU, no data, a config that is not valid, or no member in time.
    """
    _decline_tpu()
    recipe = _with_maps_at_hand(config.load(settings.config, settings.overrides))
    source = find(Path(settings.mounted))
    print(source.note, flush=True)
    run = Run(Path(settings.working) / settings.name)
    deadline = Deadline(time.monotonic() + settings.began - time.time(), settings.max_hours)
    with run.locked():
        _run(recipe, source, run, deadline)


def _run(recipe: Config, source: Source, run: Run, deadline: Deadline) -> None:
    from digits import pipeline
    from digits.stages.cluster import stage as cluster
    from digits.stages.eda import stage as eda
    from digits.stages.evaluate import stage as evaluate
    from digits.stages.report import stage as report

    started = time.perf_counter()
    cache = run.folder.parent / "cache"
    dataset = data.read(source, cache)
    shutil.rmtree(cache)  # what is left in the working folder is kept, and this is of no use to anybody
    outcome = pipeline.make_submission(
        recipe, dataset, run, time.perf_counter() - started, deadline=deadline, patient=True
    )
    try:
        whole = run.covered(recipe)
    except UserError as error:
        print(f"No clusters and no report: {error}", flush=True)
    else:
        look = run.folder.parent / "eda"
        cluster.run(whole, dataset, run)
        evaluate.run(whole, dataset, run)
        eda.run(whole, dataset, look)
        report.run(whole, dataset, run, look, run.folder.parent / "tune")
    if outcome.problems:
        reasons = "; ".join(f"{name}: {problem}" for name, problem in outcome.problems.items())
        count = len(runs.members(recipe))
        print(f"WARNING: {len(outcome.problems)} of {count} members failed: {reasons}", flush=True)


def find(mounted: Path) -> Source:
    """The competition's data among what Kaggle has mounted.

    Raises:
        UserError: they are not there; says what is.
    """
    for place in (mounted / "competitions" / COMPETITION, mounted / COMPETITION):
        if place.exists():
            return dataclasses.replace(data.find(str(place)), note=f"Data: {place}")
    there = sorted(str(path.relative_to(mounted)) for depth in ("*", "*/*") for path in mounted.glob(depth))
    what = ", ".join(there[:20]) or "nothing"
    raise UserError(
        f"the competition's data are not mounted; {mounted} holds: {what}. Add the competition {COMPETITION} with "
        "`Add Input`, and run this again"
    )


def _decline_tpu() -> None:
    """Raises: UserError on a machine with a TPU."""
    if any(name.startswith("TPU_") for name in os.environ):
        raise UserError("this kernel has no use for a TPU; set the accelerator to `GPU T4 x2`, or to none")


def _with_maps_at_hand(recipe: Config) -> Config:
    """The config with those maps of the clusters that the installed packages can draw."""
    maps = [name for name in recipe.cluster.maps if importlib.util.find_spec(MAPS[name])]
    return config.replaced(recipe, {"cluster.maps": maps}, "of the kernel")


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    began = time.perf_counter()
    try:
        main(Settings(**json.loads(Path(sys.argv[1]).read_text())))
    except UserError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    print(f"All in {duration(time.perf_counter() - began)}", flush=True)
