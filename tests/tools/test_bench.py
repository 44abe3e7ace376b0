"""The whole bench on the demo set, with small nets and one round."""

import json

import numpy as np
import pytest

import bench
from digits import config, data


@pytest.mark.slow
def test_it_writes_every_table_and_the_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "NET_SECONDS", 0.1)
    monkeypatch.setattr(bench, "WAYS", {"JAX": bench.WAYS["JAX"]})
    monkeypatch.setattr(bench.augmentation, "IMAGES", 1000)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # as the bench does, which would leave them to other tests
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    source = data.find(None, root=tmp_path / "nothing", mounts=())
    dataset = data.read(source, tmp_path)
    short = config.load("configs/default.yaml", ["training.epochs=1", "architectures=[mlp]"])
    configs = {"default": short, "mlp": config.load("configs/baselines/mlp.yaml")}
    bench.run(configs, source, dataset, tmp_path / "bench", limit=300)
    said = capsys.readouterr().out
    titles = ("Training steps", "Augmentation on one core", "Training mlp", "Prediction with one mlp net")
    for title in (*titles, "held-out rows"):
        assert title in said
        assert title in (tmp_path / "bench" / "bench.txt").read_text()
    results = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert results["reading"] is None  # the demo set has no CSV
    assert min(results["augmentation"].values()) > 0
    assert set(results["nets"]) == {"JAX", "as configured"}
    for rates in results["nets"].values():
        assert set(rates) == {"mlp (default)", "mlp (mlp)"}
        assert min(rates.values()) > 0
    assert all(min(rates) > 0 for rates in results["training"].values())
    assert results["inference"]["peak"] >= results["inference"]["loaded"] > 0
    mlp = np.array(results["convergence"]["mlp"])
    assert mlp.shape == (20, 2)
    assert mlp[-1, 1] > 0.8
    assert (tmp_path / "bench" / "convergence.png").stat().st_size > 10_000
