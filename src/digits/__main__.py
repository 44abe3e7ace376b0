"""The command line: one sub-command a stage. `python -m digits --help`."""

from __future__ import annotations

import logging
import math
import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from digits import config, data, runs
from digits.config import Config
from digits.data import Dataset, Source
from digits.errors import UserError, one_line_errors
from digits.runs import Run, members
from digits.stages.kaggle import download
from digits.workers.cost import MOST_HOURS, Deadline

app = typer.Typer(
    help="Digit Recognizer: k-fold CNNs, an honest score, and a submission that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Config file; by default default.yaml of configs/, or demo.yaml on the demo set."),
]
DataOption = Annotated[str | None, typer.Option("--data", help="Folder with train.csv and test.csv, or Kaggle's zip.")]
RunOption = Annotated[str | None, typer.Option("--run", help="Name of the run; by default the config's.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Members trained at a time; by default what the machine holds.")
]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", help="Of a Dask cluster that trains, such as tcp://host:8786.")
]
HoursOption = Annotated[
    str | None, typer.Option("--hours", help="End in that time, with the members that fit into it.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A config value, such as training.epochs=3; may be repeated.")
]
FinishedRunOption = Annotated[str | None, typer.Option("--run", help="A finished run; by default `default` or `demo`.")]
OutputOption = Annotated[Path, typer.Option("--output", help="Folder of all runs.")]
OUTPUT = Path("output")
MOST_NAME_BYTES = 110  # so that the two names of a comparison fit into one, of 255 at most
RESERVED = ("bench", "cache", "compare", "eda", "predictions", "published", "submission.csv", "tune")


@app.command("train")
@one_line_errors
def train_command(
    config_file: ConfigOption = None,
    data_source: DataOption = None,
    run_name: RunOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    hours: HoursOption = None,
    overrides: SetOption = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Train every member of a config that is not trained yet."""
    deadline = _deadline(hours, scheduler)
    settings, run, dataset, _ = _open(config_file, overrides, data_source, run_name, output)
    from digits.stages import train

    with run.locked():
        count = len(train.run(settings, dataset, run, workers, scheduler, deadline).trained)
        if count < len(runs.members(settings)):
            rest = _command("train", config_file, data_source, run_name, workers, overrides)
            print(f"Members: {count} of {len(runs.members(settings))}. To train the others: {rest}", flush=True)


@app.command("train-member", hidden=True)
@one_line_errors
def train_member_command(folder: Path) -> None:
    """Train one member on a worker of a cluster, which has put all that it takes into a folder."""
    from digits.stages import train

    train.train_member(folder)


@app.command("cluster-up")
@one_line_errors
def cluster_up_command(
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one for each core.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the scheduler, on 127.0.0.1.")] = 8786,
) -> None:
    """Start a Dask cluster on this machine, for `train --scheduler`; Ctrl-C ends it."""
    from digits.training import backend
    from digits.workers import dask as remote

    remote.serve(workers or backend.room_for(threads=1), port)


@app.command("submit")
@one_line_errors
def submit_command(
    config_file: ConfigOption = None,
    data_source: DataOption = None,
    run_name: RunOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    hours: HoursOption = None,
    overrides: SetOption = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Train what is missing, ensemble, validate, and write the submission."""
    deadline = _deadline(hours, scheduler)
    settings, run, dataset, read_seconds = _open(config_file, overrides, data_source, run_name, output)
    from digits import pipeline

    rest = _command("submit", config_file, data_source, run_name, workers, overrides)
    with run.locked():
        pipeline.make_submission(
            settings, dataset, run, read_seconds, rest, workers=workers, scheduler=scheduler, deadline=deadline
        )


@app.command("validate")
@one_line_errors
def validate_command(
    file: Annotated[Path, typer.Argument(help="The submission file.")],
    data_source: DataOption = None,
    run_name: Annotated[str | None, typer.Option("--run", help="Compare with this run's probabilities.")] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Judge a submission file, whoever made it; exit status 2 where it is not valid."""
    from digits.stages import validate

    dataset, _ = _read(_find(data_source), output)
    if not validate.run(file, dataset, output, named_run(output, run_name) if run_name else None).valid:
        raise typer.Exit(2)


@app.command("compare")
@one_line_errors
def compare_command(
    a: Annotated[str, typer.Argument(help="Name of a run.")],
    b: Annotated[str, typer.Argument(help="Name of another run on the same data.")],
    output: OutputOption = OUTPUT,
) -> None:
    """Compare two runs, row by row, on the out-of-fold rows that both have."""
    from digits.stages import compare

    compare.run(named_run(output, a), named_run(output, b), output / "compare")


@app.command("cluster")
@one_line_errors
def cluster_command(
    data_source: DataOption = None,
    run_name: FinishedRunOption = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="How to cluster, such as cluster.k=12; may be repeated.")
    ] = None,
    preset: Annotated[Path | None, typer.Option(help="A file of configs/clusters/ that says how to cluster.")] = None,
    methods: Annotated[str | None, typer.Option(help="Compare these, with commas between them, or all.")] = None,
    names: Annotated[str | None, typer.Option("--spaces", help="Compare in these, or all.")] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Cluster a run's out-of-fold features: purity, silhouette, maps, sheets, and suspicious labels."""
    source = _find(data_source)
    run = named_run(output, run_name or _default_name(source))
    settings = _covered(run, run.adapted(overrides or [], preset))
    from digits.stages.cluster import stage as cluster  # takes longer to import than the mistakes above take to find

    dataset, _ = _read(source, output)
    with run.locked():
        if methods or names:
            cluster.compare(settings, dataset, run, methods or settings.cluster.method, names or settings.cluster.space)
        else:
            cluster.run(settings, dataset, run)


@app.command("explore")
@one_line_errors
def explore_command(
    data_source: DataOption = None,
    run_name: Annotated[
        str | None, typer.Option("--run", help="A finished run; by default `default`, else one made of the demo set.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="By default the first free one from 8501.")
    ] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Walk around in a finished run: a page in your browser, on this machine alone."""
    source = _find(data_source)
    run = named_run(output, run_name or _default_name(source))
    if run_name is None and not run.metrics.exists():
        print(f"There is no finished run {run.folder} yet: here is the demo set's", flush=True)
        data_source = data.DEMO
        source, run = _find(data_source), named_run(output, "demo")
        if not run.metrics.exists():
            submit_command(data_source=data_source, output=output)
    if not (run.clusters / "metrics.json").exists():
        from digits.stages.cluster import stage as cluster

        with run.locked():
            cluster.run(_covered(run, run.config()), _read(source, output)[0], run)
    from digits.stages.explore import stage as explore

    explore.run(run, data_source, output / "cache", port)


@app.command("eda")
@one_line_errors
def eda_command(
    config_file: ConfigOption = None,
    data_source: DataOption = None,
    overrides: SetOption = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Look at the data: figures, duplicates, drift between training and test rows, and the augmentation."""
    from digits.stages.eda import stage as eda

    source = _find(data_source)
    settings = config.load(config_file or Path("configs") / f"{_default_name(source)}.yaml", overrides)
    dataset, _ = _read(source, output)
    look = output / "eda" / dataset.name
    with Run(look).locked():
        eda.run(settings, dataset, look)


@app.command("evaluate")
@one_line_errors
def evaluate_command(
    data_source: DataOption = None, run_name: FinishedRunOption = None, output: OutputOption = OUTPUT
) -> None:
    """Judge a finished run on its out-of-fold rows: digit by digit, calibration, coverage, every mistake."""
    from digits.stages.evaluate import stage as evaluate

    settings, run, dataset = _finished(data_source, run_name, output)
    with run.locked():
        evaluate.run(settings, dataset, run)


@app.command("report")
@one_line_errors
def report_command(
    data_source: DataOption = None, run_name: FinishedRunOption = None, output: OutputOption = OUTPUT
) -> None:
    """Write all that is known about a finished run into one page, and what is missing of it first."""
    settings, run, dataset = _finished(data_source, run_name, output)
    from digits.stages.eda import stage as eda
    from digits.stages.evaluate import stage as evaluate
    from digits.stages.report import stage as report

    look = output / "eda" / dataset.name
    with run.locked(), Run(look).locked():
        if not report.is_evaluated(run):
            evaluate.run(settings, dataset, run)
        if not report.is_explored(look, dataset):
            eda.run(settings, dataset, look)
        report.run(settings, dataset, run, look, output / "tune")


@app.command("predict")
@one_line_errors
def predict_command(
    images: Annotated[list[Path] | None, typer.Argument(help="Pictures, folders of pictures, CSVs of pixels.")] = None,
    data_source: DataOption = None,
    run_name: Annotated[
        str | None, typer.Option("--run", help="A finished run; by default the small ensemble that comes along.")
    ] = None,
    split: Annotated[bool, typer.Option("--split", help="A picture may show several digits in a row.")] = False,
    output: OutputOption = OUTPUT,
) -> None:
    """Say which digits people's own pictures show; exit status 1 where a picture could not be read."""
    from digits.stages.predict import export, exported
    from digits.stages.predict import stage as predict
    from digits.training import backend

    if not images:
        raise UserError('name pictures or folders: make predict IMAGES="a.png scans/"')
    path, ensemble = exported.PRETRAINED, None
    if run_name:
        run = named_run(output, run_name)
        path = run.exported
        if not export.is_current(run, run.covered(run.config()), path):
            if backend.name() == "tensorflow":
                export_command(data_source, run_name, output=output)
            else:
                from digits.stages.predict import networks as inference

                settings, run, dataset = _finished(data_source, run_name, output)
                path, ensemble = run.folder, inference.load_networks(run, settings, dataset)
    ensemble = ensemble or exported.load(path)
    print(f"Networks: {path}, out-of-fold accuracy {ensemble.about['run_oof_accuracy']:.4f}", flush=True)
    if not predict.run(ensemble, images, output / "predictions", split):
        raise typer.Exit(1)


@app.command("export")
@one_line_errors
def export_command(
    data_source: DataOption = None,
    run_name: FinishedRunOption = None,
    folds: Annotated[int | None, typer.Option(min=1, help="Only the networks of the first folds.")] = None,
    small: Annotated[bool, typer.Option("--small", help="Compute in 8 bits: a quarter of the size.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file; by default ensemble.onnx of the run.")] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Write the ensemble of a finished run as one ONNX file, checked against Keras."""
    settings, run, dataset = _finished(data_source, run_name, output)
    from digits.stages.predict import export

    with run.locked():
        export.run(settings, dataset, run, out or run.exported, folds, small)


@app.command("tune")
@one_line_errors
def tune_command(
    config_file: ConfigOption = None,
    data_source: DataOption = None,
    space_file: Annotated[
        Path | None, typer.Option("--space", help="By default accuracy.yaml of configs/spaces/, or demo.yaml.")
    ] = None,
    run_name: Annotated[str | None, typer.Option("--run", help="Name of the search; by default the space's.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    hours: Annotated[float | None, typer.Option(help="How long at most, over all sittings.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes here; by default what the cores hold.")
    ] = None,
    overrides: SetOption = None,
    listen: Annotated[
        str | None, typer.Option(help="host:port for workers of other machines; no password, so trust the network.")
    ] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Search for a better config; stop it whenever you like, the same command goes on."""
    from digits.stages.tune import space
    from digits.stages.tune import stage as tune

    source = _find(data_source)
    if workers == 0 and listen is None:
        raise UserError("no workers here and nowhere to listen for others; give --listen host:port, or workers")
    base = config.load(config_file or Path("configs") / f"{_default_name(source)}.yaml")
    space_file = space_file or Path("configs/spaces") / ("demo.yaml" if source.kind == "demo" else "accuracy.yaml")
    limits = {"trials": trials, "hours": hours}
    given = [f"tune.{name}={value}" for name, value in limits.items() if value is not None]
    searched = space.load(space_file, base, [*(overrides or []), *given])
    name = run_name or space_file.stem
    named_run(output, name)
    print(f"Search: {output / 'tune' / name}, of {space_file}", flush=True)
    crew = tune.crew(workers, searched.base.training.threads, output)
    tune.run(searched, space_file, _read(source, output)[0], name, crew, listen)


@app.command("tune-worker")
@one_line_errors
def tune_worker_command(
    chief: Annotated[str, typer.Option(help="host:port where `tune --listen` waits.")],
    data_source: DataOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes; by default one for each core.")] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Run trials of a search that another process or machine keeps the books of."""
    from digits.stages.tune import stage as tune

    dataset, _ = _read(_find(data_source), output)
    tune.work(chief, dataset, tune.crew(workers, 1, output))


@app.command("kernel")
@one_line_errors
def kernel_command(
    config_file: ConfigOption = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("kaggle_kernel.py"),
) -> None:
    """Write the whole solution with a config into one file for Kaggle."""
    from digits.stages.kaggle import kernel

    kernel.run(config_file or Path("configs/default.yaml"), out)


@app.command("push")
@one_line_errors
def push_command(
    metadata: Annotated[Path, typer.Argument(help="Says whose kernel it is.")] = Path("configs/kernel-metadata.json"),
) -> None:
    """Upload kaggle_kernel.py with Kaggle's command, and have Kaggle run it."""
    from digits.stages.kaggle import upload

    upload.push(metadata)


@app.command("submit-kaggle")
@one_line_errors
def submit_kaggle_command(
    run_name: Annotated[str, typer.Option("--run", help="A finished run.")] = "default", output: OutputOption = OUTPUT
) -> None:
    """Submit a run's predictions with Kaggle's command, once they are found valid."""
    from digits.stages.kaggle import upload

    upload.submit(named_run(output, run_name))


@app.command("data")
@one_line_errors
def data_command() -> None:
    """Fetch the competition's data with the kaggle command into input/digit-recognizer."""
    print(f"fetched {download.fetch()}")


def _deadline(hours: str | None, scheduler: str | None) -> Deadline:
    """The time limit of this call, from now on.

    Raises:
        UserError: no such number, or a cluster trains, which knows no limit.
    """
    began = time.monotonic()
    if hours is None:
        return Deadline(began)
    try:
        limit = float(hours)
    except ValueError:
        limit = math.nan
    if not 0 < limit <= MOST_HOURS:
        raise UserError(f"hours '{hours[:100]}': give a number over 0, such as HOURS=1.5 (at most {MOST_HOURS:g})")
    if scheduler:
        raise UserError("HOURS= and SCHEDULER= do not go together: leave one of them out")
    return Deadline(began, limit)


def _command(
    target: str,
    config_file: Path | None,
    data_source: str | None,
    run_name: str | None,
    workers: int | None,
    overrides: list[str] | None,
) -> str:
    """The Make command with these options."""
    backend = os.environ.get("KERAS_BACKEND")
    given = {"BACKEND": backend if backend != "tensorflow" else None, "DATA": data_source, "CONFIG": config_file}
    given |= {"RUN": run_name, "WORKERS": workers}
    given["SET"] = " ".join(overrides or [])
    return shlex.join(["make", target, *(f"{name}={value}" for name, value in given.items() if value)])


def _find(data_source: str | None) -> Source:
    source = data.find(data_source)
    print(source.note, flush=True)
    return source


def _read(source: Source, output: Path) -> tuple[Dataset, float]:
    """The rows, and the seconds that they took."""
    started = time.perf_counter()
    return data.read(source, output / "cache"), time.perf_counter() - started


def _open(
    config_file: Path | None, overrides: list[str] | None, data_source: str | None, run_name: str | None, output: Path
) -> tuple[Config, Run, Dataset, float]:
    """The config, its run folder, the rows, and the seconds that they took; cheap mistakes are found first."""
    source = _find(data_source)
    if config_file is None:
        config_file = Path("configs") / f"{_default_name(source)}.yaml"
    settings = config.load(config_file, overrides)
    name = run_name or config_file.stem
    run = named_run(output, name)
    print(f"Run: {run.folder}, of {config_file}", flush=True)
    return settings, run, *_read(source, output)


def _finished(data_source: str | None, run_name: str | None, output: Path) -> tuple[Config, Run, Dataset]:
    """The config of a run that is there, the run, and its rows; cheap mistakes are found first."""
    source = _find(data_source)
    run = named_run(output, run_name or _default_name(source))
    settings = _covered(run, run.config())
    return settings, run, _read(source, output)[0]


def _covered(run: Run, settings: Config) -> Config:
    """The config of the networks that an unfinished run holds; says so."""
    covered = run.covered(settings)
    if covered is not settings:
        count, planned = len(members(covered)), len(members(settings))
        print(f"Run {run.folder.name} is unfinished: this is of {count} of its {planned} networks", flush=True)
    return covered


def _default_name(source: Source) -> str:
    """Of the config, and of its run, where nobody names one."""
    return "demo" if source.kind == "demo" else "default"


def named_run(output: Path, name: str) -> Run:
    """The run of that name.

    Raises:
        UserError: no folder can have that name, or another purpose has it.
    """
    if not re.fullmatch(r"\w[\w .+-]{0,99}", name) or len(name.encode()) > MOST_NAME_BYTES or name in RESERVED:
        raise UserError(f"run name '{name[:100]}': use letters, digits and . _ + - (not {', '.join(RESERVED)})")
    return Run(output / name)


def main() -> None:
    """The installed command."""
    sys.stdout.reconfigure(errors="replace")  # a terminal without the signs we use shows others
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    app()


if __name__ == "__main__":
    main()
