"""Compare clusterers and spaces on one sample of rows: CSV, Markdown and heat maps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from rich.progress import track
from rich.table import Table

from digits.config import Cluster, revise
from digits.figures import folder as figure_folder
from digits.files import records
from digits.files.atomic import replacing
from digits.progress import console
from digits.runs import Run
from digits.seeds import as_int, derive
from digits.stages.cluster import clustering, figures, findings, spaces
from digits.stages.cluster.clustering import Clustering
from digits.stages.cluster.features import gather

METHODS = get_args(Cluster.model_fields["method"].annotation)
SPACES = (  # what "all" means
    "aligned", "raw", "logits", "pixels", "pixels-pca", "pixels-tsne", "pixels-umap",
    "aligned-pca", "aligned-tsne", "aligned-umap",
)  # fmt: skip
WIDE = ("homogeneity", "completeness")  # scores for which the console has no room
SCORES = ("purity", "hungarian_accuracy", "silhouette", "nmi", "ari", *WIDE, "noise", "clusters")


def compare(run: Run, methods: str | None, names: str | None) -> None:
    """Write the table of clusterers and spaces.

    Args:
        run: finished; the caller holds its lock.
        methods: names of clusterers with commas between them, or "all"; by default that of the config.
        names: of spaces, the same way.

    Raises:
        UserError: there is no such method or space.
    """
    settings = run.config.cluster
    chosen = METHODS if methods == "all" else (methods or settings.method).split(",")
    reached = SPACES if names == "all" else (names or settings.space).split(",")
    for method, name in itertools.product(chosen, reached):
        revise(run.config, [f"cluster.method={method}", f"cluster.space={name}"], "of the comparison")
    seed = as_int(derive(run.config.seed, "cluster"))
    k = settings.k or len(run.dataset.classes)
    sample = gather(run).sample(settings.table_rows, seed)
    points: dict[str, np.ndarray] = {}
    scores = {}
    for name, method in track(list(itertools.product(reached, chosen)), "clustering", transient=True):
        if name not in points:
            points[name] = spaces.reach(name, sample.sources, seed, settings.perplexity)
        clusters = clustering.CLUSTERERS[method].fit(points[name], k, seed)
        scores[name, method] = Clustering(points[name], clusters, sample.targets).scores
    lines = [(*key, *(f"{values[score]:.4g}" for score in SCORES)) for key, values in scores.items()]
    _write(run.clusters, lines)
    for score in ("purity", "silhouette"):
        values = np.array([[scores[name, method][score] for name in reached] for method in chosen])
        figure = figures.score_table(values, chosen, reached)
        caption = findings.comparison_caption(score, len(sample.rows), k)
        figure_folder.draw(run.clusters, [(f"comparison_{score}", figure, caption)])


def _write(folder: Path, lines: Sequence[Sequence[str]]) -> None:
    header = ("space", "method", *SCORES)
    records.write_csv(folder / "comparison.csv", header, lines)
    with replacing(folder / "comparison.md") as temporary:
        text = "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *lines))
        temporary.write_text(text, encoding="utf-8")
    narrow = [index for index, name in enumerate(header) if name not in WIDE]
    table = Table(*(header[index] for index in narrow))
    for line in lines:
        table.add_row(*(line[index] for index in narrow))
    out = console()
    out.print(table)
    out.print(f"Written: {folder}/comparison.csv, comparison.md, comparison_purity.png, comparison_silhouette.png")
