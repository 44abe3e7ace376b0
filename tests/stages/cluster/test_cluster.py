"""`make cluster` on a finished run."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from command import refuse, succeed
from digits.config import SOURCES, STEPS, Config
from digits.data.demo import demo
from digits.errors import UserError
from digits.runs import Run
from digits.stages.cluster import stage as cluster
from finished_run import finish

FIGURES = {"sizes", "matrix", "silhouettes", "centroids", "means", "sweep", "controls", "label_queue", "map_pca"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return finish(tmp_path_factory.mktemp("output") / "whole", demo(), seeds=2)


@pytest.fixture(scope="module")
def said(run) -> str:
    return _cluster(run, "--set", "cluster.maps=[tsne]", alone=True)


@pytest.fixture(scope="module")
def metrics(run, said) -> dict:
    return json.loads((run.folder / "clusters/metrics.json").read_text())


def _cluster(run: Run, *options: str, alone: bool = False) -> str:
    return succeed("cluster", "--output", run.folder.parent, "--run", run.folder.name, *options, alone=alone)


def _settings(run: Run, *overrides: str) -> Config:
    return run.adapted(list(overrides))


def test_it_prints_every_figure_that_the_field_asks_for(said):
    for words in ("purity", "silhouette", "its ceiling", "NMI", "ARI", "stability", "anchor residual", "fold probe"):
        assert words in said
    for control in ("aligned", "raw", "logits", "pixels", "each fold by itself"):
        assert f"k-means, {control}" in said
    assert "no record of unsupervised clustering" in said


def test_alignment_makes_clusters_of_digits_where_raw_features_make_folds(metrics):
    controls = metrics["controls"]
    assert metrics["purity"] > 0.95
    assert controls["each fold by itself"]["purity"] == pytest.approx(metrics["purity"], abs=0.01)
    assert controls["raw"]["purity"] < 0.7
    assert metrics["fold_probe_before"] > 0.95
    assert metrics["fold_probe_after"] < 0.45
    assert len(metrics["anchor_residual"]) == 3
    assert max(metrics["anchor_residual"]) < 0.05


def test_the_metrics_hold_what_other_stages_read(metrics):
    keys = {"purity", "silhouette", "hungarian_accuracy", "nmi", "ari", "oof_accuracy", "seconds"}
    assert keys <= metrics.keys()
    assert metrics["purity_interval"][0] < metrics["purity"] < metrics["purity_interval"][1]
    assert sum(metrics["sizes"]) == 1078
    assert metrics["stability"] > 0.9


def test_every_row_and_every_figure_is_there(run, metrics):
    folder = run.folder / "clusters"
    with (folder / "clusters.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["row"]) for line in lines] == list(range(1078))
    data = demo()
    assert [int(line["label"]) for line in lines] == data.train_labels.tolist()
    mean = np.mean([float(line["silhouette"]) for line in lines])
    assert mean == pytest.approx(metrics["silhouette"], abs=1e-4)
    pictures = {path.stem for path in folder.glob("*.png")}
    assert pictures == FIGURES | {"map_tsne"} | {f"cluster_{number}" for number in range(10)}
    with np.load(folder / "embedding.npz", allow_pickle=False) as embedding:
        assert embedding["tsne"].shape == (1078, 2)
        assert str(embedding["fingerprint"]) == data.fingerprint


def test_the_label_queue_names_rows_whose_label_is_another_than_all_say(run, metrics):
    with (run.folder / "clusters/label_queue.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert lines
    assert all(line["label"] != line["prediction"] for line in lines)
    believed = [float(line["label_probability"]) for line in lines]
    assert believed == sorted(believed)


def test_the_same_run_gives_the_same_clusters(run, said):
    before = (run.folder / "clusters/clusters.csv").read_bytes()
    _cluster(run, "--set", "cluster.maps=[]")
    assert (run.folder / "clusters/clusters.csv").read_bytes() == before


@pytest.mark.parametrize("method", ["gaussian_mixture", "ward", "dbscan", "hdbscan", "spectral"])
def test_every_method_goes_through(run, method):
    record = cluster.run(run)
    assert record["method"] == method
    assert record["purity"] + record["noise"] > 0.9
    assert (run.folder / "clusters/neighbour_distance.png").exists() == (method in ("dbscan", "hdbscan"))


def test_a_comparison_has_a_line_for_every_method_in_every_space(run):
    said = _cluster(
        run, "--methods", "kmeans,ward", "--spaces", "aligned,pixels-pca", "--set", "cluster.table_rows=300"
    )
    assert "pixels-pca" in said
    lines = (run.folder / "clusters/comparison.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [space, method] for space in ("aligned", "pixels-pca") for method in ("kmeans", "ward")
    ]
    assert (run.folder / "clusters/comparison.md").read_text().startswith("| space | method | purity |")
    assert (run.folder / "clusters/comparison_purity.png").exists()


def test_one_cluster_for_all_has_no_silhouette(run):
    record = cluster.run(run)
    assert record["clusters"] <= 1
    text = (run.folder / "clusters/metrics.json").read_text()
    assert json.loads(text)["silhouette"] is None
    assert "NaN" not in text


def test_one_fold_alone_has_no_probe(tmp_path):
    run = finish(tmp_path / "limited", demo(), limit=1)
    record = cluster.run(run)
    assert record["purity"] > 0.9
    assert record["rows"] < 500
    assert np.isnan(record["fold_probe_before"])
    assert len(record["anchor_residual"]) == 1


def test_large_sets_go_in_mini_batches(run, monkeypatch):
    used = []
    original = cluster.clustering.CLUSTERERS["minibatch_kmeans"]
    spy = cluster.clustering.Clusterer(lambda *arguments: used.append(1) or original.fit(*arguments))
    monkeypatch.setitem(cluster.clustering.CLUSTERERS, "minibatch_kmeans", spy)
    record = cluster.run(run)
    assert used
    assert record["purity"] > 0.95


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
    run = finish(tmp_path / "half", demo())
    (run.member(cluster.runs.members(run.config())[1]) / "oof.npz").unlink()
    with pytest.raises(
        UserError, match=r"small-s0-f1 of run .* is missing or damaged; make it anew: make submit RUN=half"
    ):
        cluster.run(run)
    run.oof.unlink()
    with pytest.raises(UserError, match="is not finished; finish it: make submit RUN=half"):
        cluster.run(run)


def test_rows_of_another_table_are_refused(run):
    data = demo()
    other = cluster.dataclasses.replace(data, train_images=255 - data.train_images)
    with pytest.raises(UserError, match="made from other training rows"):
        cluster.run(run)


def test_what_a_config_may_name_is_there(run):
    assert {*cluster.METHODS, "minibatch_kmeans"} == cluster.clustering.CLUSTERERS.keys()
    assert set(STEPS) == cluster.spaces.STEPS.keys()
    assert set(SOURCES) == cluster.gather(run, run.config(), demo()).sources.keys()


def test_presets_are_valid(run):
    presets = sorted(Path("configs/clusters").glob("*.yaml"))
    assert presets
    for preset in presets:
        assert run.adapted([], preset).cluster != run.config().cluster
