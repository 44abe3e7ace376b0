"""Accuracy against training compute: train the experiments of a plan, and compare them row by row.

    .venv/bin/python tests/tools/frontier.py digit-recognizer.zip      # trains what has no result yet; resumes
    .venv/bin/python tests/tools/frontier.py                           # table and figure of the results that are there

An experiment of tests/tools/frontier.yaml is a name, a reason, and how its config differs from configs/default.yaml.
All train the first folds of ten, so that each is compared with the reference on the same rows. A result is a small file
of docs/frontier/: with it experiments can be compared whose runs are gone. docs/frontier.md says what they taught.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from digits import config, data
from digits.ensemble import comparison, logits, metrics, rules
from digits.ensemble.calibration import temperature
from digits.ensemble.interval import Interval, wilson
from digits.errors import UserError, one_line_errors
from digits.figures.style import PALETTE, log_percent, styled
from digits.files import records, yaml
from digits.files.atomic import replacing
from digits.runs import Run
from digits.seeds import derive
from digits.stages import train
from digits.training import cost

PLAN = Path("tests/tools/frontier.yaml")
OUTPUT = Path("output/bench/frontier")
RESULTS = Path("docs/frontier")
FIGURE = RESULTS / "frontier.png"
REFERENCE = "default"
FOLDS = 2  # of ten
SMALL = 0.01  # losses below are stored as their mean
PUBLISHED = Path("output/published")
RECIPES = {  # of others: training MACs of all networks, their number, published error rate, on which side the name is
    "Keras' mnist_mlp": (2.4e12, 1, 1 - 0.98, "right"),
    "tutorials' two convolutions": (4.7e12, 1, 1 - 0.991, "right"),
    "Keras' mnist_cnn": (2.6e13, 1, 1 - 0.9925, "left"),
    "deep, with batch norm": (1.4e14, 1, 1 - 0.992, "right"),
    "pool-free (C. Deotte)": (1.2e14, 1, 1 - 0.99641, "left"),
    "15 pool-free, on Kaggle": (1.2e15, 15, 1 - 0.99757, "left"),
    "full resolution (Matuzas77)": (2.4e15, 1, 1 - 0.997475, "right"),
    "20 full resolution": (4.8e16, 20, 1 - 0.99830, "left"),
}


@dataclass(frozen=True)
class Result:
    """What an experiment found on the held-out rows of its folds.

    macs: forward multiply-adds of an image. training_macs: of one network. wrong: rows that were wrong. losses: in nats
    by row, after temperature scaling, of those that are not small. small: mean of the others. code: says so where it
    is not the package's.
    """

    name: str
    why: str
    macs: int
    epochs: int
    training_macs: float
    core_minutes: float
    processor: str
    folds: int
    rows: int
    wrong: list[int]
    losses: dict[str, float]
    small: float
    code: str = ""

    @property
    def log_loss(self) -> float:
        return (sum(self.losses.values()) + self.small * (self.rows - len(self.losses))) / self.rows

    def dense(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of these rows, int (n,), are right, bool (n,), and their losses, float (n,)."""
        losses = np.array([self.losses.get(str(row), self.small) for row in rows])
        return ~np.isin(rows, self.wrong), losses


def paired(a: Result, b: Result) -> tuple[Interval, float, Interval]:
    """B against A: the difference in errors with its 95 % interval, McNemar's p, the difference in log loss.

    Raises:
        ValueError: they were scored on other folds.
    """
    if (a.folds, a.rows) != (b.folds, b.rows):
        raise ValueError(f"{a.name} and {b.name} were scored on other rows")
    hard = np.array(sorted({*map(int, a.losses), *map(int, b.losses), *a.wrong, *b.wrong}))
    rows = np.concatenate([hard, np.full(a.rows - len(hard), -1)])  # the others are right, at a small loss
    (a_right, a_losses), (b_right, b_losses) = a.dense(rows), b.dense(rows)
    draw = np.random.default_rng(derive(0, "frontier"))
    gained = comparison.accuracy_difference(a_right, b_right, draw)
    errors = Interval(-gained.value * a.rows, -gained.high * a.rows, -gained.low * a.rows)
    return errors, comparison.mcnemar(a_right, b_right), comparison.mean_difference(a_losses, b_losses, draw)


@one_line_errors
def main(arguments: list[str]) -> None:
    """Train what is missing, and show all."""
    plan = yaml.parse(PLAN.read_text())
    if arguments:
        dataset = data.read(data.find(arguments[0]), OUTPUT / "cache")
        for name, experiment in plan.items():
            if not (RESULTS / f"{name}.json").exists():
                write(experiment_result(name, experiment, dataset))
    results = stored()
    print(table(results))
    draw(results)


def stored() -> list[Result]:
    """Read the results that are there."""
    return [Result(**json.loads(path.read_text())) for path in sorted(RESULTS.glob("*.json"))]


def draw(results: list[Result]) -> None:
    """Write the figure."""
    with replacing(FIGURE) as temporary:
        frontier(results, published()).savefig(temporary)


def experiment_result(name: str, experiment: dict[str, Any], dataset: data.Dataset) -> Result:
    """Train an experiment and score it."""
    settings = config.parse({"folds": {"count": 10, "limit": FOLDS}, **experiment["config"]}, name)
    run = Run(OUTPUT / name, settings, dataset)
    run.folder.mkdir(parents=True, exist_ok=True)
    train.run(run)
    members = [logits.load(run, member) for member in run.members]
    facts = [records.read_json(run.member(member) / "member.json", training_macs=float) for member in run.members]
    learned = len(dataset.train_labels) - len(members[0].rows)
    images = settings.training.epochs * cost.images_per_epoch(learned, settings.training)
    return result(
        name,
        experiment["why"],
        np.concatenate([member.rows for member in members]),
        np.concatenate([member.oof for member in members]),
        dataset.targets,
        macs=round(facts[0]["training_macs"] / images / cost.PASSES),
        epochs=settings.training.epochs,
        training_macs=facts[0]["training_macs"],
        core_minutes=round(sum(fact["seconds"] for fact in facts) / 60, 1),
        processor=facts[0]["processor"],
        folds=FOLDS,
    )


def result(name: str, why: str, rows: np.ndarray, scores: np.ndarray, targets: np.ndarray, **facts: Any) -> Result:
    """Score logits float (n, c) of the held-out `rows`, int (n,); targets: of all rows."""
    own = targets[rows]
    scaled = rules.combine(scores[None] / temperature(scores, own), "mean")
    losses = metrics.log_losses(scaled, own)
    large = losses >= SMALL
    return Result(
        name=name,
        why=why,
        rows=len(rows),
        wrong=sorted(rows[scores.argmax(axis=1) != own].tolist()),
        losses={str(row): round(float(loss), 3) for row, loss in zip(rows[large], losses[large], strict=True)},
        small=float(losses[~large].mean()),
        **facts,
    )


def write(result: Result) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    with replacing(RESULTS / f"{result.name}.json") as temporary:
        temporary.write_text(json.dumps(asdict(result)) + "\n")


def table(results: list[Result]) -> str:
    """Markdown: a row an experiment, the cheapest first."""
    reference = next((result for result in results if result.name == REFERENCE), None)
    if reference is None:
        raise UserError(f"there is no result of `{REFERENCE}`, with which all others are compared")
    lines = [
        "| | forward MACs | epochs | training MACs of a network | errors | log loss | "
        f"errors against `{REFERENCE}` | log loss against it |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in sorted(results, key=lambda result: result.training_macs):
        cells = [
            f"`{result.name}`" + "†" * bool(result.code),
            f"{result.macs / 1e6:.0f} M",
            str(result.epochs),
            cost.short(result.training_macs),
        ]
        cells += [f"{len(result.wrong)} of {result.rows:,}", f"{result.log_loss:.5f}"]
        if result is reference:
            cells += ["", ""]
        else:
            errors, chance, loss = paired(reference, result)
            cells += [f"{errors.value:+.0f} [{errors.low:+.0f}, {errors.high:+.0f}], p = {chance:.2g}"]
            cells += [f"{loss.value:+.5f} [{loss.low:+.5f}, {loss.high:+.5f}]"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@dataclass(frozen=True)
class Whole:
    """A published run of ours: its training MACs, out-of-fold rows, and how many of them are wrong."""

    name: str
    training_macs: float
    rows: int
    wrong: int


def published(folder: Path = PUBLISHED) -> list[Whole]:
    """Read the published runs."""
    runs = []
    for path in sorted(folder.glob("*/metrics.json")):
        record = records.read_json(path, training_macs=float, oof_rows=int, oof_accuracy=float)
        rows = record["oof_rows"]
        runs.append(Whole(path.parent.name, record["training_macs"], rows, round(rows * (1 - record["oof_accuracy"]))))
    return runs


@styled
def frontier(results: list[Result], runs: list[Whole]) -> Figure:
    """Error rate by training compute: our experiments and published runs beside what others published."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    tried = [(result.training_macs, wilson(len(result.wrong), result.rows)) for result in results]
    whole = [(run.training_macs, wilson(run.wrong, run.rows)) for run in runs]
    _points(axes, tried, marker="o", ms=5, color=PALETTE[7], label="our experiments, a network a fold")
    _points(axes, whole, marker="*", ms=13, color=PALETTE[0], label="our published runs")
    for run, (macs, share) in zip(runs, whole, strict=True):
        side = "left" if run.name == "default" else "right"  # `best` stands to its right
        _name(axes, run.name, (macs, share.value), side, color=PALETTE[0], weight="bold")
    for networks, marker, text in ((False, "s", "others, one network"), (True, "D", "others, several averaged")):
        of_kind = [(macs, error) for macs, count, error, _ in RECIPES.values() if (count > 1) is networks]
        axes.plot(*zip(*of_kind, strict=True), marker, ms=7, color=PALETTE[1], label=text)
    for name, (macs, _, error, side) in RECIPES.items():
        _name(axes, name, (macs, error), side)
    axes.set(xscale="log", yscale="log", xlabel="training multiply-adds", ylabel="rows that are wrong")
    axes.set(xlim=(1e12, 1.5e17), ylim=(1e-3, 3e-2))
    log_percent(axes.yaxis)
    axes.legend(loc="upper right", fontsize=9)
    return figure


def _points(axes: Axes, points: list[tuple[float, Interval]], marker: str, **style: Any) -> None:
    """Plot error rates by compute with their intervals."""
    macs = [macs for macs, _ in points]
    values, low, high = np.array([(share.value, share.low, share.high) for _, share in points]).reshape(-1, 3).T
    axes.errorbar(macs, values, [values - low, high - values], fmt="none", ecolor=style["color"], lw=0.8, alpha=0.5)
    axes.plot(macs, values, marker, **style)


def _name(axes: Axes, text: str, at: tuple[float, float], side: str, **style: Any) -> None:
    """Write a name beside a point: to its right or left."""
    offset, align = ((8, 0), "left") if side == "right" else ((-9, 0), "right")
    halo = [withStroke(linewidth=3, foreground="white")]  # lines that cross it stay behind
    style |= {"ha": align, "va": "center", "fontsize": 9, "path_effects": halo}
    axes.annotate(text, at, xytext=offset, textcoords="offset points", **style)


if __name__ == "__main__":
    main(sys.argv[1:])
