"""A run from the first command to the report, killed on the way, leaves what the README promises."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from command import TINY, answer, start, succeed
from digits.data.demo import demo
from digits.data.submission import check
from digits.files import arrays, records

SUBMITTED = {"run.json", "members", "oof.npz", "test.npz", "metrics.json", "history.png", "confusion.png"}
SUBMITTED |= {"submission.csv"}
MEMBER = {"model.keras", "history.csv", "oof.npz", "test.npz", "member.json"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_it_ends_with_the_table_and_the_next_step(trained_run):
    text = (trained_run.folder.parent / "printed.txt").read_text()
    assert "the embedded demo set" in text
    assert text.count("held-out accuracy") == 16
    for words in (
        "demo: 1,078 training rows, 719 test rows",
        "OOF accuracy ",
        "between the folds",
        "OOF log loss",
        "predicted leaderboard score",
        "95% interval",
        "true score",
        "wall time",
        "Next: the real competition: make data",
    ):
        assert words in text
    assert "single" not in text  # each row has one network, which is the ensemble too


def test_the_metrics_are_those_of_the_files(trained_run):
    metrics, data = records.read_json(trained_run.metrics), demo()
    oof = arrays.read(trained_run.oof)
    right = oof["probabilities"].argmax(axis=1) == data.train_labels
    labels = np.loadtxt(trained_run.submission, delimiter=",", skiprows=1, dtype=int)[:, 1]
    assert np.array_equal(oof["rows"], np.arange(len(data.train_labels)))
    assert metrics["oof_accuracy"] == pytest.approx(right.mean())
    assert metrics["oof_accuracy"] > 0.9
    assert metrics["oof_log_loss"] < 0.5
    assert metrics["oof_accuracy_by_architecture"].keys() == {"mlp"}
    assert metrics["members"] == 2
    assert metrics["predicted_low"] < metrics["predicted_score"] < metrics["predicted_high"]
    assert metrics["true_score"] == pytest.approx((labels == data.test_labels).mean())
    assert metrics["seconds"].keys() == {"read", "train", "submit"}


def test_every_oof_row_was_predicted_by_a_network_that_never_saw_it(trained_run):
    rows = [arrays.read(trained_run.member(member) / "oof.npz")["rows"] for member in trained_run.members]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(len(demo().train_labels)))


def test_killed_and_resumed_it_ends_in_the_same_bytes_and_every_stage_runs_on_it(trained_run, tmp_path):
    run, finished = tmp_path / "killed", ["--data", "demo", "--output", tmp_path, "--run", "killed"]
    arguments = ["submit", "--output", tmp_path, "--run", "killed", "--workers", "1", *TINY]
    process = start(*arguments, process_group=0)
    while "submission.csv: 1 of 2 members" not in process.stdout.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert check(tmp_path / "submission.csv", len(demo().test_images), demo().classes).valid
    assert "1 of 2 members are trained already" in succeed(*arguments)
    for name in ("submission.csv", "test.npz", "oof.npz"):
        assert (run / name).read_bytes() == (trained_run.folder / name).read_bytes()
    assert (tmp_path / "submission.csv").read_bytes() == (run / "submission.csv").read_bytes()
    assert names(run) == SUBMITTED
    assert {name: names(run / "members" / name) for name in names(run / "members")} == {
        "mlp-s0-f0": MEMBER,
        "mlp-s0-f1": MEMBER,
    }
    answer("evaluate", *finished)
    answer("cluster", *finished, "--set", "cluster.maps=[]")
    answer("report", *finished)
    assert names(run) == SUBMITTED | {"evaluation", "clusters", "report.html", "MODEL_CARD.md"}
    assert {"metrics.json", "mistakes.csv"} <= names(run / "evaluation")
    assert {"metrics.json", "clusters.csv", "label_queue.csv", "map_pca.png", "matrix.png"} <= names(run / "clusters")
    assert (tmp_path / "eda/demo/metrics.json").exists()
    assert (run / "report.html").read_text().rstrip().endswith("</html>")
