"""Cluster the out-of-fold features of a run, and say how far the clusters are the classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from digits.competition import COMPETITION
from digits.config import Cluster
from digits.ensemble import alignment
from digits.errors import UserError
from digits.figures import folder as figure_folder
from digits.figures import sheets
from digits.figures.folder import Captioned
from digits.figures.style import shortened
from digits.files import arrays, records
from digits.progress import StepTimer, console, duration
from digits.runs import Run
from digits.seeds import as_int, derive
from digits.stages.cluster import clustering, figures, findings, label_issues, spaces
from digits.stages.cluster.clustering import EXACT_ROWS, NOISE, Clustering
from digits.stages.cluster.features import Features, gather

SHEET = 100  # members of a cluster on its sheet
SWEEP_ROWS, MOST_CLUSTERS = 5_000, 20
QUEUE_SHOWN = 60
Captions = dict[str, dict[str, str]]  # by file
BESIDE = ("comparison*", "verdicts.csv")  # files of the folder that another command writes


@dataclass(frozen=True, eq=False)
class Study:
    """A clustering of a run, and what it was made from.

    features: all out-of-fold rows. sample: the rows that are clustered. clustering: theirs. k: clusters asked for.
    seed: of everything random.
    """

    run: Run
    features: Features
    sample: Features
    clustering: Clustering
    k: int
    seed: int

    @property
    def settings(self) -> Cluster:
        return self.run.config.cluster

    @property
    def classes(self) -> np.ndarray:
        return self.run.dataset.classes

    @cached_property
    def labels(self) -> np.ndarray:
        """Labels of the sample, (n,)."""
        return self.classes[self.sample.targets]

    @cached_property
    def predictions(self) -> np.ndarray:
        """Labels that the ensemble chooses for the sample, (n,)."""
        return self.classes[self.sample.probabilities.argmax(axis=1)]

    @cached_property
    def misfits(self) -> np.ndarray:
        """Rows in a cluster whose label is another than that of most of it, bool (n,)."""
        found = self.clustering
        return (found.targets != found.majorities) & (found.clusters != NOISE)

    @cached_property
    def queue(self) -> label_issues.Queue:
        """Rows of the sample whose label may be wrong."""
        sample = self.sample
        features = sample.sources["aligned"]
        return label_issues.label_queue(sample.probabilities, sample.targets, self.clustering.majorities, features)


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
        study = _cluster(run, features)
    with steps.step("scores"):
        scores = _scores(study)
    with steps.step("controls"):
        scores |= _controls(study)
    with steps.step("sweep of k"):
        sweep = _sweep(study)
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


# --- measures ----------------------------------------------------------------------------------------------


def _cluster(run: Run, features: Features) -> Study:
    """Cluster as many rows as the config or the method allows.

    Raises:
        UserError: there are fewer rows than clusters.
    """
    settings, count = run.config.cluster, len(features.rows)
    seed = as_int(derive(run.config.seed, "cluster"))
    sample = features.sample(
        min(settings.rows or count, clustering.CLUSTERERS[settings.method].most_rows or count), seed
    )
    if len(sample.rows) < count:
        print(f"  on a sample of {len(sample.rows):,} of {count:,} rows", flush=True)
    k = settings.k or len(run.dataset.classes)
    if k >= len(sample.rows):
        raise UserError(f"cluster.k={k}: there are only {len(sample.rows):,} rows")
    space = spaces.reach(settings.space, sample.sources, seed, settings.perplexity)
    large = settings.method == "kmeans" and len(space) >= settings.minibatch_from
    clusters = clustering.CLUSTERERS["minibatch_kmeans" if large else settings.method].fit(space, k, seed)
    found = Clustering(space, clustering.ordered(clusters, sample.targets), sample.targets)
    return Study(run, features, sample, found, k, seed)


def _scores(study: Study) -> dict[str, Any]:
    """Scores of the clustering itself, and what it was made with."""
    found, settings, seed = study.clustering, study.settings, study.seed
    purity = clustering.purity_interval(found.clusters, found.targets, seed)
    silhouette = clustering.mean_interval(found.silhouettes, seed)
    sizes = [int((found.clusters == number).sum()) for number in found.numbers]
    stability = clustering.stability(found.space, found.clusters, settings.method, study.k, seed)
    return found.scores | {
        "purity_interval": [purity.low, purity.high],
        "silhouette_interval": [silhouette.low, silhouette.high],
        "stability": float(stability.mean()),
        "sizes": sizes,
        "balance": min(sizes) / max(sizes) if sizes else 0.0,
        "method": settings.method,
        "space": settings.space,
        "k": study.k,
        "perplexity": settings.perplexity,
        "rows": len(study.sample.rows),
    }


def _controls(study: Study) -> dict[str, Any]:
    """k-means in every space and in each fold alone, and how far features betray their fold."""
    features = study.features.sample(EXACT_ROWS, study.seed)
    controls = {name: _kmeans(study, features.targets, source) for name, source in features.sources.items()}
    raw, aligned = features.sources["raw"], features.sources["aligned"]
    of_folds = [features.folds == fold for fold in np.unique(features.folds)]
    alone = [_kmeans(study, features.targets[rows], raw[rows]) for rows in of_folds]
    purities = [scores["purity"] for scores in alone]
    controls["each fold by itself"] = {name: float(np.mean([scores[name] for scores in alone])) for name in alone[0]}
    chosen = study.features.probabilities.argmax(axis=1)
    return {
        "controls": controls,
        "each_fold_purity_std": float(np.std(purities, ddof=1)) if len(alone) > 1 else 0.0,
        "fold_probe_before": alignment.fold_probe(raw, features.folds, study.seed),
        "fold_probe_after": alignment.fold_probe(aligned, features.folds, study.seed),
        "fold_probe_chance": 1 / len(alone),
        "oof_accuracy": float((chosen == study.features.targets).mean()),
        "anchor_residual": _residuals(study),
    }


def _kmeans(study: Study, targets: np.ndarray, source: np.ndarray) -> dict[str, float]:
    """Purity and mean silhouette of k-means on rows of a source of features, float or uint8 (n, ...)."""
    space = spaces.vectors(source)
    clusters = clustering.CLUSTERERS["kmeans"].fit(space, study.k, study.seed)
    scores = Clustering(space, clusters, targets).scores
    return {name: scores[name] for name in ("purity", "silhouette")}


def _residuals(study: Study) -> list[float]:
    """Share of the anchors' variance that alignment leaves, of each fold: the mean of its members."""
    residuals = {member: study.features.alignments[member.name].residual for member in study.run.members}
    return [
        float(np.mean([residual for member, residual in residuals.items() if member.fold == fold]))
        for fold in study.run.config.folds.trained
    ]


def _sweep(study: Study) -> clustering.Sweep:
    few = np.random.default_rng(study.seed).permutation(len(study.sample.rows))[:SWEEP_ROWS]
    return clustering.sweep(study.clustering.space[few], min(MOST_CLUSTERS, len(few) - 1), study.seed)


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
