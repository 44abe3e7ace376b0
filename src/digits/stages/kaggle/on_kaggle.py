"""Main program of `kaggle_kernel.py`: the ordinary stages on the mounted data, for as long as there is time.

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
from digits.data import Dataset
from digits.errors import UserError
from digits.pipeline import Session
from digits.progress import duration
from digits.runs import Run, RunFolder
from digits.workers import gpus, self_check
from digits.workers.budget import Deadline, Resources

MAPS = {"tsne": "openTSNE", "umap": "umap"}  # and the packages that they need


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings in the head of the kernel.

    gpu_config, cpu_config: files; the run is called like the one that is taken. overrides: such as
    `training.epochs=3`. max_hours: for all of it. mounted: where Kaggle mounts data. working: where results go. began:
    when the kernel was started, seconds since 1970.
    """

    gpu_config: str
    cpu_config: str
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
    deadline = Deadline(time.monotonic() + settings.began - time.time(), settings.max_hours)
    dataset, seconds = Session(str(data), output=output).dataset_and_seconds
    shutil.rmtree(output / "cache")  # what is left in the working folder is kept, and this is of no use to anybody
    name, recipe = _recipe(settings, dataset)
    folder = RunFolder.named(output, name)
    with folder.locked():
        run = Run(folder.folder, recipe, pipeline.with_corrections(dataset, recipe))
        outcome = pipeline.make_submission(run, Resources(deadline=deadline, patient=True), seconds)
        pipeline.finish(run, output / "eda")
    _copy_results(run, output)
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


def _recipe(settings: Settings, dataset: Dataset) -> tuple[str, Config]:
    """Name and config of the recipe for a GPU where there is one that works, otherwise of that for a processor."""
    if gpus.count():
        name, recipe = _load(settings.gpu_config, settings.overrides)
        way = self_check.find_way(recipe, dataset.train_images.shape[1:], len(dataset.classes))
        if way is not self_check.PROCESSOR:
            return name, recipe
        os.environ.update(way.environment)
    return _load(settings.cpu_config, settings.overrides)


def _load(file: str, overrides: list[str]) -> tuple[str, Config]:
    """Name of a config file, and the config with those maps of the clusters that installed packages can draw."""
    recipe = config.load(file, overrides)
    maps = [name for name in recipe.cluster.maps if importlib.util.find_spec(MAPS[name])]
    return Path(file).stem, config.replaced(recipe, {"cluster.maps": maps}, "of the kernel")


def _copy_results(run: Run, output: Path) -> None:
    """Copy the probabilities, the report and the figures to the top of the working folder."""
    maps = [run.clusters / f"map_{kind}.png" for kind in ("tsne", "umap", "pca")]
    figures = [run.folder / "history.png", run.folder / "confusion.png", *[path for path in maps if path.exists()][:1]]
    for path in (run.oof, run.test, run.folder / "report.html", *figures):
        if path.exists():
            shutil.copyfile(path, output / path.name)


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    began = time.perf_counter()
    try:
        main(Settings(**json.loads(Path(sys.argv[1]).read_text())))
    except UserError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    print(f"All in {duration(time.perf_counter() - began)}", flush=True)
