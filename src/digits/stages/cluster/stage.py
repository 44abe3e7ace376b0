"""Cluster the out-of-fold features of a run, and say how far the clusters are the classes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from digits.competition import COMPETITION
from digits.figures import folder as figure_folder
from digits.figures import sheets
from digits.figures.folder import Captioned
from digits.figures.style import shortened
from digits.files import arrays, records
from digits.progress import StepTimer, console, duration
from digits.runs import Run
from digits.stages.cluster import clustering, figures, findings, spaces
from digits.stages.cluster.clustering import NOISE
from digits.stages.cluster.features import gather
from digits.stages.cluster.study import SWEEP_ROWS, Study, cluster

SHEET = 100  # members of a cluster on its sheet
QUEUE_SHOWN = 60
Captions = dict[str, dict[str, str]]  # by file
BESIDE = ("comparison*", "verdicts.csv")  # files of the folder that another command writes


def run(run: Run) -> dict[str, Any]:
    """Write `clusters/`: metrics, the cluster of every row, maps, figures, the label queue.

    Args:
        run: finished; the caller holds its lock.

    Returns:
        The metrics.
    """
    settings, steps = run.config.cluster, StepTimer()
    with steps.step("alignment"):
        features = gather(run)
    with steps.step(f"{settings.method} in {settings.space}"):
        study = cluster(run, features)
    with steps.step("scores"):
        scores = study.scores()
    with steps.step("controls"):
        scores |= study.controls()
    with steps.step("sweep of k"):
        sweep = study.sweep()
    with steps.step("label queue"):
        _ = study.queue  # which is cached
    with steps.step("figures and files"):
        _remove_earlier(study)
        captions = _draw(study, scores, sweep)
        _write_rows(study)
        _write_queue(study)
    maps = _draw_maps(study, steps, captions)
    features.store(run)
    arrays.write(run.clusters / "embedding.npz", fingerprint=np.array(run.dataset.fingerprint), **maps)
    record = records.with_nulls(scores | {"queued": len(study.queue.rows), "seconds": steps.seconds})
    record |= {"findings": findings.sentences(record), "captions": captions}
    records.seal(run.clusters, record, "metrics.json", beside=BESIDE)
    _print(run, record)
    return record


# --- figures -----------------------------------------------------------------------------------------------


def _draw(study: Study, scores: dict[str, Any], sweep: clustering.Sweep) -> Captions:
    """Draw every figure but the maps."""
    swept = min(SWEEP_ROWS, len(study.sample.rows))
    about = scores | {"neighbours": clustering.NEIGHBOURS}
    captions = findings.captions(about, len(study.classes), sweep.silhouette, swept)
    of_all = ((name, figure, captions[name]) for name, figure in _figures(study, scores, sweep))
    return figure_folder.draw(study.run.clusters, chain(of_all, _sheets(study), _queue_sheet(study)))


def _figures(study: Study, scores: dict[str, Any], sweep: clustering.Sweep) -> Iterator[tuple[str, Figure]]:
    """Every figure that shows all clusters, with the name of its file."""
    found, images = study.clustering, study.sample.sources["pixels"]
    if study.settings.method in ("dbscan", "hdbscan"):
        curve = clustering.neighbour_distances(found.space)
        yield "neighbour_distance", figures.neighbour_curve(curve, clustering.knee(curve))
    if not len(found.numbers):
        return
    table = clustering.contingency(found.clusters, found.targets)
    classes = study.classes[np.unique(found.targets[found.clusters != NOISE])]
    yield "matrix", figures.cluster_matrix(table, found.numbers, classes)
    if np.isfinite(found.silhouettes).any():
        yield "silhouettes", figures.silhouette_plot(found.silhouettes, found.clusters)
    yield "centroids", figures.centroid_sheet(images, study.misfits, found.clusters, found.distances)
    yield "means", figures.mean_images(images, found.clusters, study.classes[found.majorities])
    yield "sweep", figures.cluster_sweep(sweep, len(study.classes))
    yield "controls", figures.controls(scores["controls"], scores["oof_accuracy"])


def _sheets(study: Study) -> Iterator[Captioned]:
    """A sheet of each cluster, its misfits first."""
    found, misfits, draw = study.clustering, study.misfits, np.random.default_rng(study.seed)
    for number in found.numbers:
        rows = draw.permutation(np.flatnonzero(found.clusters == number))
        rows = rows[np.argsort(~misfits[rows], kind="stable")]
        shown, most = rows[:SHEET], shortened(study.classes[found.majorities[rows[0]]])
        figure = figures.cluster_sheet(study.sample.sources["pixels"][shown], misfits[shown])
        caption = findings.sheet_caption(int(number), len(rows), len(shown), int(misfits[rows].sum()), most)
        yield f"cluster_{number}", figure, caption


def _queue_sheet(study: Study) -> Iterator[Captioned]:
    """The doubtful labels, if there are any."""
    shown = study.queue.rows[:QUEUE_SHOWN]
    if not len(shown) or not len(study.clustering.numbers):
        return
    texts = [
        f"row {row}\n{sheets.fitted(f'{shortened(label)},', f'or {shortened(prediction)}?', between=' ')}"
        for row, label, prediction in zip(
            study.sample.rows[shown], study.labels[shown], study.predictions[shown], strict=True
        )
    ]
    figure = sheets.sheet(study.sample.sources["pixels"][shown], texts)
    yield "label_queue", figure, findings.queue_caption(len(shown), len(study.queue.rows))


def _draw_maps(study: Study, steps: StepTimer, captions: Captions) -> dict[str, np.ndarray]:
    """Draw the maps of a sample: their points by name, float32 (m, 2), and `rows`, the rows drawn.

    captions: those of the maps are added.
    """
    settings, found, points = study.settings, study.clustering, {}
    drawn = np.sort(np.random.default_rng(study.seed).permutation(len(found.space))[: settings.map_rows])
    misfits = study.misfits[drawn]
    for name in ("pca", *settings.maps):
        with steps.step(f"{name} map"):
            if name == "pca":
                points[name] = spaces.pca(found.space, study.seed, components=2)[drawn]
            else:
                points[name] = spaces.STEPS[name](found.space[drawn], study.seed, settings.perplexity)
            figure = figures.cluster_map(points[name], found.clusters[drawn], misfits)
            caption = findings.map_caption(name, settings.space, len(drawn), int(misfits.sum()))
            captions |= figure_folder.draw(study.run.clusters, [(f"map_{name}", figure, caption)])
    return points | {"rows": study.sample.rows[drawn]}


# --- files and console -------------------------------------------------------------------------------------


def _remove_earlier(study: Study) -> None:
    """Remove an earlier clustering, which may have had more clusters or another method."""
    folder = study.run.clusters
    (folder / "metrics.json").unlink(missing_ok=True)  # first: a folder that has them is whole
    for path in folder.glob("*.png"):
        if not path.name.startswith("comparison"):
            path.unlink()


def _write_rows(study: Study) -> None:
    found = study.clustering
    columns = {
        "row": study.sample.rows,
        "label": study.labels,
        "prediction": study.predictions,
        "confidence": [f"{value:.6f}" for value in study.sample.probabilities.max(axis=1)],
        "cluster": found.clusters,
        "distance": [f"{value:.6g}" for value in found.distances],
        "silhouette": [f"{value:.6f}" for value in found.silhouettes],
    }
    records.write_csv(study.run.clusters / "clusters.csv", list(columns), zip(*columns.values(), strict=True))


def _write_queue(study: Study) -> None:
    queue = study.queue
    columns = {
        "rank": range(1, len(queue.rows) + 1),
        "row": study.sample.rows[queue.rows],
        "label": study.labels[queue.rows],
        "prediction": study.predictions[queue.rows],
        "label_probability": [f"{value:.6f}" for value in queue.believed],
        "neighbours_with_label": [f"{value:.2f}" for value in queue.neighbours],
    }
    records.write_csv(study.run.clusters / "label_queue.csv", list(columns), zip(*columns.values(), strict=True))


def _print(run: Run, record: dict[str, Any]) -> None:
    title = f"{record['method']} in {record['space']}, run {run.folder}"
    table = Table(show_header=False, title=title, title_justify="left")
    for name, text in _summary(record):
        table.add_row(name, text)
    out = console()
    out.print(table)
    for sentence in record["findings"]:
        out.print(sentence)
    out.print(f"Written: {run.clusters}", soft_wrap=True)


def _summary(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Lines of the closing table."""
    yield "rows, clusters", f"{record['rows']:,} rows in {record['clusters']} clusters, {record['noise']:.2%} noise"
    for name in ("purity", "silhouette"):
        value, interval = record[name], record[f"{name}_interval"]
        known = value is not None
        yield name, f"{value:.5f}, 95% interval {interval[0]:.5f} to {interval[1]:.5f}" if known else "none"
    yield "its ceiling", f"{record['oof_accuracy']:.5f}, the out-of-fold accuracy"
    yield f"accuracy, one cluster a {COMPETITION.noun}", f"{record['hungarian_accuracy']:.5f}"
    for name in ("nmi", "ari", "homogeneity", "completeness"):
        yield name.upper() if len(name) == 3 else name, f"{record[name]:.5f}"
    yield "balance", f"smallest cluster / largest {record['balance']:.3f}"
    yield "stability", f"ARI {record['stability']:.4f} between {clustering.REFITS} bootstrap refits and this"
    yield "anchor residual by fold", " ".join(f"{value:.3f}" for value in record["anchor_residual"])
    for name, scores in record["controls"].items():
        purity, silhouette = scores["purity"], scores["silhouette"]
        shown = "none" if silhouette is None else f"{silhouette:.5f}"
        yield f"k-means, {name}", f"purity {purity:.5f}, silhouette {shown}"
    yield "label queue", f"{record['queued']} rows"
    yield "time", duration(sum(record["seconds"].values()))
