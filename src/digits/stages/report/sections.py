"""Sections of the page: scores, mistakes, comparison and map first; all others folded."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from digits.competition import COMPETITION
from digits.config import Config, value_at
from digits.data import Dataset
from digits.errors import UserError
from digits.files import records
from digits.progress import duration
from digits.runs import Run
from digits.stages.report import point_map
from digits.stages.report.inputs import clusters, first_lines, is_explored
from digits.stages.report.page import PagePicture, PageSection
from digits.stages.report.pictures import figures, image

logger = logging.getLogger(__name__)

MOST_IMAGES = 240  # of a gallery
MOST_RUNS = 20  # that are compared
MAPS = ("map_tsne", "map_umap", "map_pca")  # the first that is there is shown
CLUSTERS = ("matrix", "silhouettes", "means", "controls")
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


def sections(run: Run, eda: Path, searches: Path) -> list[PageSection]:
    """Sections of the page: scores, mistakes, comparison and map; then all others, folded."""
    metrics = records.read_json(run.metrics, oof_accuracy=float, predicted_score=float)
    evaluation = records.read_json(run.evaluation / "metrics.json", findings=dict, captions=dict)
    found = evaluation["findings"]

    def pictures(*names: str) -> list[PagePicture]:
        return figures(run.evaluation, names, evaluation)

    histories = [Path(name).stem for name in evaluation["captions"] if name.startswith("history_")]
    return [
        PageSection("Result", found["scores"], _headline(metrics, evaluation), rows=scores(metrics)),
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
        PageSection("Recipe", rows=recipe(run.config, metrics), folded=True),
        *_searched(run.dataset, searches),
        PageSection("Versions", rows=origin(run), folded=True),
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
    sentences = [f"{caption['title']}; the surest come first."] if caption else ["No row is wrong."]
    images = []
    for line in first_lines(run.evaluation / "mistakes.csv", MOST_IMAGES):
        sure = f"{float(line['first_probability']):.1%} sure, row {line['row']}"
        images.append(image(run, line["row"], f"{line['label']}, taken for {line['first']}", sure))
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
        "expected score": f"{metrics['predicted_score']:.5f} "
        f"({metrics['predicted_low']:.5f} to {metrics['predicted_high']:.5f})",
        "core time": duration(metrics["core_seconds"]),
    }


def _mapped(run: Run) -> Iterator[PageSection]:
    """The interactive map."""
    if clusters(run) is None:
        return
    points = point_map.of_run(run)
    text = (
        f"{points.count:,} rows, the mistakes in red. Move the mouse over a point to see its image; drag to move, turn "
        "the wheel to zoom: from near, images stand for the points."
    )
    yield PageSection("Map", [f"{points.title}: {text}"], points=points)


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
    yield PageSection("Data", record.get("findings", []), pictures=figures(eda, names, record), folded=True)


def _clustered(run: Run) -> Iterator[PageSection]:
    """The clusters, and the labels that may be wrong."""
    record = clusters(run)
    if record is None:
        yield PageSection("Clusters", folded=True, missing=f"make cluster RUN={run.folder.name}")
        return
    maps = [name for name in MAPS if f"{name}.png" in record["captions"]][:1]
    pictures = figures(run.clusters, [*maps, *CLUSTERS], record)
    yield PageSection("Clusters", record.get("findings", []), pictures=pictures, folded=True)
    caption = record["captions"].get("label_queue.png")
    if caption:
        images = [
            image(run, line["row"], f"{line['label']}, or {line['prediction']}?", f"row {line['row']}")
            for line in first_lines(run.clusters / "label_queue.csv", MOST_IMAGES)
        ]
        text = f"{caption['text']} Judge them: make explore RUN={run.folder.name}"
        yield PageSection("Doubtful labels", [text], images=images, folded=True)


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
        pictures = figures(search, names, record)
        yield PageSection(f"Tuning {search.name}", record.get("findings", []), pictures=pictures, folded=True)
    if not found:
        yield PageSection("Tuning", folded=True, missing="make tune")


# --- tables that the model card has too --------------------------------------------------------------------


def scores(metrics: Mapping[str, Any]) -> list[list[str]]:
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


def recipe(config: Config, metrics: Mapping[str, Any]) -> list[list[str]]:
    values = config.model_dump(mode="json") | {"members": metrics["members"]}
    networks = []
    for architecture in config.architectures:
        options = ", ".join(f"{name} {value}" for name, value in architecture.options.items())
        networks.append(f"{architecture.label} ({options})" if options else architecture.label)
    rows = [[name, str(value_at(values, key))] for name, key in RECIPE.items()]
    return [["architectures", ", ".join(networks)], *rows]


def origin(run: Run) -> list[list[str]]:
    record = records.read_twice(run.origin, versions=dict, machine=dict)
    rows = f"{len(run.dataset.train_labels):,} training and {len(run.dataset.test_images):,} test rows"
    made_by = {**record["machine"], **record["versions"]}
    return [["data", rows], ["seed", str(run.config.seed)], *([name, str(value)] for name, value in made_by.items())]
