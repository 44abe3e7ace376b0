"""Cluster the out-of-fold features of a run, and say how far the clusters are the digits."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from matplotlib.figure import Figure
from rich.progress import track
from rich.table import Table

from digits import runs
from digits.config import Cluster, Config, revise
from digits.data import Dataset
from digits.ensemble import alignment
from digits.errors import UserError
from digits.figures import sheets
from digits.files import arrays, records
from digits.files.atomic import replacing
from digits.progress import Steps, console, duration
from digits.runs import Run
from digits.seeds import as_int, derive
from digits.stages.cluster import clustering, figures, label_issues, spaces
from digits.stages.cluster.clustering import NOISE
from digits.stages.cluster.features import Features, gather

EXACT_ROWS = 50_000  # of silhouettes: all pairs of them are measured; more would settle the mean's fourth digit
SHEET = 100  # members of a cluster on its sheet
SWEEP_ROWS, MOST_CLUSTERS = 5_000, 20
QUEUE_SHOWN = 60
BESIDE = ("comparison*", "verdicts.csv")  # files of the folder that another command writes
METHODS = get_args(Cluster.model_fields["method"].annotation)
SPACES = (  # what "all" means
    "aligned", "raw", "logits", "pixels", "pixels-pca", "pixels-tsne", "pixels-umap",
    "aligned-pca", "aligned-tsne", "aligned-umap",
)  # fmt: skip
SCORES = (
    "purity",
    "hungarian_accuracy",
    "silhouette",
    "nmi",
    "ari",
    "homogeneity",
    "completeness",
    "noise",
    "clusters",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Clustering:
    """The clusters, int (n,), of rows in a space, float (n, d); NOISE where a row is left out."""

    space: np.ndarray
    clusters: np.ndarray

    @cached_property
    def numbers(self) -> np.ndarray:
        """Of the clusters, ascending, without noise."""
        return np.unique(self.clusters[self.clusters != NOISE])

    @cached_property
    def silhouettes(self) -> np.ndarray:
        """Of each row, float (n,); NaN for noise, and for rows beyond a sample of `EXACT_ROWS`."""
        drawn = np.random.default_rng(0).permutation(len(self.clusters))[:EXACT_ROWS]
        values = np.full(len(self.clusters), np.nan)
        values[drawn] = clustering.silhouettes(self.space[drawn], self.clusters[drawn])
        return values

    @cached_property
    def distances(self) -> np.ndarray:
        """Of each row to the centroid of its cluster, float (n,); NaN for noise."""
        distances = np.full(len(self.clusters), np.nan)
        for number in self.numbers:
            of = self.clusters == number
            distances[of] = np.linalg.norm(self.space[of] - self.space[of].mean(axis=0), axis=1)
        return distances

    def majorities(self, targets: np.ndarray) -> np.ndarray:
        """The most frequent class of each row's cluster, int (n,); NOISE for noise."""
        majorities = np.full(len(self.clusters), NOISE)
        for number in self.numbers:
            of = self.clusters == number
            majorities[of] = np.bincount(targets[of]).argmax()
        return majorities


def run(run: Run) -> dict[str, Any]:
    """Write `clusters/` of a finished run: metrics, the cluster of every row, maps, figures, the label queue.

    Args:
        config: of the run, with how to cluster.
        run: finished; the caller holds its lock.

    Returns:
        The metrics.
    """
    settings, steps = run.config.cluster, Steps()
    folder = run.clusters
    seed = as_int(derive(run.config.seed, "cluster"))
    k = settings.k or len(run.dataset.classes)
    with steps.step("alignment"):
        features = gather(run)
    ceiling = float((features.probabilities.argmax(axis=1) == features.targets).mean())
    most = clustering.CLUSTERERS[settings.method].most_rows
    sample = features.sample(min(settings.rows or len(features.rows), most or len(features.rows)), seed)
    if len(sample.rows) < len(features.rows):
        print(f"  on a sample of {len(sample.rows):,} of {len(features.rows):,} rows", flush=True)
    with steps.step(f"{settings.method} in {settings.space}"):
        result = _cluster(settings, sample, k, seed)
    with steps.step("scores"):
        scores = _score(result, sample, settings.method, k, seed)
    with steps.step("controls"):
        scores |= _control(features.sample(EXACT_ROWS, seed), k, seed)
    with steps.step("sweep of k"):
        few = np.random.default_rng(seed).permutation(len(sample.rows))[:SWEEP_ROWS]
        swept = clustering.sweep(result.space[few], min(MOST_CLUSTERS, len(few) - 1), seed)
    with steps.step("label queue"):
        queue = label_issues.label_queue(
            sample.probabilities, sample.targets, result.majorities(sample.targets), sample.sources["aligned"]
        )
    with steps.step("figures and files"):
        _remove_earlier(folder)
        for name, figure in _figures(result, sample, run.dataset, settings, scores, swept, queue, ceiling, seed):
            _save(figure, folder / f"{name}.png")
        _write_rows(folder / "clusters.csv", result, sample, run.dataset)
        _write_queue(folder / "label_queue.csv", queue, sample, run.dataset)
    maps = _draw_maps(steps, result, sample, run.dataset, settings, folder, seed)
    features.store(run, run.dataset.fingerprint)
    arrays.write(folder / "embedding.npz", fingerprint=np.array(run.dataset.fingerprint), **maps)
    record = scores | {
        "method": settings.method,
        "space": settings.space,
        "k": k,
        "perplexity": settings.perplexity,
        "rows": len(sample.rows),
        "oof_accuracy": ceiling,
        "anchor_residual": _residuals(features, run.config),
        "seconds": steps.seconds,
    }
    records.seal(folder, records.with_nulls(record), "metrics.json", beside=BESIDE)
    _print(run, record, len(queue.rows), folder)
    return record


def compare(run: Run, some_methods: str | None, some_spaces: str | None) -> None:
    """Write the table of clusterers and spaces, all on the same sample of rows: CSV, Markdown and heat maps.

    Args:
        run: finished; the caller holds its lock.
        some_methods: names of clusterers with commas between them, or "all"; by default that of the config.
        some_spaces: names of spaces, the same way.

    Raises:
        UserError: there is no such method or space.
    """
    settings, folder = run.config.cluster, run.clusters
    methods = METHODS if some_methods == "all" else (some_methods or settings.method).split(",")
    names = SPACES if some_spaces == "all" else (some_spaces or settings.space).split(",")
    for method, name in itertools.product(methods, names):
        revise(run.config, [f"cluster.method={method}", f"cluster.space={name}"], "of the comparison")
    seed = as_int(derive(run.config.seed, "cluster"))
    k = settings.k or len(run.dataset.classes)
    sample = gather(run).sample(settings.table_rows, seed)
    reached: dict[str, np.ndarray] = {}
    cells = {}
    for name, method in track(list(itertools.product(names, methods)), "clustering", transient=True):
        if name not in reached:
            reached[name] = spaces.reach(name, sample.sources, seed, settings.perplexity)
        result = Clustering(reached[name], clustering.CLUSTERERS[method].fit(reached[name], k, seed))
        agreement = clustering.agreement(result.clusters, sample.targets)
        cells[method, name] = agreement | {"silhouette": _mean(result.silhouettes)}
    _write_table(folder, cells, methods, names)
    for score in ("purity", "silhouette"):
        values = np.array([[cells[method, name][score] for name in names] for method in methods])
        title = f"{score.capitalize()}, {len(sample.rows):,} rows, k = {k}"
        _save(figures.score_table(values, methods, names, title), folder / f"comparison_{score}.png")


def _cluster(settings: Cluster, sample: Features, k: int, seed: int) -> Clustering:
    if k >= len(sample.rows):
        raise UserError(f"cluster.k={k}: there are only {len(sample.rows):,} rows")
    space = spaces.reach(settings.space, sample.sources, seed, settings.perplexity)
    large = settings.method == "kmeans" and len(space) >= settings.minibatch_from
    method = "minibatch_kmeans" if large else settings.method
    clusters = clustering.CLUSTERERS[method].fit(space, k, seed)
    return Clustering(space, clustering.ordered(clusters, sample.targets))


def _score(result: Clustering, sample: Features, method: str, k: int, seed: int) -> dict[str, Any]:
    """Every score of the clustering itself."""
    purity = clustering.purity_interval(result.clusters, sample.targets, seed)
    silhouette = clustering.mean_interval(result.silhouettes, seed)
    stability = clustering.stability(result.space, result.clusters, method, k, seed)
    sizes = [int((result.clusters == number).sum()) for number in result.numbers]
    return clustering.agreement(result.clusters, sample.targets) | {
        "purity_interval": [purity.low, purity.high],
        "silhouette": silhouette.value,
        "silhouette_interval": [silhouette.low, silhouette.high],
        "stability": float(stability.mean()),
        "sizes": sizes,
        "balance": min(sizes) / max(sizes) if sizes else 0.0,
    }


def _control(features: Features, k: int, seed: int) -> dict[str, Any]:
    """k-means elsewhere, and how well the fold can be told from the features."""
    controls = {name: _kmeans(features.sources[name], features.targets, k, seed) for name in features.sources}
    alone = [
        _kmeans(features.sources["raw"][features.folds == fold], features.targets[features.folds == fold], k, seed)
        for fold in np.unique(features.folds)
    ]
    controls["each fold by itself"] = tuple(np.mean(alone, axis=0).tolist())
    return {
        "controls": {name: {"purity": of[0], "silhouette": of[1]} for name, of in controls.items()},
        "each_fold_purity_std": float(np.std([purity for purity, _ in alone], ddof=1)) if len(alone) > 1 else 0.0,
        "fold_probe_before": alignment.fold_probe(features.sources["raw"], features.folds, seed),
        "fold_probe_after": alignment.fold_probe(features.sources["aligned"], features.folds, seed),
        "fold_probe_chance": 1 / len(alone),
    }


def _kmeans(space: np.ndarray, targets: np.ndarray, k: int, seed: int) -> tuple[float, float]:
    """Purity and mean silhouette of k-means; the space is a source of features, float or uint8 (n, ...)."""
    space = spaces.vectors(space)
    clusters = clustering.kmeans(space, k, seed)
    return clustering.purity(clusters, targets), _mean(clustering.silhouettes(space, clusters))


def _mean(silhouettes: np.ndarray) -> float:
    """NaN where there is no silhouette: of one cluster, or of noise alone."""
    finite = silhouettes[np.isfinite(silhouettes)]
    return float(finite.mean()) if len(finite) else float("nan")


def _residuals(features: Features, config: Config) -> list[float]:
    """The share of the anchors' variance that alignment leaves, a number a fold: the mean of its members."""
    members = runs.members(config)
    return [
        float(np.mean([features.alignments[member.name].residual for member in members if member.fold == fold]))
        for fold in config.folds.trained
    ]


def _figures(
    result: Clustering,
    sample: Features,
    dataset: Dataset,
    settings: Cluster,
    scores: dict[str, Any],
    swept: clustering.Sweep,
    queue: label_issues.Queue,
    ceiling: float,
    seed: int,
) -> Iterator[tuple[str, Figure]]:
    """Every figure but the maps, with the name of its file."""
    images, labels = sample.sources["pixels"], dataset.classes[sample.targets]
    if settings.method in ("dbscan", "hdbscan"):
        curve = clustering.neighbour_distances(result.space)
        yield "neighbour_distance", figures.neighbour_curve(curve, clustering.knee(curve), clustering.NEIGHBOURS)
    if not len(result.numbers):
        return
    kept = result.clusters != NOISE
    table = clustering.contingency(result.clusters[kept], sample.targets[kept])
    classes = dataset.classes[np.unique(sample.targets[kept])]
    yield "sizes", figures.cluster_sizes(table, result.numbers, classes)
    yield "matrix", figures.cluster_matrix(table, result.numbers, classes)
    if np.isfinite(result.silhouettes).any():
        yield "silhouettes", figures.silhouette_plot(result.silhouettes, result.clusters)
    yield "centroids", figures.centroid_sheet(images, labels, result.clusters, result.distances)
    yield "means", figures.mean_images(images, result.clusters, labels)
    yield "sweep", figures.cluster_sweep(swept, len(dataset.classes), min(SWEEP_ROWS, len(sample.rows)))
    controls = {name: (of["purity"], of["silhouette"]) for name, of in scores["controls"].items()}
    yield "controls", figures.controls(controls, ceiling)
    draw = np.random.default_rng(seed)
    majorities = dataset.classes[result.majorities(sample.targets)]
    for number in result.numbers:
        rows = draw.permutation(np.flatnonzero(result.clusters == number))
        shown, misfits = rows[:SHEET], labels[rows] != majorities[rows]
        title = f"Cluster {number}: {len(rows):,} rows, mostly {majorities[rows[0]]}, {misfits.sum()} misfits"
        yield f"cluster_{number}", figures.cluster_sheet(images[shown], misfits[: len(shown)], title)
    shown = queue.rows[:QUEUE_SHOWN]
    chosen = dataset.classes[sample.probabilities[shown].argmax(axis=1)]
    captions = [
        f"row {sample.rows[row]}\n{labels[row]}, or {choice}?" for row, choice in zip(shown, chosen, strict=True)
    ]
    title = f"{len(shown)} of {len(queue.rows)} rows whose prediction, cluster and neighbours contradict their label"
    yield "label_queue", sheets.sheet(images[shown], captions, title, "the least believed label first")


def _draw_maps(
    steps: Steps,
    result: Clustering,
    sample: Features,
    dataset: Dataset,
    settings: Cluster,
    folder: Path,
    seed: int,
) -> dict[str, np.ndarray]:
    """Draw the maps of a sample, and give their points by name, float32 (m, 2), and `rows`, the rows drawn."""
    points: dict[str, np.ndarray] = {}
    drawn = np.sort(np.random.default_rng(seed).permutation(len(sample.rows))[: settings.map_rows])
    for name in ("pca", *settings.maps):
        with steps.step(f"{name} map"):
            if name == "pca":
                points[name] = spaces.pca(result.space, seed, components=2)[drawn]
            else:
                points[name] = spaces.STEPS[name](result.space[drawn], seed, settings.perplexity)
            labels = dataset.classes[sample.targets[drawn]]
            title = f"{settings.space}: {name} map"
            _save(figures.cluster_map(points[name], result.clusters[drawn], labels, title), folder / f"map_{name}.png")
    return points | {"rows": sample.rows[drawn]}


def _remove_earlier(folder: Path) -> None:
    """Metrics and figures of an earlier clustering, which may have had more clusters or another method."""
    (folder / "metrics.json").unlink(missing_ok=True)  # first: a folder that has them is whole
    for path in folder.glob("*.png"):
        if not path.name.startswith("comparison"):
            path.unlink()


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _write_rows(path: Path, result: Clustering, sample: Features, dataset: Dataset) -> None:
    columns = {
        "row": sample.rows,
        "label": dataset.classes[sample.targets],
        "prediction": dataset.classes[sample.probabilities.argmax(axis=1)],
        "confidence": [f"{value:.6f}" for value in sample.probabilities.max(axis=1)],
        "cluster": result.clusters,
        "distance": [f"{value:.6g}" for value in result.distances],
        "silhouette": [f"{value:.6f}" for value in result.silhouettes],
    }
    records.write_csv(path, list(columns), zip(*columns.values(), strict=True))


def _write_queue(path: Path, queue: label_issues.Queue, sample: Features, dataset: Dataset) -> None:
    labels = dataset.classes[sample.targets]
    chosen = dataset.classes[sample.probabilities.argmax(axis=1)]
    lines = [
        (place, sample.rows[row], labels[row], chosen[row], f"{believed:.6f}", f"{share:.2f}")
        for place, (row, believed, share) in enumerate(
            zip(queue.rows, queue.believed, queue.neighbours, strict=True), 1
        )
    ]
    records.write_csv(path, ["rank", "row", "label", "prediction", "label_probability", "neighbours_with_label"], lines)


def _write_table(
    folder: Path, cells: dict[tuple[str, str], dict[str, float]], methods: Sequence[str], names: Sequence[str]
) -> None:
    lines = [
        (name, method, *(f"{cells[method, name][score]:.4g}" for score in SCORES))
        for name in names
        for method in methods
    ]
    header = ["space", "method", *SCORES]
    records.write_csv(folder / "comparison.csv", header, lines)
    text = [" | ".join(header), " | ".join("---" for _ in header), *(" | ".join(line) for line in lines)]
    with replacing(folder / "comparison.md") as temporary:
        temporary.write_text("".join(f"| {line} |\n" for line in text), encoding="utf-8")
    narrow = [place for place, name in enumerate(header) if name not in ("homogeneity", "completeness")]
    table = Table(*(header[place] for place in narrow))
    for line in lines:
        table.add_row(*(line[place] for place in narrow))
    out = console()
    out.print(table)
    out.print(f"Written: {folder}/comparison.csv, comparison.md, comparison_purity.png, comparison_silhouette.png")


def _print(run: Run, record: dict[str, Any], queued: int, folder: Path) -> None:
    table = Table(
        show_header=False, title=f"{record['method']} in {record['space']}, run {run.folder}", title_justify="left"
    )
    low, high = record["purity_interval"]
    of = "features of networks that were trained on labels: no record of unsupervised clustering"
    table.add_row(
        "rows, clusters", f"{record['rows']:,} rows in {record['clusters']} clusters, {record['noise']:.2%} noise"
    )
    table.add_row("purity", f"{record['purity']:.5f}, 95 % interval {low:.5f} to {high:.5f}")
    table.add_row("its ceiling", f"{record['oof_accuracy']:.5f}, the out-of-fold accuracy")
    low, high = record["silhouette_interval"]
    table.add_row("silhouette", f"{record['silhouette']:.5f}, 95 % interval {low:.5f} to {high:.5f}")
    table.add_row("accuracy, one cluster a digit", f"{record['hungarian_accuracy']:.5f}")
    for name in ("nmi", "ari", "homogeneity", "completeness"):
        table.add_row(name.upper() if len(name) == 3 else name, f"{record[name]:.5f}")
    table.add_row("balance", f"smallest cluster / largest {record['balance']:.3f}")
    table.add_row("stability", f"ARI {record['stability']:.4f} between {clustering.REFITS} bootstrap refits and this")
    residuals = " ".join(f"{value:.3f}" for value in record["anchor_residual"])
    table.add_row("anchor residual by fold", residuals)
    probe = f"{record['fold_probe_before']:.3f} before alignment, {record['fold_probe_after']:.3f} after it"
    table.add_row("fold probe", f"{probe} (chance {record['fold_probe_chance']:.3f})")
    for name, scores in record["controls"].items():
        table.add_row(f"k-means, {name}", f"purity {scores['purity']:.5f}, silhouette {scores['silhouette']:.5f}")
    table.add_row("label queue", f"{queued} rows")
    table.add_row("time", duration(sum(record["seconds"].values())))
    out = console()
    out.print(table)
    out.print(f"({of})")
    out.print(f"Written: {folder}")
