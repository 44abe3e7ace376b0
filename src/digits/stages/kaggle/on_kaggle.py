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

from digits import config, pipeline
from digits.competition import COMPETITION
from digits.config import Config
from digits.errors import UserError
from digits.pipeline import Session
from digits.progress import duration
from digits.runs import Run
from digits.workers.budget import Deadline, Resources

MAPS = {"tsne": "openTSNE", "umap": "umap"}  # and the packages that they need


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the head of the kernel sets.

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
    output, data = Path(settings.working), find(Path(settings.mounted))
    session = Session(str(data), Path(settings.config), settings.name, settings.overrides, output)
    deadline = Deadline(time.monotonic() + settings.began - time.time(), settings.max_hours)
    recipe = _with_maps_at_hand(session.config())
    with session.folder().locked():
        dataset, seconds = session.dataset_and_seconds
        shutil.rmtree(output / "cache")  # what is left in the working folder is kept, and this is of no use to anybody
        run = Run(session.folder().folder, recipe, dataset)
        outcome = pipeline.make_submission(run, Resources(deadline=deadline, patient=True), seconds)
        pipeline.finish(run, output / "eda")
    if outcome.problems:
        reasons = "; ".join(f"{name}: {problem}" for name, problem in outcome.problems.items())
        print(f"WARNING: {len(outcome.problems)} of {len(run.members)} members failed: {reasons}", flush=True)


def find(mounted: Path) -> Path:
    """The folder of the competition among what Kaggle has mounted.

    Raises:
        UserError: it is not there; says what is.
    """
    for folder in (mounted / "competitions" / COMPETITION.name, mounted / COMPETITION.name):
        if folder.exists():
            return folder
    found = sorted(str(path.relative_to(mounted)) for depth in ("*", "*/*") for path in mounted.glob(depth))
    raise UserError(
        f"the competition's data are not mounted; {mounted} holds: {', '.join(found[:20]) or 'nothing'}. Add the "
        f"competition {COMPETITION.name} with `Add Input`, and run this again"
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
