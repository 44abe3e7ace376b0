"""Write all that is known about a run into one page that needs nothing else, and most of it into a model card."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from digits.competition import COMPETITION
from digits.config import Config, value_at
from digits.data import Dataset
from digits.errors import UserError, shown
from digits.files import records
from digits.files.atomic import replacing
from digits.progress import duration
from digits.runs import Run
from digits.stages.report import model_card

logger = logging.getLogger(__name__)

WIDEST = 1400  # pixels of a figure
MOST_PIXELS = 64_000_000  # of a picture that is opened: runs come from other people too
QUALITY = 82  # of WebP; text stays sharp
MOST_CLASSES = 50  # that the model card lists
CLUSTERS = ("map_tsne", "map_umap", "map_pca", "matrix", "silhouettes", "sizes", "means", "controls", "label_queue")
SEARCH = ("progress", "importance", "parallel", "slices")
RECIPE = {  # what a reader wants to know of a config
    "networks averaged": "members",
    "corrected labels": "data.corrections",
    "folds": "folds.count",
    "seeds": "seeds",
    "epochs": "training.epochs",
    "of them without augmentation": "training.clean_epochs",
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
class PagePicture:
    """A picture of the page: its data as a URI, its size in pixels, what to see."""

    uri: str
    width: int
    height: int
    caption: str


@dataclass(frozen=True)
class PageSection:
    """A part of the page: sentences, a table and pictures."""

    title: str
    sentences: Sequence[str] = ()
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    pictures: Sequence[PagePicture] = ()

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


def run(run: Run, eda: Path, searches: Path) -> Path:
    """Write `report.html` and `MODEL_CARD.md` of a run that was evaluated.

    What other stages found is shown where it is there.

    Args:
        run: finished and evaluated.
        eda: folder of what `make eda` wrote for these data.
        searches: folder of all searches.

    Returns:
        The page.

    Raises:
        UserError: the run was not evaluated, or something of it is damaged.
    """
    if not is_evaluated(run):
        name = run.folder.name
        raise UserError(f"run {run.folder} has not been evaluated as it is; do that: make evaluate RUN={name}")
    try:
        text = _render(f"{run.dataset.name}: run {run.folder.name}", _sections(run, eda, searches))
        card = _card(run)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(
            f"run {run.folder}: its records, or those of a search on its rows, are damaged or of another version "
            f"({shown(f'{type(error).__name__}: {error}')}); make them anew: make evaluate RUN={run.folder.name}, make "
            "cluster, make eda, make tune"
        ) from error
    page = run.folder / "report.html"
    for path, content in ((run.folder / "MODEL_CARD.md", card), (page, text)):
        with replacing(path) as temporary:
            temporary.write_text(content, encoding="utf-8", errors="replace")
        print(f"Written: {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return page


def is_explored(folder: Path, dataset: Dataset) -> bool:
    """`make eda` wrote the folder for these rows, and every file's checksum matches."""
    path = folder / "metrics.json"
    return _is_whole(path) and records.read_json(path, data=dict)["data"].get("train") == dataset.fingerprint


def is_evaluated(run: Run) -> bool:
    """`make evaluate` of this version evaluated the run's probabilities as they are, and every checksum matches."""
    path = run.evaluation / "metrics.json"
    if not run.oof.exists() or not _is_whole(path):
        return False
    record = records.read_json(path)
    return "findings" in record and record.get("oof") == records.checksum(run.oof)


def _is_whole(record: Path) -> bool:
    whole = records.is_whole(record.parent, record.name)
    if record.exists() and not whole:
        logger.warning("%s: damaged, or of an earlier version; it is made anew", record.parent)
    return whole


def _render(title: str, sections: Sequence[PageSection]) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html").render(title=title, prose=COMPETITION.prose, sections=sections)


# --- sections ----------------------------------------------------------------------------------------------


def _sections(run: Run, eda: Path, searches: Path) -> list[PageSection]:
    metrics = records.read_json(run.metrics, oof_accuracy=float, predicted_score=float)
    evaluation = records.read_json(run.evaluation / "metrics.json", findings=dict, captions=dict)
    found = evaluation["findings"]

    def pictures(*names: str) -> list[PagePicture]:
        return _pictures(run.evaluation, names, evaluation)

    return [
        PageSection("Result", found["scores"], rows=_scores(metrics)),
        *_explored(run.dataset, eda),
        PageSection("Recipe", rows=_recipe(run.config, metrics)),
        PageSection("Training", pictures=pictures("history")),
        _classes(evaluation, pictures("confusion", "classes")),
        PageSection("Confidence", found["confidence"], pictures=pictures("reliability", "confidence", "coverage")),
        PageSection("Ensemble", found["ensemble"], pictures=pictures("agreement", "rescued")),
        *_clustered(run),
        *_searched(run.dataset, searches),
        PageSection("Mistakes", pictures=pictures("mistakes")),
        PageSection("How it was made", rows=_origin(run)),
    ]


def _card(run: Run) -> str:
    """Text of the model card."""
    metrics = records.read_json(run.metrics, oof_accuracy=float)
    found = records.read_json(run.evaluation / "metrics.json", findings=dict)["findings"]
    left_out = ["The exported file leaves out the test-time augmentation, with which the scores were made."]
    limits = [*model_card.LIMITS, *left_out * (run.config.tta != "none"), *found["classes"], *found["confidence"]]
    sections = [
        PageSection("Data", rows=_data(run.dataset)),
        PageSection("Recipe", rows=_recipe(run.config, metrics)),
        PageSection("Scores", found["scores"], rows=_scores(metrics)),
        PageSection("Limits", limits),
        PageSection("How it was made", rows=_origin(run)),
    ]
    return model_card.text(run.folder.name, run.dataset, metrics, sections)


def _data(dataset: Dataset) -> list[list[str]]:
    height, width, channels = dataset.shape
    classes = ", ".join(map(str, dataset.classes[:MOST_CLASSES]))
    more = f" and {len(dataset.classes) - MOST_CLASSES} more" * (len(dataset.classes) > MOST_CLASSES)
    return [
        ["data set", f"{dataset.name}; the data belong to their owners"],
        ["images", f"uint8, {height} x {width} pixels, {channels} {'channel' if channels == 1 else 'channels'}"],
        ["classes", f"{classes}{more}"],
        *([f"fingerprint, {table}", fingerprint] for table, fingerprint in dataset.fingerprints.items()),
    ]


def _scores(metrics: Mapping[str, Any]) -> list[list[str]]:
    accuracy = f"{metrics['oof_accuracy']:.5f} ± {metrics['oof_accuracy_std']:.5f} between the folds"
    interval = f"95 % interval {metrics['predicted_low']:.5f} to {metrics['predicted_high']:.5f}"
    rows = [
        ["out-of-fold accuracy", accuracy],
        ["predicted leaderboard score", f"{metrics['predicted_score']:.5f}, {interval}"],
        ["out-of-fold log loss", f"{metrics['oof_log_loss']:.5f}"],
        ["networks", f"{metrics['members']}"],
        ["training, core time", duration(metrics["core_seconds"])],
    ]
    if "true_score" in metrics:
        rows.insert(2, ["true score", f"{metrics['true_score']:.5f}"])
    if "kaggle_score" in metrics:
        rows.insert(2, ["Kaggle's public score", f"{metrics['kaggle_score']:.5f}"])
    if COMPETITION.metric != "accuracy":
        rows.insert(1, [f"out-of-fold {COMPETITION.metric.replace('_', ' ')}", f"{metrics['oof_metric']:.5f}"])
    return rows


def _recipe(config: Config, metrics: Mapping[str, Any]) -> list[list[str]]:
    values = config.model_dump(mode="json") | {"members": metrics["members"]}
    networks = []
    for architecture in config.architectures:
        options = ", ".join(f"{name} {value}" for name, value in architecture.options.items())
        networks.append(f"{architecture.label} ({options})" if options else architecture.label)
    rows = [[name, str(value_at(values, key))] for name, key in RECIPE.items()]
    return [["architectures", ", ".join(networks)], *rows]


def _classes(evaluation: Mapping[str, Any], pictures: list[PagePicture]) -> PageSection:
    headings = [COMPETITION.noun, "rows", "precision", "recall", "F1", "95 % interval of F1"]
    rows = []
    for scores in evaluation["classes"]:
        cells = ["-" if scores[name] is None else f"{scores[name]:.4f}" for name in ("precision", "recall", "f1")]
        low, high = scores["f1_interval"]
        rows.append([str(scores["class"]), f"{scores['support']:,}", *cells, f"{low:.4f} to {high:.4f}"])
    return PageSection(COMPETITION.nouns.capitalize(), evaluation["findings"]["classes"], headings, rows, pictures)


def _explored(dataset: Dataset, eda: Path) -> Iterator[PageSection]:
    if is_explored(eda, dataset):
        record = records.read_json(eda / "metrics.json", captions=dict)
        names = [Path(name).stem for name in record["captions"]]
        yield PageSection("Data", record.get("findings", []), pictures=_pictures(eda, names, record))


def _clustered(run: Run) -> Iterator[PageSection]:
    if (run.clusters / "metrics.json").exists():
        record = records.read_json(run.clustered() / "metrics.json", purity=float)
        yield PageSection("Clusters", record.get("findings", []), pictures=_pictures(run.clusters, CLUSTERS, record))


def _searched(dataset: Dataset, searches: Path) -> Iterator[PageSection]:
    """A section for each search on the same rows."""
    for results in sorted(searches.glob("*/results.json")):
        search = results.parent
        if records.read_twice(search / "search.json", data=str)["data"] != dataset.fingerprint:
            continue
        if not records.is_whole(search, results.name):
            logger.warning("search %s is damaged or half written, and is left out; mend it: make tune", search)
            continue
        record = records.read_json(results)
        yield PageSection(
            f"Tuning {search.name}", record.get("findings", []), pictures=_pictures(search, SEARCH, record)
        )


def _origin(run: Run) -> list[list[str]]:
    record = records.read_twice(run.origin, versions=dict, machine=dict)
    rows = f"{len(run.dataset.train_labels):,} training and {len(run.dataset.test_images):,} test rows"
    made_by = {**record["machine"], **record["versions"]}
    return [["data", rows], ["seed", str(run.config.seed)], *([name, str(value)] for name, value in made_by.items())]


# --- pictures ----------------------------------------------------------------------------------------------


def _pictures(folder: Path, names: Sequence[str], record: Mapping[str, Any]) -> list[PagePicture]:
    """Embed the named pictures that are in the folder, whose record holds captions by file name."""
    captions = record.get("captions", {})
    files = [f"{name}.png" for name in names]
    return [_embedded(folder / file, captions.get(file, "")) for file in files if (folder / file).exists()]


def _embedded(path: Path, caption: str) -> PagePicture:
    """A picture within the page, no wider than is of use.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError("it has too many pixels")
            rgb = picture.convert("RGB")
    except Exception as error:  # Pillow raises a dozen kinds, for files that are cut off or made to harm
        raise UserError(f"{path}: cannot be read ({shown(str(error))}); make it anew") from None
    if rgb.width > WIDEST:
        rgb = rgb.resize((WIDEST, round(rgb.height * WIDEST / rgb.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    rgb.save(file, "WEBP", quality=QUALITY, method=4)
    uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
    return PagePicture(uri, rgb.width, rgb.height, caption)
