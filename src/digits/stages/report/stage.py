"""Write all that is known about a run into one page that needs nothing else."""

from __future__ import annotations

import base64
import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
from PIL import Image

from digits.config import Config, value_at
from digits.data import Dataset
from digits.errors import UserError, shown
from digits.files import records
from digits.files.atomic import replacing
from digits.progress import duration
from digits.runs import Run
from digits.stages.report import findings

logger = logging.getLogger(__name__)

WIDEST = 1400  # pixels of a figure
MOST_PIXELS = 64_000_000  # of a picture that is opened: runs come from other people too
QUALITY = 82  # of WebP; text stays sharp
CLUSTERS = ("map_tsne", "map_umap", "map_pca", "matrix", "silhouettes", "sizes", "means", "controls", "label_queue")
SEARCH = ("progress", "importance", "parallel", "slices")
RECIPE = {  # what a reader wants to know of a config
    "networks averaged": "members",
    "folds": "folds.count",
    "seeds": "seeds",
    "epochs": "training.epochs",
    "batch size": "training.batch_size",
    "optimizer": "training.optimizer.name",
    "learning rate, peak": "training.optimizer.learning_rate",
    "schedule": "training.schedule.name",
    "label smoothing": "training.label_smoothing",
    "running average of the weights": "training.ema",
    "rotation, degrees": "augmentation.rotation",
    "shift, share of the side": "augmentation.shift",
    "zoom": "augmentation.zoom",
    "shear, degrees": "augmentation.shear",
    "elastic distortion, probability": "augmentation.elastic.probability",
    "test-time augmentation": "tta",
    "ensemble": "ensemble.rule",
}


@dataclass(frozen=True)
class Figure:
    """A picture of the page: its data as a URI, its size in pixels, what to see."""

    uri: str
    width: int
    height: int
    caption: str


@dataclass(frozen=True)
class Table:
    """Cells as they are shown."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Section:
    """A part of the page."""

    title: str
    sentences: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


def run(run: Run, eda: Path, searches: Path) -> Path:
    """Write `report.html` of a run that was evaluated; what else was made of it is shown where it is there.

    Args:
        run: finished and evaluated.
        eda: folder of what `make eda` wrote for these data.
        searches: folder of all searches.

    Returns:
        The page.

    Raises:
        UserError: the run was not evaluated, or something of it is damaged.
    """
    metrics = records.read_json(run.metrics, oof_accuracy=float, predicted_score=float)
    if not is_evaluated(run):
        raise UserError(
            f"run {run.folder} has not been evaluated as it is; do that: make evaluate RUN={run.folder.name}"
        )
    evaluation = records.read_json(run.evaluation / "metrics.json", mistakes=int, captions=dict)
    try:
        sections = _sections(run, metrics, evaluation, eda, searches)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        told = shown(f"{type(error).__name__}: {error}")
        raise UserError(
            f"run {run.folder}: its records, or those of a search on its rows, are damaged or of another version "
            f"({told}); make them anew: make evaluate RUN={run.folder.name}, make cluster, make eda, make tune"
        ) from error
    page = run.folder / "report.html"
    with replacing(page) as temporary:
        text = _render(f"{run.dataset.name}: run {run.folder.name}", sections)
        temporary.write_text(text, encoding="utf-8", errors="replace")
    print(f"Written: {page} ({page.stat().st_size / 1e6:.1f} MB)")
    return page


def _sections(
    run: Run,
    metrics: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    eda: Path,
    searches: Path,
) -> list[Section]:
    return [
        _result(run, metrics, evaluation),
        *_data(run.dataset, eda),
        _recipe(run.config, metrics),
        _training(run, metrics, evaluation),
        _digits(run, evaluation),
        _confidence(run, evaluation),
        _members(run, evaluation),
        *_clusters(run),
        *_searches(run.dataset, searches),
        _mistakes(run, evaluation),
        _origin(run),
    ]


def is_explored(folder: Path, dataset: Dataset) -> bool:
    """Whether `make eda` wrote the folder for these rows, and every file in it is as it was written."""
    path = folder / "metrics.json"
    return _stands(path) and records.read_json(path, data=dict)["data"].get("train") == dataset.fingerprint


def is_evaluated(run: Run) -> bool:
    """Whether `make evaluate` judged the run's probabilities as they are, and every file is as it was written."""
    path = run.evaluation / "metrics.json"
    return run.oof.exists() and _stands(path) and records.read_json(path).get("oof") == records.checksum(run.oof)


def _stands(record: Path) -> bool:
    whole = records.is_whole(record.parent, record.name)
    if record.exists() and not whole:
        logger.warning("%s: damaged, or of an earlier version; it is made anew", record.parent)
    return whole


def _render(title: str, sections: Sequence[Section]) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html").render(title=title, sections=sections)


# --- the sections ------------------------------------------------------------------------------------------


def _result(run: Run, metrics: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Section:
    interval = f"{metrics['predicted_low']:.5f} to {metrics['predicted_high']:.5f}"
    rows = [
        [
            "out-of-fold accuracy",
            f"{metrics['oof_accuracy']:.5f} ± {metrics['oof_accuracy_std']:.5f} between the folds",
        ],
        ["predicted leaderboard score", f"{metrics['predicted_score']:.5f}, 95 % interval {interval}"],
        ["out-of-fold log loss", f"{metrics['oof_log_loss']:.5f}"],
        ["networks", f"{metrics['members']}"],
        ["training, core time", duration(metrics["core_seconds"])],
    ]
    if "true_score" in metrics:
        rows.insert(2, ["true score", f"{metrics['true_score']:.5f}"])
    told = findings.scores(metrics, evaluation, len(run.config.folds.trained))
    if run.config.tuned_on == records.read_twice(run.origin, data=dict)["data"]["train"]:
        told.append("The config was chosen by a search on these rows, so the out-of-fold figures are optimistic.")
    return Section("Result", told, [Table([], rows)])


def _data(dataset: Dataset, eda: Path) -> Iterator[Section]:
    if not is_explored(eda, dataset):
        return
    captions = records.read_json(eda / "metrics.json", captions=dict)["captions"]
    yield Section("Data", figures=_figures(eda, [Path(name).stem for name in captions], captions))


def _recipe(config: Config, metrics: Mapping[str, Any]) -> Section:
    values = config.model_dump(mode="json") | {"members": metrics["members"]}
    nets = [
        of.label + (f" ({', '.join(f'{name} {value}' for name, value in of.options.items())})" if of.options else "")
        for of in config.architectures
    ]
    rows = [["kinds of networks", ", ".join(nets)]]
    rows += [[name, str(value_at(values, key))] for name, key in RECIPE.items()]
    return Section("Recipe", tables=[Table([], rows)])


def _training(run: Run, metrics: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Section:
    told = [f"{metrics['members']} networks took {duration(metrics['core_seconds'])} of one core's time to train."]
    return Section("Training", told, figures=_figures(run.evaluation, ["history"], evaluation["captions"]))


def _digits(run: Run, evaluation: Mapping[str, Any]) -> Section:
    rows = []
    for of in evaluation["digits"]:
        scores = ["-" if of[name] is None else f"{of[name]:.4f}" for name in ("precision", "recall", "f1")]
        low, high = of["f1_interval"]
        rows.append([str(of["digit"]), f"{of['support']:,}", *scores, f"{low:.4f} to {high:.4f}"])
    table = Table(["digit", "rows", "precision", "recall", "F1", "95 % interval of F1"], rows)
    shown = _figures(run.evaluation, ["confusion", "digits"], evaluation["captions"])
    return Section("Digits", findings.digits(evaluation), [table], shown)


def _confidence(run: Run, evaluation: Mapping[str, Any]) -> Section:
    shown = _figures(run.evaluation, ["reliability", "confidence", "coverage"], evaluation["captions"])
    return Section("Confidence", findings.confidence(evaluation), figures=shown)


def _members(run: Run, evaluation: Mapping[str, Any]) -> Section:
    shown = _figures(run.evaluation, ["agreement", "rescued"], evaluation["captions"])
    return Section("Ensemble", findings.ensemble(evaluation), figures=shown)


def _clusters(run: Run) -> Iterator[Section]:
    if not (run.clusters / "metrics.json").exists():
        return
    record = records.read_json(run.clustered() / "metrics.json", purity=float, controls=dict)
    yield Section("Clusters", findings.clusters(record), figures=_figures(run.clusters, CLUSTERS))


def _searches(dataset: Dataset, searches: Path) -> Iterator[Section]:
    """A section for each search on the same rows."""
    for path in sorted(searches.glob("*/search.json")):
        record = records.read_twice(path, data=str, config=dict)
        leaderboard = path.parent / "leaderboard.csv"
        if record["data"] != dataset.fingerprint or not leaderboard.exists():
            continue
        sealed = path.parent / "results.json"
        if sealed.exists() and not records.is_whole(path.parent, sealed.name):
            logger.warning(
                "search %s is damaged, or was stopped as it wrote, and is left out; mend it: make tune", path.parent
            )
            continue
        with leaderboard.open(newline="", encoding="utf-8") as file:
            trials = list(csv.DictReader(file))
        told = findings.tuning(trials, record["config"]["tune"]["objective"])
        yield Section(f"Tuning {path.parent.name}", told, figures=_figures(path.parent, SEARCH))


def _mistakes(run: Run, evaluation: Mapping[str, Any]) -> Section:
    return Section("Mistakes", figures=_figures(run.evaluation, ["mistakes"], evaluation["captions"]))


def _origin(run: Run) -> Section:
    record = records.read_twice(run.origin, versions=dict, machine=dict)
    rows = [["data", f"{len(run.dataset.train_labels):,} training and {len(run.dataset.test_images):,} test rows"]]
    rows += [["seed", str(run.config.seed)]]
    rows += [[name, str(value)] for name, value in {**record["machine"], **record["versions"]}.items()]
    return Section("How it was made", tables=[Table([], rows)])


# --- pictures ----------------------------------------------------------------------------------------------


def _figures(folder: Path, names: Sequence[str], captions: Mapping[str, str] = MappingProxyType({})) -> list[Figure]:
    """Those of the named pictures of a folder that are there; `captions` are by file name."""
    files = [f"{name}.png" for name in names]
    return [_embedded(folder / file, captions.get(file, "")) for file in files if (folder / file).exists()]


def _embedded(path: Path, caption: str) -> Figure:
    """A picture within the page, no wider than is of use.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError("its pixels are too many")
            rgb = picture.convert("RGB")
    except Exception as error:  # Pillow raises a dozen kinds, for files that are cut off or made to harm
        raise UserError(f"{path}: cannot be read ({shown(str(error))}); make it anew") from None
    if rgb.width > WIDEST:
        rgb = rgb.resize((WIDEST, round(rgb.height * WIDEST / rgb.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    rgb.save(file, "WEBP", quality=QUALITY, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return Figure(uri, rgb.width, rgb.height, caption)
