"""What this machine does, side by side with what people would use in our place."""

from __future__ import annotations

import importlib.util
import os
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import joblib
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import augmentation, convergence, figures, inference, reading, training
from digits import config as configs
from digits import data, progress
from digits.__main__ import OUTPUT, DataOption, OutputOption
from digits.config import Architecture, Augmentation, Config
from digits.data import Dataset, Rows, Source
from digits.errors import one_line_errors
from digits.files import records
from digits.files.atomic import replacing
from digits.progress import duration
from digits.training import backend, cost
from digits.workers import gpus, warm_up

P = ParamSpec("P")
T = TypeVar("T")

ROUNDS = 2
TARGETS = (0.99, 0.994)
PACKS = (1, 4, 16, 64)
NET_SECONDS = 3.0  # of training steps, for each net and way to compute
WAYS = {
    "TensorFlow": {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "1"},
    "without oneDNN": {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "0"},
    "JAX": {"KERAS_BACKEND": "jax"},
}


def run(configs: dict[str, Config], source: Source, dataset: Dataset, folder: Path, limit: float) -> None:
    """Measure, print the tables as they come, and write them to `folder` with a figure.

    Args:
        configs: by name; the first is the one whose parts are measured, all of them race to `TARGETS`.
        source: of the rows.
        dataset: the rows.
        folder: for `bench.txt`, `bench.json` and `convergence.png`.
        limit: seconds that each config may train in the race.
    """
    os.environ |= gpus.PROCESSOR  # of this process and its children: the processor is measured
    out = Console(width=None if progress.is_terminal() else 120, highlight=False, markup=False, record=True)
    out.print(f"{backend.processor()}, {joblib.cpu_count()} cores")
    load = os.getloadavg()[0]
    if load > 0.5:
        out.print(f"The machine is at work already (load {load:.1f}): trust the ratios, and those not far.")
    config = next(iter(configs.values()))
    train, held_out = _split(config, dataset)
    results: dict[str, Any] = {"machine": backend.machine(), "versions": backend.versions(), "load": load}
    results["reading"] = _reading(out, source)
    results["augmentation"] = _augmentation(out, config, dataset)
    results["nets"] = _nets(out, configs, train)
    if backend.name() == "tensorflow":
        results["training"] = _training(out, config, train, held_out)
    results["inference"] = _inference(out, config, dataset)
    curves = _race(out, configs, train, held_out, limit)
    results["convergence"] = {name: points.tolist() for name, points in curves.items()}
    with replacing(folder / "convergence.png") as temporary:
        figures.convergence(curves, TARGETS).savefig(temporary)
    with replacing(folder / "bench.txt") as temporary:
        temporary.write_text(out.export_text(), encoding="utf-8")
    records.write_json(folder / "bench.json", results)
    print(f"Written: {folder}/bench.txt, bench.json, convergence.png")


def _split(config: Config, dataset: Dataset) -> tuple[Rows, Rows]:
    """The rows that train the first fold's network, and those that it never sees."""
    folds = data.assign(dataset.train_images, dataset.train_labels, config.folds.count, config.seed)
    rows = dataset.rows
    return rows.take(np.flatnonzero(folds != 0)), rows.take(np.flatnonzero(folds == 0))


def _at_once(processes: int, measure: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> list[T]:
    """Results of `measure` in that many fresh processes at a time, which nothing has warmed or given threads."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [task.result() for task in [pool.submit(measure, *arguments, **options) for _ in range(processes)]]


def _alone(measure: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    return _at_once(1, measure, *arguments, **options)[0]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table


def _reading(out: Console, source: Source) -> dict[str, float] | None:
    if source.path is None:
        out.print("Reading: the demo set has no CSV; give DATA=<folder or zip>.")
        return None
    taken = _alone(reading.reading, source)
    table = _table(f"Reading {source.path.name}, both tables", "", "seconds", "against pandas")
    names = {"pandas.read_csv, nothing checked": "pandas", "every cell checked": "first", "from the cache": "cached"}
    for name, key in names.items():
        table.add_row(name, f"{taken[key]:.3f}", f"{taken['pandas'] / taken[key]:.1f} x")
    out.print(table)
    return taken


def _augmentation(out: Console, config: Config, dataset: Dataset) -> dict[str, float]:
    """Affine alone, which every library has, then all that the config draws."""
    images = np.resize(dataset.train_images, (augmentation.IMAGES, *dataset.shape))
    ours = config.augmentation
    affine = Augmentation(rotation=ours.rotation, shift=ours.shift, zoom=ours.zoom, shear=ours.shear)
    rates = {f"affine, {pack} images a call": _packed(images, affine, pack) for pack in PACKS}
    if ours != affine:
        rates[f"all of the config, {ours.pack} images a call"] = _packed(images, ours, ours.pack)
    batch = config.training.batch_size
    if backend.name() == "tensorflow":
        rates["Keras' random layers, affine"] = _alone(augmentation.keras_layers, images, affine, batch)
    one = rates["affine, 1 images a call"]
    table = _table("Augmentation on one core", "", "images/s", "against one call an image")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / one:.1f} x")
    out.print(table)
    return rates


def _packed(images: np.ndarray, settings: Augmentation, pack: int) -> float:
    return _alone(augmentation.packed, images, settings.model_copy(update={"pack": pack}))


def _nets(out: Console, configs: dict[str, Config], train: Rows) -> dict[str, Any]:
    """Cost of every architecture, and its speed in each way to compute that is installed here.

    In float32, which all ways share, and in the precision that the config takes here.
    """
    configured = [
        (architecture, _with_one_thread(config, config.training.precision))
        for config in configs.values()
        for architecture in config.architectures
    ]
    plain = [(architecture, _with_one_thread(config, "float32")) for architecture, config in configured]
    ways = {name: way for name, way in WAYS.items() if importlib.util.find_spec(way["KERAS_BACKEND"])}
    speeds = {name: _in_environment(way, _speeds, plain, train) for name, way in ways.items()}
    speeds["as configured"] = _alone(_speeds, configured, train)
    names = [f"{net.label} ({name})" for name, config in configs.items() for net in config.architectures]
    table = _table("Training steps, one network of one thread, images/s", "", "MACs", *speeds)
    for name, macs, *rates in zip(names, _macs(configured, train), *speeds.values(), strict=True):
        table.add_row(name, cost.short(macs), *(f"{rate:,.0f}" for rate in rates))
    out.print(table)
    return {way: dict(zip(names, rates, strict=True)) for way, rates in speeds.items()}


def _with_one_thread(config: Config, precision: str) -> Config:
    return config.with_training(threads=1, precision=precision)


def _speeds(recipes: list[tuple[Architecture, Config]], train: Rows) -> list[float]:
    """Images a second in the training steps of each recipe, one after the other; 0 where it does not train."""
    measured = [
        warm_up.measure(architecture, config, warm_up.sample(train, config.training), NET_SECONDS)[1]
        for architecture, config in recipes
    ]
    return [speed.images if speed else 0.0 for speed in measured]


def _macs(recipes: list[tuple[Architecture, Config]], train: Rows) -> list[int]:
    """Forward multiply-adds of each recipe's network."""
    architectures = {str(number): architecture for number, (architecture, _) in enumerate(recipes)}
    named = [architecture.model_copy(update={"name": name}) for name, architecture in architectures.items()]
    macs = _alone(warm_up.count_macs, named, train.images.shape[1:], train.classes, 1)
    return [macs[name] for name in architectures]


def _in_environment(environment: dict[str, str], measure: Callable[P, T], *arguments: P.args) -> T:
    """The same as `_alone`, with these environment variables."""
    kept = dict(os.environ)
    os.environ |= environment
    try:
        return _alone(measure, *arguments)
    finally:
        os.environ.clear()
        os.environ |= kept


def _training(out: Console, config: Config, train: Rows, held_out: Rows) -> dict[str, Any]:
    """Rounds of the processor's limit, our loop and PyTorch's, in turn, so that noise meets all of them.

    Ours trains as many networks at a time as `make train` does; PyTorch does so too, and one network on all cores.
    """
    settings = config.training
    at_a_time = backend.room_for(settings.threads)
    arrangements = dict.fromkeys([(1, joblib.cpu_count()), (at_a_time, settings.threads)])
    precision = _alone(_precision, config)
    dropout = float(config.architectures[0].options.get("dropout", 0.0))
    pytorch = f"plain PyTorch {version('torch')}" if importlib.util.find_spec("torch") else None
    peaks, ours = [], []
    theirs: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        peak = (training.convolution_peak, settings.threads, precision, settings.batch_size)
        peaks.append(sum(_at_once(at_a_time, *peak)))
        ours.append(_at_once(at_a_time, training.ours, config, train, held_out, epochs=2))
        for networks, threads in arrangements if pytorch else ():
            rates = _at_once(networks, training.pytorch, train, settings.batch_size, threads, dropout)
            theirs.setdefault(f"{pytorch}, {networks} x {threads} threads", []).append(sum(rates))
    rates = {
        "inside the steps": [sum(network.step for network in networks) for networks in ours],
        "whole epochs, everything included": [sum(network.epoch for network in networks) for networks in ours],
        **theirs,
    }
    title = f"Training {config.architectures[0].label}, {precision}, {at_a_time} x {settings.threads} threads"
    _show_training(out, title, peaks, rates, work=ours[0][0].work)
    if not pytorch:
        out.print("PyTorch is not installed (configs/requirements/bench.txt), so it is not beside ours.")
    return {"peak_gflops": peaks, **rates}


def _show_training(out: Console, title: str, peaks: list[float], rates: dict[str, list[float]], work: int) -> None:
    """The medians: peaks in GFLOP/s, rates in images/s, work in multiply-adds of an image, forward."""
    gflop = 6e-9 * work  # a product and a sum, forward and twice backward
    peak = statistics.median(peaks)
    step, epoch, *theirs = (statistics.median(rounds) for rounds in rates.values())
    remarks = [f"{step * gflop / peak:.0%} of the peak", f"{1 - epoch / step:.1%} outside the steps"]
    remarks += [f"ours is {epoch / rate:.2f} x" for rate in theirs]
    table = _table(title, "", "images/s", "GFLOP/s", "")
    table.add_row("3x3 convolutions alone, forward and backward", "", f"{peak:.0f}", "the peak")
    for name, rate, remark in zip(rates, (step, epoch, *theirs), remarks, strict=True):
        table.add_row(name, f"{rate:,.0f}", f"{rate * gflop:.0f}", remark)
    out.print(table)


def _precision(config: Config) -> str:
    backend.start(config.training.threads)
    return backend.resolve_precision(config.training.precision)


def _inference(out: Console, config: Config, dataset: Dataset) -> dict[str, float]:
    taken = _alone(inference.inference, config, dataset.test_images, len(dataset.classes))
    name = config.architectures[0].label
    table = _table(f"Prediction with one {name} net, {len(dataset.test_images):,} images", "", "")
    table.add_row("images/s", f"{taken['images']:,.0f}")
    table.add_row("memory of the process at its peak", f"{taken['peak']:,.0f} MiB")
    table.add_row("of it before the first prediction", f"{taken['loaded']:,.0f} MiB")
    out.print(table)
    return taken


def _race(out: Console, configs: dict[str, Config], train: Rows, held_out: Rows, limit: float) -> dict[str, np.ndarray]:
    """Train every config on the same rows until the last target or the limit; accuracy over time by name."""
    cores, live = joblib.cpu_count(), progress.is_terminal()
    curves = {
        name: _alone(convergence.curve, name, config, train, held_out, TARGETS[-1], limit, cores, live)
        for name, config in configs.items()
    }
    headings = [f"to {target:.1%}" for target in TARGETS]
    table = _table(f"Accuracy on {len(held_out):,} held-out rows", "", *headings, "seconds", "last accuracy")
    for name, points in curves.items():
        cells = [_when(convergence.reached(points, target)) for target in TARGETS]
        last = (f"{points[-1, 0]:.0f}", f"{points[-1, 1]:.4f}") if len(points) else ("", "no epoch in time")
        table.add_row(name, *cells, *last)
    out.print(table)
    out.print(f"Training stops at {TARGETS[-1]:.1%}, after {duration(limit)}, or at its own end.")
    return curves


def _when(reached: tuple[float, int] | None) -> str:
    if reached is None:
        return "not reached"
    seconds, epochs = reached
    return f"{seconds:.0f} s, {epochs} {'epoch' if epochs == 1 else 'epochs'}"


@one_line_errors
def main(
    data_source: DataOption = None,
    limit: Annotated[float, typer.Option("--seconds", min=1, help="That each config may train in the race.")] = 120,
    output: OutputOption = OUTPUT,
) -> None:
    """Measure this machine: training, augmentation, reading, prediction, and who is accurate first (17 minutes)."""
    folder = Path("configs")
    files = [folder / "default.yaml", folder / "fast.yaml", *sorted((folder / "baselines").glob("*.yaml"))]
    source = data.find(data_source)
    print(source.note, flush=True)
    dataset = data.read(source, output / "cache")
    run({file.stem: configs.load(file) for file in files}, source, dataset, output / "bench", limit)


if __name__ == "__main__":
    typer.run(main)
