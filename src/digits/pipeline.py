"""Make what is missing: the order of stages, for the command line and the kernel alike."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digits import config, data
from digits.config import Config
from digits.data import DEMO, Dataset, Source, corrections
from digits.errors import UserError, one_line
from digits.files import records
from digits.files.lock import locked
from digits.runs import Member, Run, RunFolder, members
from digits.workers.budget import MOST_HOURS, Deadline, Resources

if TYPE_CHECKING:
    from digits.stages.predict.exported import Ensemble
    from digits.stages.train import Outcome

CONFIGS = Path("configs")


@dataclass(frozen=True)
class Session:
    """Options that most commands share.

    data: a folder, a zip or `demo`; by default what is found. config_file: by default that of the data. run: name; by
    default the config's. overrides: such as `training.epochs=3`. output: folder of all runs.
    """

    data: str | None = None
    config_file: Path | None = None
    run: str | None = None
    overrides: Sequence[str] = ()
    output: Path = Path("output")

    @cached_property
    def source(self) -> Source:
        """Source of the rows; prints it."""
        source = data.find(self.data)
        print(source.note, flush=True)
        return source

    @cached_property
    def dataset_and_seconds(self) -> tuple[Dataset, float]:
        """The data, read and checked, and the time that it took."""
        started = time.perf_counter()
        dataset = data.read(self.source, self.output / "cache")
        if dataset.note:
            print(one_line(dataset.note), flush=True)
        return dataset, time.perf_counter() - started

    @property
    def dataset(self) -> Dataset:
        return self.dataset_and_seconds[0]

    @property
    def default_name(self) -> str:
        """Name of the default config and its run."""
        return "default" if self.source.path else "demo"

    @property
    def config_path(self) -> Path:
        return self.config_file or CONFIGS / f"{self.default_name}.yaml"

    def config(self) -> Config:
        """Load the config with its overrides."""
        return config.load(self.config_path, list(self.overrides))

    def new_run(self) -> Run:
        """Run of the config on the data; cheap mistakes are found before the rows are read."""
        settings = self.config()
        run = RunFolder.named(self.output, self.run or self.config_path.stem)
        print(f"{'Run' if run.exists else 'New run'} {run.folder}, of {self.config_path}", flush=True)
        return Run(run.folder, settings, with_corrections(self.dataset, settings))

    def run_folder(self) -> RunFolder:
        """Folder of the run, whether it exists or not."""
        return RunFolder.named(self.output, self.run or self.default_name)

    def finished_run(self, preset: Path | None = None) -> Run:
        """An existing run, as far as it is trained, with the session's overrides of what may change on it."""
        folder = self.run_folder()
        recorded = folder.adapted_config(list(self.overrides), preset)
        covered = folder.covered_config(recorded)
        if covered is not recorded:
            some = f"{len(members(covered))} of its {len(members(recorded))} networks"
            print(f"Run {folder.folder.name} is unfinished: this is of {some}", flush=True)
        return Run(folder.folder, covered, self.dataset)

    def command(self, target: str, workers: int | None) -> str:
        """Make command with the options of this session."""
        backend = os.environ.get("KERAS_BACKEND")
        variables = {"BACKEND": backend if backend != "tensorflow" else None, "DATA": self.data}
        variables |= {"CONFIG": self.config_file, "RUN": self.run, "WORKERS": workers, "SET": " ".join(self.overrides)}
        return shlex.join(["make", target, *(f"{name}={value}" for name, value in variables.items() if value)])


def resources(workers: int | None, scheduler: str | None, hours: str | None) -> Resources:
    """Choose where members are trained, and for how many hours from now on.

    Raises:
        UserError: the hours are no positive number, or are given to a cluster, which has no limit.
    """
    began = time.monotonic()
    if hours is None:
        return Resources(workers, scheduler, Deadline(began))
    try:
        limit = float(hours)
    except ValueError:
        limit = math.nan
    if not 0 < limit <= MOST_HOURS:
        raise UserError(f"hours '{hours[:100]}': give a number over 0, such as HOURS=1.5 (at most {MOST_HOURS:g})")
    if scheduler:
        raise UserError("HOURS= and SCHEDULER= do not go together: leave one of them out")
    return Resources(workers, scheduler, Deadline(began, limit))


def with_corrections(dataset: Dataset, settings: Config) -> Dataset:
    """Dataset with the corrected labels of a config, if it names any; prints what they change."""
    dataset = data.corrected(dataset, settings.data.corrections)
    if dataset.corrected is not None:
        print(f"Corrections: {corrections.sentence(dataset)}", flush=True)
    return dataset


def explore_data(session: Session) -> None:
    """Look at the data."""
    settings, folder = session.config(), explored_folder(session.output, session.dataset)
    from digits.stages.eda import stage

    with locked(folder):
        stage.run(settings, session.dataset, folder)


def explored_folder(output: Path, dataset: Dataset) -> Path:
    """Folder of the exploration of a data set: by its name, and its rows too if that of others is there already."""
    folder = output / "eda" / dataset.name
    try:
        explored = records.read_json(folder / "metrics.json", data=dict)["data"]
    except UserError:  # not there, or damaged, and made anew
        return folder
    own = {"train": dataset.fingerprint, "test": dataset.test_fingerprint}
    if all(explored.get(table, fingerprint) == fingerprint for table, fingerprint in own.items()):
        return folder
    return folder.with_name(f"{dataset.name}-{dataset.fingerprint[:4]}{dataset.test_fingerprint[:4]}")


def train(session: Session, resources: Resources) -> None:
    """Train what is missing of a run."""
    from digits.stages import train

    run = session.new_run()
    with run.locked():
        count = len(train.run(run, resources).trained)
        if count < len(run.members):
            command = session.command("train", resources.workers)
            print(f"Members: {count} of {len(run.members)}. To train the others: {command}", flush=True)


def submit(session: Session, resources: Resources) -> None:
    """Train what is missing of a run, and write its submission."""
    run = session.new_run()
    with run.locked():
        make_submission(run, resources, session.dataset_and_seconds[1], session.command("submit", resources.workers))


def make_submission(run: Run, resources: Resources, read_seconds: float, rest: str | None = None) -> Outcome:
    """Train what is missing, rewrite the submission after every member, and print the closing table.

    run: locked by the caller. read_seconds: time that reading the data took, for the table and the metrics. rest:
    command that trains the members for which there is no time.

    Raises:
        UserError: not a single member was trained.
    """
    from digits.ensemble import logits
    from digits.stages import submit, train

    started = time.perf_counter()
    loaded: dict[Member, Any] = {}

    def seconds() -> dict[str, float]:
        return {"read": read_seconds, "train": time.perf_counter() - started}

    def after(trained: list[Member]) -> None:
        if len(trained) < len(run.members):  # the last one is followed by the closing table
            loaded.update({member: logits.load(run, member) for member in trained if member not in loaded})
            metrics = submit.ensemble(run, [loaded[member] for member in trained], seconds())
            scores = f"OOF accuracy {metrics['oof_accuracy']:.5f}, predicted score {metrics['predicted_score']:.5f}"
            print(f"submission.csv: {len(trained)} of {len(run.members)} members, {scores}", flush=True)

    outcome = train.run(run, resources, after)
    if not outcome.trained:
        reason = next(iter(outcome.problems.values()), "the time was over; the same command resumes its checkpoint")
        raise UserError(f"no member was trained: {reason}")
    submit.run(run, seconds(), outcome.trained, rest)
    return outcome


def validate(session: Session, file: Path) -> bool:
    """Validate a submission file, by the small ensemble that comes along where no good run can judge it.

    Returns:
        Whether it is valid.
    """
    from digits.stages import validate

    def pretrained() -> Ensemble:
        from digits.stages.predict import exported

        return exported.load(exported.PRETRAINED)

    named = RunFolder.existing(session.output, session.run) if session.run else None
    return validate.run(file, session.dataset, session.output, named, pretrained).valid


def tune(session: Session, space_file: Path | None, workers: int | None, scheduler: str | None) -> None:
    """Search for a better config, or resume a search; by default in the space that is meant for the data."""
    from digits.stages.tune import stage
    from digits.stages.tune.search import Search
    from digits.stages.tune.space import load

    space_file = space_file or CONFIGS / "spaces" / ("accuracy.yaml" if session.source.path else "demo.yaml")
    space = load(space_file, config.load(session.config_path), list(session.overrides))
    name = session.run or space_file.stem
    RunFolder.named(session.output, name)  # which checks the name
    folder = session.output / "tune" / name
    print(f"Search: {folder}, of {space_file}", flush=True)
    stage.run(Search(space, space_file, with_corrections(session.dataset, space.base), folder), workers, scheduler)


def evaluate(run: Run) -> None:
    """Evaluate a run, and say what to do next."""
    from digits.stages.evaluate import findings, stage

    with run.locked():
        stage.run(run)
    print(findings.next_step(run.folder.name), flush=True)


def cluster(run: Run, methods: str | None, spaces: str | None) -> None:
    """Cluster a run, and say what to do next; or compare these clusterers in these spaces."""
    from digits.stages.cluster import comparison, findings, stage

    with run.locked():
        if methods or spaces:
            comparison.compare(run, methods, spaces)
        else:
            record = stage.run(run)
            print(findings.next_step(run.folder.name, record["queued"]), flush=True)


def report(run: Run) -> None:
    """Write the report of a run, after the evaluation and the exploration of the data if it lacks them."""
    from digits.stages.eda import stage as eda
    from digits.stages.evaluate import stage as evaluate
    from digits.stages.report import inputs
    from digits.stages.report import stage as report

    output = run.folder.parent
    explored = explored_folder(output, run.dataset)
    with run.locked(), locked(explored):
        if not inputs.is_evaluated(run):
            evaluate.run(run)
        if not inputs.is_explored(explored, run.dataset):
            eda.run(run.config, run.dataset, explored)
        page = report.run(run, explored, output / "tune")
    print(f"Next: open {page.resolve().as_uri()} in a browser; it needs no other file", flush=True)


def explore(session: Session, port: int | None) -> None:
    """Open the explorer on the named run, the default one, or one made of the demo set; cluster it first if needed."""
    from digits.stages.cluster import stage as cluster
    from digits.stages.explore import stage as explore

    if session.run is None and not session.run_folder().metrics.exists():
        print(f"There is no finished run {session.run_folder().folder} yet: here is the demo set's", flush=True)
        session = Session(DEMO, output=session.output)
        if not session.run_folder().metrics.exists():
            submit(session, Resources())
    folder = session.run_folder()
    if not (folder.clusters / "metrics.json").exists():
        run = session.finished_run()
        with run.locked():
            cluster.run(run)
    explore.run(folder, session.data, session.output / "cache", port)


def predict(session: Session, images: Sequence[Path], split: bool) -> None:
    """Predict pictures with a run's ensemble, exported where it is not yet, or with the one that comes along."""
    from digits.stages.predict import export, exported, stage

    if not images:
        raise UserError('name pictures or folders: make predict IMAGES="a.png scans/"')
    if session.run:
        folder = session.run_folder()
        current = export.current(folder, folder.covered_config(folder.recorded_config()))
        ensemble = current or export.make(session.finished_run())
    else:
        ensemble = exported.load(exported.PRETRAINED)
    stage.run(ensemble, images, session.output / "predictions", split)


def finish(run: Run, explored: Path) -> None:
    """Cluster, evaluate, explore and report a run, of which some members may be missing.

    run: locked by the caller. explored: folder of the exploration of the data.
    """
    from digits.stages.cluster import stage as cluster
    from digits.stages.eda import stage as eda
    from digits.stages.evaluate import stage as evaluate
    from digits.stages.report import stage as report

    try:
        run = replace(run, config=run.covered_config(run.config))
    except UserError as error:
        print(f"No clusters and no report: {error}", flush=True)
        return
    cluster.run(run)
    evaluate.run(run)
    eda.run(run.config, run.dataset, explored)
    report.run(run, explored, run.folder.parent / "tune")
