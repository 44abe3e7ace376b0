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
from matplotlib.figure import Figure

from digits import config, data
from digits.ensemble import comparison, logits, metrics, rules
from digits.ensemble.calibration import temperature
from digits.ensemble.interval import Interval, wilson
from digits.errors import UserError, one_line_errors
from digits.figures.style import PALETTE, canvas, caption, log_percent, styled
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
PUBLISHED = {  # training MACs of all networks, their number, error rate, rows learnt and scored
    "poolfree, 45 epochs (C. Deotte)": (1.2e14, 1, 1 - 0.99641, "MNIST's 60,000 / 10,000"),
    "15 of them averaged": (1.2e15, 15, 1 - 0.99757, "Kaggle's 42,000 / 28,000"),
    "full_resolution (Matuzas77)": (2.4e15, 1, 1 - 0.997475, "MNIST's 60,000 / 10,000"),
    "20 of them averaged": (4.8e16, 20, 1 - 0.99830, "MNIST's 60,000 / 10,000"),
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
    results = [Result(**json.loads(path.read_text())) for path in sorted(RESULTS.glob("*.json"))]
    print(table(results))
    with replacing(FIGURE) as temporary:
        frontier(results).savefig(temporary)


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
        "| | | forward MACs | epochs | training MACs of a network | errors | log loss | "
        f"errors against `{REFERENCE}` | log loss against it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for number, result in enumerate(sorted(results, key=lambda result: result.training_macs), 1):
        cells = [
            str(number),
            f"`{result.name}`" + "*" * bool(result.code),
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


@styled
def frontier(results: list[Result]) -> Figure:
    """Error rate by training compute: ours by number, beside what others published."""
    figure, (axes,) = canvas(1, width=10, height=5.2)
    for number, result in enumerate(sorted(results, key=lambda result: result.training_macs), 1):
        share = wilson(len(result.wrong), result.rows)
        reach = [[share.value - share.low], [share.high - share.value]]
        at = result.training_macs, share.value
        axes.errorbar(*at, reach, fmt="none", ecolor=PALETTE[0], lw=0.6, alpha=0.4)
        axes.plot(*at, "o", color=PALETTE[0], ms=11, alpha=0.8, label=f"{number}  {result.name}")
        axes.annotate(str(number), at, ha="center", va="center", color="white", fontsize=7, weight="bold")
    for name, (macs, networks, error, where) in PUBLISHED.items():
        axes.plot(macs, error, "s" if networks == 1 else "D", color=PALETTE[1], ms=7)
        below = {"xytext": (0, -8), "ha": "center", "va": "top"} if networks > 1 else {"xytext": (8, 0), "va": "center"}
        axes.annotate(f"{name}\n{where}", (macs, error), textcoords="offset points", fontsize=7.5, **below)
    axes.set(xscale="log", yscale="log", xlabel="training multiply-adds", ylabel="rows that are wrong")
    axes.set_xlim(right=3e17)  # room for labels
    axes.set_ylim(bottom=1e-3)
    log_percent(axes.yaxis)
    axes.legend(loc="upper right", fontsize=8, handlelength=0.8)
    caption(
        figure,
        f"Circles: single networks, {results[0].rows:,} out-of-fold rows of {results[0].folds} folds of ten, each with "
        "its 95 % interval; squares: published single networks, diamonds: published ensembles, on other rows",
    )
    return figure


if __name__ == "__main__":
    main(sys.argv[1:])
