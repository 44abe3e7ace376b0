"""`make cluster` on a finished run."""

import csv
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from command import refuse, succeed
from digits.config import SOURCES, STEPS, revise
from digits.data.demo import demo
from digits.errors import UserError
from digits.runs import Run
from digits.stages.cluster import clustering, comparison, features, spaces, study
from digits.stages.cluster import stage as cluster
from finished_run import finish

FIGURES = {"matrix", "silhouettes", "centroids", "means", "sweep", "controls", "label_queue", "map_pca"}
DATA = demo()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return finish(tmp_path_factory.mktemp("output") / "whole", DATA, seeds=2)


@pytest.fixture(scope="module")
def said(run) -> str:
    return _cluster(run, "--set", "cluster.maps=[tsne]", alone=True)


@pytest.fixture(scope="module")
def metrics(run, said) -> dict:
    return json.loads((run.clusters / "metrics.json").read_text())


@pytest.fixture
def few_refits(monkeypatch):
    monkeypatch.setattr(clustering, "REFITS", 2)
    monkeypatch.setattr(study, "MOST_CLUSTERS", 4)


def _cluster(run: Run, *options: str, alone: bool = False) -> str:
    return succeed("cluster", "--output", run.folder.parent, "--run", run.folder.name, *options, alone=alone)


def changed(run: Run, *overrides: str) -> Run:
    """The run with other settings of the clustering, and no maps but that of the principal components."""
    config = revise(run.config, ["cluster.maps=[]", *overrides], "test")
    return Run(run.folder, config, run.dataset)


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_prints_every_figure_that_the_field_asks_for(said, metrics):
    for words in ("purity", "silhouette", "its ceiling", "NMI", "ARI", "stability", "anchor residual", "A probe"):
        assert words in said
    for control in ("aligned", "raw", "logits", "pixels", "each fold by itself"):
        assert f"k-means, {control}" in said
    assert "no record of unsupervised clustering" in metrics["findings"][-1]
    assert " ".join(metrics["findings"]) in " ".join(said.split())


def test_alignment_makes_clusters_of_classes_where_raw_features_make_folds(metrics):
    controls = metrics["controls"]
    assert metrics["purity"] > 0.95
    assert controls["each fold by itself"]["purity"] == pytest.approx(metrics["purity"], abs=0.01)
    assert controls["raw"]["purity"] < 0.7
    assert metrics["fold_probe_before"] > 0.95
    assert metrics["fold_probe_after"] < 0.45
    assert len(metrics["anchor_residual"]) == 3
    assert max(metrics["anchor_residual"]) < 0.05


def test_the_metrics_hold_what_other_stages_read(metrics):
    assert {"hungarian_accuracy", "nmi", "ari", "oof_accuracy", "seconds"} <= metrics.keys()
    for name in ("purity", "silhouette"):
        assert metrics[f"{name}_interval"][0] < metrics[name] < metrics[f"{name}_interval"][1]
    assert sum(metrics["sizes"]) == 1078
    assert metrics["stability"] > 0.9


def test_every_row_and_every_figure_is_there(run, metrics):
    rows = lines(run.clusters / "clusters.csv")
    assert [int(row["row"]) for row in rows] == list(range(1078))
    assert [int(row["label"]) for row in rows] == DATA.train_labels.tolist()
    assert np.mean([float(row["silhouette"]) for row in rows]) == pytest.approx(metrics["silhouette"], abs=1e-4)
    pictures = {path.stem for path in run.clusters.glob("*.png")}
    assert pictures == FIGURES | {"map_tsne"} | {f"cluster_{number}" for number in range(10)}
    assert metrics["captions"].keys() == {f"{name}.png" for name in pictures}
    titles = [caption["title"] for caption in metrics["captions"].values()]
    assert len(set(titles)) == len(titles)
    with np.load(run.clusters / "embedding.npz", allow_pickle=False) as embedding:
        assert embedding["tsne"].shape == (1078, 2)
        assert str(embedding["fingerprint"]) == DATA.fingerprint


def test_a_sheet_shows_the_misfits_that_it_counts(run, monkeypatch):
    made = study.cluster(run, features.gather(run))
    made.clustering.targets[np.flatnonzero(made.clustering.clusters == 2)[-3:]] = 5
    monkeypatch.setattr(cluster, "SHEET", 20)
    shown = {name: (figure, caption) for name, figure, caption in cluster._sheets(made)}
    figure, caption = shown["cluster_2"]
    misfits = int(caption.text.split("first: ")[1].split(" ")[0])
    assert len(figure.axes[0].patches) == min(20, misfits) >= 3
    assert caption.title == f"Cluster 2, mostly 2: 20 of {(made.clustering.clusters == 2).sum()} rows"


def test_it_ends_with_what_to_do_next(run, said, metrics):
    assert "Next: make explore RUN=whole to see the map" in said
    assert str(run.clusters) in said


def test_the_label_queue_names_rows_whose_label_is_another_than_all_say(run, metrics):
    queue = lines(run.clusters / "label_queue.csv")
    assert queue
    assert all(row["label"] != row["prediction"] for row in queue)
    believed = [float(row["label_probability"]) for row in queue]
    assert believed == sorted(believed)


def test_the_same_run_gives_the_same_clusters(run, said):
    made = study.cluster(run, features.gather(run))
    rows = lines(run.clusters / "clusters.csv")
    assert [int(row["cluster"]) for row in rows] == made.clustering.clusters.tolist()


@pytest.mark.parametrize(
    "method", ["dbscan", *(pytest.param(of, marks=pytest.mark.slow) for of in comparison.METHODS[1:] if of != "dbscan")]
)
def test_every_method_goes_through(run, method, few_refits):
    record = cluster.run(changed(run, f"cluster.method={method}", "cluster.rows=400"))
    assert record["method"] == method
    assert record["rows"] == 400
    assert record["purity"] + record["noise"] > 0.9
    assert (run.clusters / "neighbour_distance.png").exists() == (method in ("dbscan", "hdbscan"))


def test_a_comparison_has_a_line_for_every_method_in_every_space(run, capsys):
    comparison.compare(changed(run, "cluster.table_rows=300"), "kmeans,ward", "aligned,pixels-pca")
    assert "pixels-pca" in capsys.readouterr().out
    table = lines(run.clusters / "comparison.csv")
    expected = [(space, method) for space in ("aligned", "pixels-pca") for method in ("kmeans", "ward")]
    assert [(row["space"], row["method"]) for row in table] == expected
    assert (run.clusters / "comparison.md").read_text().startswith("| space | method | purity |")
    assert (run.clusters / "comparison_purity.png").exists()


def everything_in(number: int, monkeypatch) -> None:
    """Let the method `ward` put every row into this cluster."""
    stub = SimpleNamespace(fit=lambda features, k, seed: np.full(len(features), number), most_rows=None)
    monkeypatch.setitem(clustering.CLUSTERERS, "ward", stub)


def test_one_cluster_for_all_has_no_silhouette(run, few_refits, monkeypatch):
    everything_in(0, monkeypatch)
    record = cluster.run(changed(run, "cluster.method=ward", "cluster.rows=200"))
    assert record["clusters"] == 1
    text = (run.clusters / "metrics.json").read_text()
    assert json.loads(text)["silhouette"] is None
    assert "NaN" not in text
    assert "silhouette" not in " ".join(record["findings"])


def test_noise_alone_is_no_error(run, few_refits, monkeypatch):
    everything_in(clustering.NOISE, monkeypatch)
    record = cluster.run(changed(run, "cluster.method=ward", "cluster.rows=200"))
    assert (record["clusters"], record["purity"], record["noise"]) == (0, 0, 1)


def test_classes_with_names_in_colour(tmp_path, few_refits):
    """Labels are strings, images have three channels, and one fold alone has no probe."""
    names = np.array(["cat", "dog", "emu", "fox", "gnu", "hen", "ibis", "jay", "kite", "lynx"])
    named = dataclasses.replace(
        DATA,
        train_images=DATA.train_images.repeat(3, axis=-1),
        train_labels=names[DATA.train_labels],
        test_images=DATA.test_images.repeat(3, axis=-1),
        test_labels=None,
    )
    record = cluster.run(changed(finish(tmp_path / "named", named, limit=1), "cluster.space=aligned"))
    assert record["purity"] > 0.9
    assert record["rows"] < 500
    assert record["fold_probe_before"] is None
    assert len(record["anchor_residual"]) == 1
    assert {row["label"] for row in lines(tmp_path / "named/clusters/clusters.csv")} == set(names)


def test_large_sets_go_in_mini_batches(run, monkeypatch):
    monkeypatch.setitem(clustering.CLUSTERERS, "kmeans", SimpleNamespace(fit=None, most_rows=None))
    made = study.cluster(changed(run, "cluster.minibatch_from=500"), features.gather(run))
    assert made.clustering.scores["purity"] > 0.95


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--run", "nothing"], "there is no run"),
        (["--set", "cluster.method=magic"], "cluster.method"),
        (["--set", "cluster.space=pixels-magic"], "unknown space 'pixels-magic'"),
        (["--set", "cluster.k=5000"], "there are only 1,078 rows"),
        (["--set", "training.epochs=3"], "made otherwise: training.epochs"),
        (["--methods", "kmeans,magic"], "cluster.method"),
        (["--spaces", "nowhere"], "unknown space 'nowhere'"),
        (["--preset", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_mistake_is_one_line(run, options, said):
    options = options if "--run" in options else [*options, "--run", run.folder.name]
    assert said in refuse("cluster", "--output", run.folder.parent, *options)


def test_a_run_that_is_not_finished_says_how_to_finish_it(tmp_path):
    run = finish(tmp_path / "half", DATA)
    (run.member(run.members[1]) / "oof.npz").unlink()
    told = r"small-s0-f1 of run .* is missing or damaged; make it anew: make submit RUN=half"
    with pytest.raises(UserError, match=told):
        cluster.run(run)
    run.oof.unlink()
    with pytest.raises(UserError, match="is not finished; finish it: make submit RUN=half"):
        cluster.run(run)


def test_rows_of_another_table_are_refused(run):
    other = dataclasses.replace(DATA, train_images=255 - DATA.train_images)
    with pytest.raises(UserError, match="made from other training rows"):
        cluster.run(Run(run.folder, run.config, other))


def test_what_a_config_may_name_is_there(run):
    assert {*comparison.METHODS, "minibatch_kmeans"} == clustering.CLUSTERERS.keys()
    assert set(STEPS) == spaces.STEPS.keys()
    assert set(SOURCES) == features.gather(run).sources.keys()


def test_presets_are_valid(run):
    presets = sorted(Path("configs/clusters").glob("*.yaml"))
    assert presets
    for preset in presets:
        assert run.adapted_config([], preset).cluster != run.config.cluster
