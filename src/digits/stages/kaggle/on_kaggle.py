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

from digits import config, data, pipeline
from digits.competition import COMPETITION
from digits.config import Config
from digits.data import Source
from digits.errors import UserError
from digits.files.lock import locked
from digits.progress import duration
from digits.runs import Run
from digits.workers.budget import Deadline, Resources

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
    output = Path(settings.working)
    deadline = Deadline(time.monotonic() + settings.began - time.time(), settings.max_hours)
    with locked(output / settings.name):
        started = time.perf_counter()
        cache = output / "cache"
        dataset = data.read(source, cache)
        shutil.rmtree(cache)  # what is left in the working folder is kept, and this is of no use to anybody
        run, read = Run(output / settings.name, recipe, dataset), time.perf_counter() - started
        outcome = pipeline.make_submission(run, Resources(deadline=deadline, patient=True), read)
        pipeline.finish(run, output / "eda")
    if outcome.problems:
        reasons = "; ".join(f"{name}: {problem}" for name, problem in outcome.problems.items())
        print(f"WARNING: {len(outcome.problems)} of {len(run.members)} members failed: {reasons}", flush=True)


def find(mounted: Path) -> Source:
    """The competition's data among what Kaggle has mounted.

    Raises:
        UserError: they are not there; says what is.
    """
    for place in (mounted / "competitions" / COMPETITION.name, mounted / COMPETITION.name):
        if place.exists():
            return dataclasses.replace(data.find(str(place)), note=f"Data: {place}")
    there = sorted(str(path.relative_to(mounted)) for depth in ("*", "*/*") for path in mounted.glob(depth))
    what = ", ".join(there[:20]) or "nothing"
    raise UserError(
        f"the competition's data are not mounted; {mounted} holds: {what}. Add the competition {COMPETITION.name} with "
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
