"""The command line: one sub-command a stage. `python -m digits --help`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from digits import pipeline
from digits.competition import COMPETITION
from digits.errors import UserError, one_line_errors
from digits.pipeline import Session
from digits.runs import RunFolder

app = typer.Typer(
    help=f"{COMPETITION.title}: k-fold CNNs, an honest score, and a submission that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Config file; by default default.yaml of configs/, or demo.yaml on the demo set."),
]
DataOption = Annotated[
    str | None, typer.Option("--data", help=f"Folder with {COMPETITION.train} and {COMPETITION.test}, or Kaggle's zip.")
]
RunOption = Annotated[str | None, typer.Option("--run", help="Name of the run; by default the config's.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Networks trained at a time; by default what the machine holds.")
]
SchedulerOption = Annotated[
    str | None, typer.Option("--scheduler", help="Of a Dask cluster that trains, such as tcp://host:8786.")
]
HoursOption = Annotated[str | None, typer.Option("--hours", help="Time limit; trains what fits into it.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A config value, such as training.epochs=3; may be repeated.")
]
FinishedRunOption = Annotated[str | None, typer.Option("--run", help="A finished run; by default `default` or `demo`.")]
OutputOption = Annotated[Path, typer.Option("--output", help="Folder of all runs.")]
OUTPUT = Path("output")


def command(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a sub-command; what a user did wrong ends it in one line."""
    return lambda function: app.command(name)(one_line_errors(function))


@command("train")
def train_command(
    config_file: ConfigOption = None,
    data: DataOption = None,
    run: RunOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    hours: HoursOption = None,
    overrides: SetOption = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Train every member of a config that is not trained yet."""
    resources = pipeline.resources(workers, scheduler, hours)
    pipeline.train(Session(data, config_file, run, overrides or (), output), resources)


@command("submit")
def submit_command(
    config_file: ConfigOption = None,
    data: DataOption = None,
    run: RunOption = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    hours: HoursOption = None,
    overrides: SetOption = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Train what is missing, ensemble, validate, and write the submission."""
    resources = pipeline.resources(workers, scheduler, hours)
    pipeline.submit(Session(data, config_file, run, overrides or (), output), resources)


@command("cluster-up")
def cluster_up_command(
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one for each core.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the scheduler, on 127.0.0.1.")] = 8786,
) -> None:
    """Start a Dask cluster on this machine, for --scheduler; Ctrl-C ends it."""
    from digits.workers import dask

    dask.serve(workers, port)


@command("validate")
def validate_command(
    file: Annotated[Path, typer.Argument(help="The submission file.")],
    data: DataOption = None,
    run: Annotated[str | None, typer.Option("--run", help="Compare with this run's probabilities.")] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Validate a submission file, whoever made it; exit status 2 if it is not valid."""
    if not pipeline.validate(Session(data, run=run, output=output), file):
        raise typer.Exit(2)


@command("compare")
def compare_command(
    a: Annotated[str, typer.Argument(help="Name of a run.")],
    b: Annotated[str, typer.Argument(help="Name of another run on the same data.")],
    output: OutputOption = OUTPUT,
) -> None:
    """Compare two runs, row by row, on the out-of-fold rows that both have."""
    from digits.stages import compare

    runs = [RunFolder.named(output, name) for name in (a, b)]  # a wrong name is found before a missing run
    for run in runs:
        run.check_exists()
    compare.run(*runs, output / "compare")


@command("cluster")
def cluster_command(
    data: DataOption = None,
    run: FinishedRunOption = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="How to cluster, such as cluster.k=12; may be repeated.")
    ] = None,
    preset: Annotated[Path | None, typer.Option(help="A file of configs/clusters/.")] = None,
    methods: Annotated[str | None, typer.Option(help="Compare these, with commas between them, or all.")] = None,
    spaces: Annotated[str | None, typer.Option(help="Compare in these, or all.")] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Cluster a run's out-of-fold features: purity, silhouette, maps, sheets, and suspicious labels."""
    finished = Session(data, run=run, overrides=overrides or (), output=output).finished_run(preset)
    pipeline.cluster(finished, methods, spaces)


@command("explore")
def explore_command(
    data: DataOption = None,
    run: Annotated[
        str | None, typer.Option("--run", help="A finished run; by default `default`, else one made of the demo set.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1024, max=65535, help="By default the first free one from 8501.")
    ] = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Explore a finished run: a page in your browser, on this machine alone."""
    pipeline.explore(Session(data, run=run, output=output), port)


@command("eda")
def eda_command(
    config_file: ConfigOption = None,
    data: DataOption = None,
    overrides: SetOption = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Look at the data: figures, duplicates, drift between training and test rows, and the augmentation."""
    pipeline.explore_data(Session(data, config_file, None, overrides or (), output))


@command("evaluate")
def evaluate_command(data: DataOption = None, run: FinishedRunOption = None, output: OutputOption = OUTPUT) -> None:
    """Evaluate a finished run on its out-of-fold rows: class by class, calibration, coverage, every mistake."""
    pipeline.evaluate(Session(data, run=run, output=output).finished_run())


@command("report")
def report_command(data: DataOption = None, run: FinishedRunOption = None, output: OutputOption = OUTPUT) -> None:
    """Write one page about a finished run, after the stages that it lacks."""
    pipeline.report(Session(data, run=run, output=output).finished_run())


@command("predict")
def predict_command(
    images: Annotated[list[Path] | None, typer.Argument(help="Pictures, folders of pictures, CSVs of pixels.")] = None,
    data: DataOption = None,
    run: Annotated[
        str | None, typer.Option("--run", help="A finished run; by default the small ensemble that comes along.")
    ] = None,
    split: Annotated[bool, typer.Option("--split", help=f"Pictures of several {COMPETITION.nouns} in a row.")] = False,
    output: OutputOption = OUTPUT,
) -> None:
    """Predict the classes of people's own pictures; exit status 2 if none of them can be read."""
    pipeline.predict(Session(data, run=run, output=output), images or [], split)


@command("export")
def export_command(
    data: DataOption = None,
    run: FinishedRunOption = None,
    folds: Annotated[int | None, typer.Option(min=1, help="Only the networks of the first folds.")] = None,
    small: Annotated[bool, typer.Option("--small", help="Compute in 8 bits: a quarter of the size.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file; by default ensemble.onnx of the run.")] = None,
    format_name: Annotated[
        str, typer.Option("--format", help="onnx, or saved_model or litert for TensorFlow.")
    ] = "onnx",
    output: OutputOption = OUTPUT,
) -> None:
    """Write the ensemble of a finished run as one file, checked against Keras."""
    finished = Session(data, run=run, output=output).finished_run()
    from digits.stages.predict import export

    with finished.locked():
        if format_name == "onnx":
            export.run(finished, out or finished.exported, folds, small)
        elif folds or small or out:
            raise UserError("--folds, --small and --out are of ONNX alone; leave them out, or --format")
        else:
            export.for_tensorflow(finished, format_name)


@command("tune")
def tune_command(
    config_file: ConfigOption = None,
    data: DataOption = None,
    space: Annotated[
        Path | None, typer.Option("--space", help="By default accuracy.yaml of configs/spaces/, or demo.yaml.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Name of the search; by default the space's.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    hours: Annotated[float | None, typer.Option(help="How long at most, over all calls.")] = None,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    overrides: SetOption = None,
    output: OutputOption = OUTPUT,
) -> None:
    """Search for a better config; stop it whenever you like, the same command resumes it."""
    limits = {"tune.trials": trials, "tune.hours": hours}
    given = [*(overrides or ()), *(f"{key}={value}" for key, value in limits.items() if value is not None)]
    pipeline.tune(Session(data, config_file, run, given, output), space, workers, scheduler)


@command("kernel")
def kernel_command(
    config_file: ConfigOption = None,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("kaggle_kernel.py"),
) -> None:
    """Write the whole solution into one file for Kaggle: with a config, or best.yaml for GPUs and default.yaml."""
    from digits.stages.kaggle import kernel

    kernel.run(config_file, out)


@command("push")
def push_command(
    metadata: Annotated[Path, typer.Argument(help="Says whose kernel it is.")] = Path("configs/kernel-metadata.json"),
) -> None:
    """Upload kaggle_kernel.py with Kaggle's command, and have Kaggle run it."""
    from digits.stages.kaggle import upload

    upload.push(metadata)


@command("submit-kaggle")
def submit_kaggle_command(
    run: Annotated[str, typer.Option("--run", help="A finished run.")] = "default",
    competition: Annotated[
        str, typer.Option("--competition", help="As in the address of its page, if the run answers another one's rows.")
    ] = COMPETITION.name,
    output: OutputOption = OUTPUT,
) -> None:
    """Submit a run's predictions with Kaggle's command, if they are valid, and wait for their score."""
    from digits.stages.kaggle import upload

    upload.submit(RunFolder.existing(output, run), competition)


@command("data")
def data_command() -> None:
    """Fetch the competition's data with the kaggle command into input/digit-recognizer."""
    from digits.stages.kaggle import download

    print(f"fetched {download.fetch()}")


def main() -> None:
    """The installed command."""
    sys.stdout.reconfigure(errors="replace")  # a terminal without the signs we use shows others
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    app()


if __name__ == "__main__":
    main()
