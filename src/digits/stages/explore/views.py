"""Maps and clusterings of a run's rows: the stored ones at once, all others computed in the background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from digits.stages.cluster import clustering, spaces
from digits.stages.explore.background import Job, Report
from digits.stages.explore.clustered_run import MAPS, ClusteredRun

SPACES = {"aligned": "aligned features", "pixels": "pixels", "logits": "logits"}
SCORED = 10_000  # rows whose silhouettes are measured: of more, it takes longer than to cluster them
AHEAD = 10_000  # rows of which the map of the pixels is made before anybody asks: of more, it takes minutes


@dataclass(frozen=True)
class Choice:
    """A map of some rows and their clusters."""

    kind: str
    space: str
    rows: int
    perplexity: int
    method: str
    k: int

    @property
    def drawn(self) -> tuple[str, str, int, int]:
        """Settings that decide the map."""
        return self.kind, self.space, self.rows, self.perplexity if self.kind == "tsne" else 0

    @property
    def clustered(self) -> tuple[str, int, str, int]:
        """Settings that decide the clusters."""
        return self.space, self.rows, self.method, self.k


class View(NamedTuple):
    """The rows of a choice, as indices of the features, int (n,); their points, float (n, 2); clusters, int (n,)."""

    choice: Choice
    selected: np.ndarray
    points: np.ndarray
    clusters: np.ndarray
    scores: dict[str, float]


def first(results: ClusteredRun) -> Choice:
    """Choice of the map and clusters that `make cluster` has computed, as far as it can be made here."""
    record = results.record
    space = record.space if record.space in SPACES else next(iter(SPACES))
    return Choice(results.first_map, space, len(results.mapped), int(record.perplexity), record.method, record.k)


def view(results: ClusteredRun, choice: Choice) -> View | Job:
    """The view of a choice, or the job that it waits for."""
    points, clustered = _points(results, choice), _clusters(results, choice)
    for part in (points, clustered):
        if isinstance(part, Job):
            return part
    return View(choice, results.sample(choice.rows), points, *clustered)


def make_ahead(results: ClusteredRun, choice: Choice) -> Job | None:
    """Begin with the map of the pixels, which people look at next; None where it is there, or would take long."""
    found = _points(results, replace(choice, space="pixels")) if choice.rows <= AHEAD else None
    return found if isinstance(found, Job) else None


def _points(results: ClusteredRun, choice: Choice) -> np.ndarray | Job:
    record, kind = results.record, choice.kind
    stored = choice.rows == len(results.mapped) and choice.space == record.space
    if stored and kind in results.maps and (kind != "tsne" or choice.perplexity == int(record.perplexity)):
        return results.maps[kind]
    seconds = record.seconds.get(f"{kind} map")
    job = results.jobs.get(
        ("map", choice.drawn),
        f"{MAPS[kind]} of {choice.rows:,} rows",
        lambda report: _draw(kind, _vectors(results, choice), choice.perplexity, report),
        seconds and seconds * choice.rows / len(results.mapped),
    )
    return job.result() if job.succeeded else job


def _draw(kind: str, vectors: np.ndarray, perplexity: int, report: Report) -> np.ndarray:
    """A map, float (n, 2), of vectors float (n, d)."""
    if kind == "pca":
        return spaces.pca(vectors, 0, components=2)
    if vectors.shape[1] > 4 * spaces.COMPONENTS:  # pixels, of which everybody gives t-SNE and UMAP the first components
        vectors = spaces.pca(vectors, 0)
    return spaces.umap(vectors, 0) if kind == "umap" else spaces.tsne(vectors, 0, perplexity, progress=report)


def _clusters(results: ClusteredRun, choice: Choice) -> tuple[np.ndarray, dict[str, float]] | Job:
    """The clusters of the rows shown, int (n,), and their scores."""
    record, selected = results.record, results.sample(choice.rows)
    stored = (record.space, record.method, record.k, record.rows)
    if stored == (choice.space, choice.method, choice.k, len(results.table)):
        table = results.clusters.iloc[selected]
        clusters = table["cluster"].to_numpy()
        return clusters, _scores(clusters, results.features.targets[selected], table["silhouette"].to_numpy())
    job = results.jobs.get(
        ("clusters", choice.clustered),
        f"{choice.method.replace('_', ' ')} of {choice.rows:,} rows",
        lambda _: _cluster(_vectors(results, choice), results.features.targets[selected], choice.method, choice.k),
    )
    return job.result() if job.succeeded else job


def _cluster(vectors: np.ndarray, targets: np.ndarray, method: str, k: int) -> tuple[np.ndarray, dict[str, float]]:
    clusters = clustering.ordered(clustering.CLUSTERERS[method].fit(vectors, k, 0), targets)
    scored = np.random.default_rng(0).permutation(len(vectors))[:SCORED]
    return clusters, _scores(clusters, targets, clustering.silhouettes(vectors[scored], clusters[scored]))


def _scores(clusters: np.ndarray, targets: np.ndarray, silhouettes: np.ndarray) -> dict[str, float]:
    known = silhouettes[np.isfinite(silhouettes)]
    mean = float(known.mean()) if len(known) else float("nan")
    return clustering.agreement(clusters, targets) | {"silhouette": mean}


def _vectors(results: ClusteredRun, choice: Choice) -> np.ndarray:
    """The rows shown in their space, float (n, d)."""
    return spaces.vectors(results.features.sources[choice.space][results.sample(choice.rows)])
