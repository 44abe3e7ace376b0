"""Write all that is known about a run into one page that needs nothing else, and most of it into a model card."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from digits.competition import COMPETITION
from digits.config import Config, value_at
from digits.data import Dataset
from digits.errors import UserError, shown
from digits.files import records
from digits.files.atomic import replacing
from digits.progress import duration
from digits.runs import Run
from digits.stages.report import model_card, point_map

logger = logging.getLogger(__name__)

DOTS = 200 / 96  # of a figure, in a pixel of the page
WIDEST = 1400  # dots of a figure in the page
PHONE = 560  # pixels: what is wider is not shrunk to a phone, but scrolled
MOST_PIXELS = 64_000_000  # of a picture that is opened: runs come from other people too
QUALITY = 82  # of WebP; text stays sharp
LARGEST_IMAGE = 64  # pixels of a side of an image of the data
FIRST, MOST_IMAGES = 24, 240  # images of a gallery that are shown at once, and at most
MOST_RUNS = 20  # that are compared
MOST_CLASSES = 50  # that the model card lists
MAPS = ("map_tsne", "map_umap", "map_pca")  # the first that is there is shown
CLUSTERS = ("matrix", "silhouettes", "means", "controls")
READING = (
    "Out of fold: each training row is predicted only by networks that never saw it. All scores here are of such rows.",
    "95% interval: where the score would lie for other rows drawn the same way. Where two intervals overlap a lot, the "
    "difference may be chance.",
    "Expected score: of the test rows, whose labels nobody knows; the networks of all folds together do a little "
    "better than one.",
    "Confidence: the probability that the networks give to what they chose.",
)
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
    """A figure of the page: its data as a URI, its size in pixels of the page, its words.

    name: in the address of its full size.
    """

    name: str
    uri: str
    width: int
    height: int
    title: str
    caption: str

    @property
    def is_wide(self) -> bool:
        return self.width > PHONE


@dataclass(frozen=True)
class PageImage:
    """An image of the data: a URI, and lines below it."""

    uri: str
    lines: Sequence[str]


@dataclass(frozen=True)
class PageSection:
    """A part of the page: sentences, a table, images of the data, and figures.

    scores: name, value and interval of each, in large letters. folded: opened by a click. missing: the command that
    makes what it would show.
    """

    title: str
    sentences: Sequence[str] = ()
    scores: Sequence[tuple[str, str, str]] = ()
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    pictures: Sequence[PagePicture] = ()
    images: Sequence[PageImage] = ()
    points: point_map.Points | None = None
    folded: bool = False
    missing: str = ""

    @property
    def anchor(self) -> str:
        return "-".join(self.title.lower().split())

    @property
    def first_images(self) -> Sequence[PageImage]:
        return self.images[:FIRST]

    @property
    def more_images(self) -> Sequence[PageImage]:
        return self.images[FIRST:]


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
        text = _render(run, _sections(run, eda, searches))
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
        print(f"Written: {path} ({path.stat().st_size / 1e3:,.0f} kB)")
    return page


def is_explored(folder: Path, dataset: Dataset) -> bool:
    """`make eda` of this version wrote the folder for these rows, and every file's checksum matches."""
    path = folder / "metrics.json"
    if not _is_whole(path):
        return False
    record = records.read_json(path, data=dict)
    return _has_captions(record) and record["data"].get("train") == dataset.fingerprint


def is_evaluated(run: Run) -> bool:
    """`make evaluate` of this version evaluated the run's probabilities as they are, and every checksum matches."""
    path = run.evaluation / "metrics.json"
    if not run.oof.exists() or not _is_whole(path):
        return False
    record = records.read_json(path)
    return "findings" in record and _has_captions(record) and record.get("oof") == records.checksum(run.oof)


def _has_captions(record: Mapping[str, Any]) -> bool:
    """A stage of this version wrote the record: its figures have titles."""
    captions = record.get("captions")
    return isinstance(captions, dict) and all(isinstance(caption, dict) for caption in captions.values())


def _is_whole(record: Path) -> bool:
    whole = records.is_whole(record.parent, record.name)
    if record.exists() and not whole:
        logger.warning("%s: damaged, or of an earlier version; it is made anew", record.parent)
    return whole


def _render(run: Run, sections: Sequence[PageSection]) -> str:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # the order of lines at the mouse
    script = point_map.script()
    return environment.get_template("report.html").render(
        title=f"{run.dataset.name}: run {run.folder.name}",
        prose=COMPETITION.prose,
        card=_about(run),
        reading=READING,
        sections=sections,
        grey=run.dataset.shape[-1] == 1,
        script=Markup(script),
        checksum=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _about(run: Run) -> list[tuple[str, str]]:
    """Data, networks, command and date, in a few lines."""
    data, config = run.dataset, run.config
    height, width, _ = data.shape
    folds, seeds = len(config.folds.trained), config.seeds
    names = ", ".join(each.label for each in config.architectures)
    times = f"{folds} {'fold' if folds == 1 else 'folds'} x {seeds} {'seed' if seeds == 1 else 'seeds'}"
    size = f"{len(data.train_labels):,} training and {len(data.test_images):,} test rows, {height} x {width} pixels"
    return [
        ("data", f"{data.name}: {size}, {len(data.classes)} {COMPETITION.nouns}"),
        ("networks", f"{names} x {times}"),
        ("command", f"make report RUN={run.folder.name}"),
        ("written", time.strftime("%Y-%m-%d %H:%M")),
    ]


# --- sections ----------------------------------------------------------------------------------------------


def _sections(run: Run, eda: Path, searches: Path) -> list[PageSection]:
    """Sections of the page: scores, mistakes, comparison and map; then all others, folded."""
    metrics = records.read_json(run.metrics, oof_accuracy=float, predicted_score=float)
    evaluation = records.read_json(run.evaluation / "metrics.json", findings=dict, captions=dict)
    found = evaluation["findings"]

    def pictures(*names: str) -> list[PagePicture]:
        return _pictures(run.evaluation, names, evaluation)

    histories = [Path(name).stem for name in evaluation["captions"] if name.startswith("history_")]
    return [
        PageSection("Result", found["scores"], _headline(metrics, evaluation), rows=_scores(metrics)),
        _mistakes(run, evaluation, pictures("confusion")),
        _compared(run, metrics),
        *_mapped(run),
        _classes(evaluation, pictures("classes")),
        PageSection(
            "Confidence", found["confidence"], pictures=pictures("reliability", "confidence", "coverage"), folded=True
        ),
        PageSection("Ensemble", found["ensemble"], pictures=pictures("agreement", "rescued"), folded=True),
        *_clustered(run),
        PageSection("Training", pictures=pictures(*histories), folded=True),
        *_explored(run.dataset, eda),
        PageSection("Recipe", rows=_recipe(run.config, metrics), folded=True),
        *_searched(run.dataset, searches),
        PageSection("Versions", rows=_origin(run), folded=True),
    ]


def _headline(metrics: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    low, high = evaluation["accuracy_interval"]
    expected = f"{metrics['predicted_low']:.5f} to {metrics['predicted_high']:.5f}"
    return [
        ("Accuracy out of fold", f"{evaluation['accuracy']:.5f}", f"{low:.5f} to {high:.5f}"),
        ("Expected score of the test rows", f"{metrics['predicted_score']:.5f}", expected),
        ("Mistakes", f"{evaluation['mistakes']:,}", f"of {evaluation['rows']:,} rows"),
    ]


def _mistakes(run: Run, evaluation: Mapping[str, Any], pictures: list[PagePicture]) -> PageSection:
    """The confusion matrix, and the images of the surest mistakes."""
    caption = evaluation["captions"].get("mistakes.png", {})
    sentences = [f"{caption['title']}; the surest are below."] if caption else ["No row is wrong."]
    images = []
    for line in _lines(run.evaluation / "mistakes.csv"):
        sure = f"{float(line['first_probability']):.1%} sure, row {line['row']}"
        images.append(_image(run, line["row"], f"{line['label']}, taken for {line['first']}", sure))
    return PageSection("Mistakes", sentences, pictures=pictures, images=images)


def _compared(run: Run, metrics: Mapping[str, Any]) -> PageSection:
    """This run and others on the same rows, those that are published too, the best first."""
    rows = [_line(run.folder.name, metrics) | {"run": f"{run.folder.name} (this run)"}]
    known = {run.folder.name}
    folders = run.folder.parent.glob("*/metrics.json"), run.folder.parent.glob("published/*/metrics.json")
    for path in itertools.chain(*map(sorted, folders)):
        if path.parent.name in known or len(rows) > MOST_RUNS:
            continue
        try:
            other = records.read_json(path, oof_accuracy=float, predicted_score=float, core_seconds=float)
            data = other.get("data") or records.read_twice(path.with_name("run.json"), data=dict)["data"]
            if data["train"] == run.dataset.fingerprint:
                rows.append(_line(path.parent.name, other))
                known.add(path.parent.name)
        except (UserError, KeyError, TypeError, ValueError, AttributeError):
            logger.warning("%s is damaged or of an earlier version, and is not compared", path.parent)
    rows.sort(key=lambda row: row["expected score"], reverse=True)
    text = f"To compare two of them row by row: make compare A={run.folder.name} B=<other>"
    alone = "There is no other run on these rows yet."
    headings = list(rows[0])
    cells = [[row[name] for name in headings] for row in rows]
    return PageSection("Comparison", [text if len(rows) > 1 else alone], headings=headings, rows=cells)


def _line(name: str, metrics: Mapping[str, Any]) -> dict[str, str]:
    singles = metrics["oof_accuracy_by_architecture"]
    return {
        "run": name,
        "networks": f"{metrics['members']} ({', '.join(singles)})",
        "accuracy, out of fold": f"{metrics['oof_accuracy']:.5f}",
        "best single network": f"{max(singles.values()):.5f}",
        "expected score": f"{metrics['predicted_score']:.5f}",
        "95% interval": f"{metrics['predicted_low']:.5f} to {metrics['predicted_high']:.5f}",
        "training, core time": duration(metrics["core_seconds"]),
    }


def _mapped(run: Run) -> Iterator[PageSection]:
    """The interactive map."""
    if _clusters(run) is None:
        return
    points = point_map.of_run(run)
    text = (
        f"{points.count:,} rows, the mistakes in red. Move the mouse over a point to see its image; drag to move, turn "
        "the wheel to zoom: from near, images stand for the points."
    )
    yield PageSection("Map", [f"{points.title}: {text}"], points=points)


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
    interval = f"95% interval {metrics['predicted_low']:.5f} to {metrics['predicted_high']:.5f}"
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
    headings = [COMPETITION.noun, "rows", "precision", "recall", "F1", "95% interval of F1"]
    rows = []
    for scores in evaluation["classes"]:
        cells = ["-" if scores[name] is None else f"{scores[name]:.4f}" for name in ("precision", "recall", "f1")]
        low, high = scores["f1_interval"]
        rows.append([str(scores["class"]), f"{scores['support']:,}", *cells, f"{low:.4f} to {high:.4f}"])
    title = COMPETITION.nouns.capitalize()
    sentences = evaluation["findings"]["classes"]
    return PageSection(title, sentences, headings=headings, rows=rows, pictures=pictures, folded=True)


def _explored(dataset: Dataset, eda: Path) -> Iterator[PageSection]:
    if not is_explored(eda, dataset):
        yield PageSection("Data", folded=True, missing="make eda")
        return
    record = records.read_json(eda / "metrics.json", captions=dict)
    names = [Path(name).stem for name in record["captions"]]
    yield PageSection("Data", record.get("findings", []), pictures=_pictures(eda, names, record), folded=True)


def _clustered(run: Run) -> Iterator[PageSection]:
    """The clusters, and the labels that may be wrong."""
    record = _clusters(run)
    if record is None:
        yield PageSection("Clusters", folded=True, missing=f"make cluster RUN={run.folder.name}")
        return
    maps = [name for name in MAPS if f"{name}.png" in record["captions"]][:1]
    pictures = _pictures(run.clusters, [*maps, *CLUSTERS], record)
    yield PageSection("Clusters", record.get("findings", []), pictures=pictures, folded=True)
    caption = record["captions"].get("label_queue.png")
    if caption:
        images = [
            _image(run, line["row"], f"{line['label']}, or {line['prediction']}?", f"row {line['row']}")
            for line in _lines(run.clusters / "label_queue.csv")
        ]
        text = f"{caption['text']} Judge them: make explore RUN={run.folder.name}"
        yield PageSection("Doubtful labels", [text], images=images, folded=True)


def _clusters(run: Run) -> dict[str, Any] | None:
    """Record of `make cluster`; None where it was not run, or by an earlier version.

    Raises:
        UserError: something of it is damaged.
    """
    if not (run.clusters / "metrics.json").exists():
        return None
    record = records.read_json(run.clustered() / "metrics.json", purity=float)
    return record if _has_captions(record) else None


def _searched(dataset: Dataset, searches: Path) -> Iterator[PageSection]:
    """A section for each search on the same rows."""
    found = False
    for results in sorted(searches.glob("*/results.json")):
        search = results.parent
        if records.read_twice(search / "search.json", data=str)["data"] != dataset.fingerprint:
            continue
        if not records.is_whole(search, results.name):
            logger.warning("search %s is damaged or half written, and is left out; mend it: make tune", search)
            continue
        found = True
        record = records.read_json(results)
        names = [Path(name).stem for name in record.get("captions", {})]
        pictures = _pictures(search, names, record)
        yield PageSection(f"Tuning {search.name}", record.get("findings", []), pictures=pictures, folded=True)
    if not found:
        yield PageSection("Tuning", folded=True, missing="make tune")


def _origin(run: Run) -> list[list[str]]:
    record = records.read_twice(run.origin, versions=dict, machine=dict)
    rows = f"{len(run.dataset.train_labels):,} training and {len(run.dataset.test_images):,} test rows"
    made_by = {**record["machine"], **record["versions"]}
    return [["data", rows], ["seed", str(run.config.seed)], *([name, str(value)] for name, value in made_by.items())]


# --- pictures ----------------------------------------------------------------------------------------------


def _lines(path: Path) -> list[dict[str, str]]:
    """First lines of a CSV.

    Raises:
        UserError: it is missing, or no CSV.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(itertools.islice(csv.DictReader(file), MOST_IMAGES))
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({shown(str(error))}); make it anew") from None


def _image(run: Run, row: str, *lines: str) -> PageImage:
    """A training image within the page, ink dark, no larger than is of use; row: its number."""
    if int(row) < 0:
        raise ValueError(f"there is no row {shown(row)}")
    pixels = run.dataset.train_images[int(row)]
    grey = pixels.shape[-1] == 1
    image = Image.fromarray(255 - pixels[..., 0] if grey else pixels)
    image.thumbnail((LARGEST_IMAGE, LARGEST_IMAGE))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return PageImage(_uri("png", file), lines)


def _pictures(folder: Path, names: Sequence[str], record: Mapping[str, Any]) -> list[PagePicture]:
    """Embed the named figures that are in the folder, whose record holds captions by file name."""
    captions = record.get("captions", {})
    files = [f"{name}.png" for name in names]
    return [_embedded(folder / file, captions[file]) for file in files if file in captions and (folder / file).exists()]


def _embedded(path: Path, caption: Mapping[str, str]) -> PagePicture:
    """A figure within the page, no finer than is of use.

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
    size = round(rgb.width / DOTS), round(rgb.height / DOTS)
    if rgb.width > WIDEST:
        rgb = rgb.resize((WIDEST, round(rgb.height * WIDEST / rgb.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    rgb.save(file, "WEBP", quality=QUALITY, method=4)
    name = f"{path.parent.name}-{path.stem}"
    return PagePicture(name, _uri("webp", file), *size, caption["title"], caption["text"])


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode("ascii")
