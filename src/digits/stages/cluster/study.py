"""A clustering of a run, and the measures that tell how far its clusters are the classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from digits.config import Cluster
from digits.ensemble import alignment
from digits.errors import UserError
from digits.runs import Run
from digits.seeds import as_int, derive
from digits.stages.cluster import clustering, label_issues, spaces
from digits.stages.cluster.clustering import EXACT_ROWS, NOISE, Clustering
from digits.stages.cluster.features import Features

SWEEP_ROWS, MOST_CLUSTERS = 5_000, 20


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

    def scores(self) -> dict[str, Any]:
        """Scores of the clustering itself, and what it was made with."""
        found, settings, seed = self.clustering, self.settings, self.seed
        purity = clustering.purity_interval(found.clusters, found.targets, seed)
        silhouette = clustering.mean_interval(found.silhouettes, seed)
        sizes = [int((found.clusters == number).sum()) for number in found.numbers]
        stability = clustering.stability(found.space, found.clusters, settings.method, self.k, seed)
        return found.scores | {
            "purity_interval": [purity.low, purity.high],
            "silhouette_interval": [silhouette.low, silhouette.high],
            "stability": float(stability.mean()),
            "sizes": sizes,
            "balance": min(sizes) / max(sizes) if sizes else 0.0,
            "method": settings.method,
            "space": settings.space,
            "k": self.k,
            "perplexity": settings.perplexity,
            "rows": len(self.sample.rows),
        }

    def controls(self) -> dict[str, Any]:
        """k-means in every space and in each fold alone, and how far features betray their fold."""
        features = self.features.sample(EXACT_ROWS, self.seed)
        found = {name: self._kmeans(features.targets, source) for name, source in features.sources.items()}
        raw, aligned = features.sources["raw"], features.sources["aligned"]
        of_folds = [features.folds == fold for fold in np.unique(features.folds)]
        alone = [self._kmeans(features.targets[rows], raw[rows]) for rows in of_folds]
        purities = [scores["purity"] for scores in alone]
        found["each fold by itself"] = {name: float(np.mean([scores[name] for scores in alone])) for name in alone[0]}
        chosen = self.features.probabilities.argmax(axis=1)
        return {
            "controls": found,
            "each_fold_purity_std": float(np.std(purities, ddof=1)) if len(alone) > 1 else 0.0,
            "fold_probe_before": alignment.fold_probe(raw, features.folds, self.seed),
            "fold_probe_after": alignment.fold_probe(aligned, features.folds, self.seed),
            "fold_probe_chance": 1 / len(alone),
            "oof_accuracy": float((chosen == self.features.targets).mean()),
            "anchor_residual": self._residuals(),
        }

    def _kmeans(self, targets: np.ndarray, source: np.ndarray) -> dict[str, float]:
        """Purity and mean silhouette of k-means on rows of a source of features, float or uint8 (n, ...)."""
        space = spaces.vectors(source)
        clusters = clustering.CLUSTERERS["kmeans"].fit(space, self.k, self.seed)
        scores = Clustering(space, clusters, targets).scores
        return {name: scores[name] for name in ("purity", "silhouette")}

    def _residuals(self) -> list[float]:
        """Share of the anchors' variance that alignment leaves, of each fold: the mean of its members."""
        residuals = {member: self.features.alignments[member.name].residual for member in self.run.members}
        return [
            float(np.mean([residual for member, residual in residuals.items() if member.fold == fold]))
            for fold in self.run.config.folds.trained
        ]

    def sweep(self) -> clustering.Sweep:
        """Measures by the number of clusters, on few of the rows."""
        few = np.random.default_rng(self.seed).permutation(len(self.sample.rows))[:SWEEP_ROWS]
        return clustering.sweep(self.clustering.space[few], min(MOST_CLUSTERS, len(few) - 1), self.seed)


def cluster(run: Run, features: Features) -> Study:
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
