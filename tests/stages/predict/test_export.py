"""A finished run as one ONNX file."""

import base64
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from scipy.special import softmax

from command import complain, succeed
from digits import config, runs
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Run
from digits.stages import submit, train
from digits.stages.predict import export, exported, novelty

DATA = demo()


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """Where the run `two` stands: two kinds of nets, two folds, a few epochs."""
    run = Run(tmp_path_factory.mktemp("output") / "two")
    few = {"epochs": 4, "ema": 0.9, "batch_size": 32}
    settings = config.parse(
        {"folds": {"count": 2}, "training": few, "architectures": ["default", "strided"]}, "of the test"
    )
    train.run(settings, DATA, run, workers=1)
    submit.run(run, {})
    export.run(run, run.exported)
    return run.folder.parent


@pytest.fixture(scope="module")
def small(output) -> Path:
    """The networks of the run's first fold, in 8 bits."""
    path, run = output / "small.onnx", Run(output / "two")
    export.run(run, path, folds=1, small=True)
    return path


def test_it_says_what_the_networks_say(output):
    run = Run(output / "two")
    ensemble = exported.load(run.exported)
    temperatures = records.read_json(run.metrics)["temperature"]
    members = runs.members(run.config())
    expected = np.mean(
        [
            softmax(arrays.read(run.member(of) / "test.npz")["logits"] / temperatures[of.architecture], axis=1)
            for of in members
        ],
        axis=0,
    )
    ours = ensemble.predict(DATA.test_images).probabilities
    assert np.abs(ours - expected).max() < 0.05  # the run's own may have been computed in 16 bits
    assert (ours.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.99
    assert list(ensemble.about["members"]) == [of.name for of in members]
    assert "oof_accuracy" not in ensemble.about  # no row that none of them saw


def test_novelty_is_low_for_digits_and_high_for_noise(output):
    ensemble = exported.load(Run(output / "two").exported)
    noise = np.random.default_rng(0).integers(0, 256, (50, 28, 28)).astype(np.uint8)
    assert np.median(ensemble.predict(DATA.test_images).novelty) < 0.6
    assert np.median(ensemble.predict(noise).novelty) > 1


def test_its_novelty_is_that_of_the_members_features(output):
    run = Run(output / "two")
    expected = []
    for member in runs.members(run.config()):
        oof, test = (arrays.read(run.member(member) / f"{of}.npz") for of in ("oof", "test"))
        judge = novelty.fit(oof["features"], DATA.targets[oof["rows"]], "features")
        expected.append(judge(test["features"]))
    ours = exported.load(run.exported).predict(DATA.test_images).novelty
    assert np.median(np.abs(ours / np.mean(expected, axis=0) - 1)) < 0.1  # the run's own may have been in 16 bits


def test_rows_of_another_table_are_refused(output, tmp_path):
    run = Run(output / "two")
    other = dataclasses.replace(DATA, train_labels=(DATA.train_labels + 1) % 10)
    with pytest.raises(UserError, match="made from other training rows"):
        export.run(run, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_the_small_one_is_smaller_and_knows_the_rows_that_it_never_saw(output, small):
    run = Run(output / "two")
    whole, part = exported.load(run.exported), exported.load(small)
    assert small.stat().st_size < 0.2 * run.exported.stat().st_size
    assert list(part.about["members"]) == ["default-s0-f0", "strided-s0-f0"]
    assert part.about["oof_rows"] == pytest.approx(len(DATA.train_labels) / 2, abs=2)
    rows = arrays.read(output / "two/members/strided-s0-f0/oof.npz")["rows"]
    chosen = part.predict(DATA.train_images[rows]).probabilities.argmax(axis=1)
    assert part.about["oof_accuracy"] == pytest.approx((chosen == DATA.targets[rows]).mean())
    both = [of.predict(DATA.test_images).probabilities.argmax(axis=1) for of in (whole, part)]
    assert (both[0] == both[1]).mean() > 0.9


@pytest.mark.parametrize("shipped", [False, True])
def test_no_sum_of_two_products_in_8_bits_exceeds_16(shipped, small):
    """Adding in pairs, as vpmaddubsw does, cannot saturate, whichever weights meet in a pair."""
    graph = onnx.load(exported.PRETRAINED if shipped else small).graph
    kernels = [numpy_helper.to_array(of).astype(int) for of in graph.initializer if of.data_type == TensorProto.INT8]
    kernels = [of.reshape(len(of), -1) for of in kernels if of.ndim == 4]
    assert len(kernels) == sum(node.op_type == "Conv" for node in graph.node)
    for kernel in kernels:
        weights = np.sort(np.pad(kernel, [(0, 0), (1, 1)]))  # of each channel; an odd last one meets a zero
        assert 255 * weights[:, -2:].sum(axis=1).max() <= np.iinfo(np.int16).max
        assert 255 * weights[:, :2].sum(axis=1).min() >= np.iinfo(np.int16).min


def rewritten(path: Path, answers: object = None, **weights: np.ndarray) -> bytes:
    """The file with other weights or stored answers, and a checksum that fits; None stores no answers."""
    model = onnx.load(path)
    about = json.loads(next(of.value for of in model.metadata_props if of.key == "digits"))
    for weight in model.graph.initializer:
        if weight.name in weights:
            weight.CopyFrom(numpy_helper.from_array(weights[weight.name], weight.name))
    values = {"digits": json.dumps(about | {"answers": answers}), "checksum": runs.BLANK.decode()}
    onnx.helper.set_model_props(model, values)
    return records.signed(model.SerializeToString())


class Saturating(onnxruntime.InferenceSession):
    """A processor whose kernels are wrong in every optimized graph."""

    def run(self, *arguments):
        probabilities, novelty = super().run(*arguments)
        level = self.get_session_options().graph_optimization_level
        exact = level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return [probabilities if exact else np.roll(probabilities, 1, axis=1), novelty]


def test_where_fast_kernels_are_wrong_the_exact_ones_run(small, monkeypatch, caplog):
    expected = exported.load(small).predict(DATA.test_images).probabilities
    monkeypatch.setattr(onnxruntime, "InferenceSession", Saturating)
    found = exported.load(small).predict(DATA.test_images).probabilities
    assert np.abs(found - expected).max() < exported.ROUNDING
    assert [of.getMessage() for of in caplog.records] == [
        f"{small}: its fast kernels are wrong on this processor; slower, exact ones run"
    ]


def test_other_weights_are_refused_by_the_stored_answers(small):
    answers = exported.load(small).about["answers"]
    assert len(answers["probabilities"]) == export.STORED
    assert exported.parse(rewritten(small, answers), "of the test").about["answers"] == answers
    kernel = next(of for of in onnx.load(small).graph.initializer if of.data_type == TensorProto.INT8 and of.dims[1:])
    content = rewritten(small, answers, **{kernel.name: -numpy_helper.to_array(kernel)})
    with pytest.raises(UserError, match="other answers than those stored"):
        exported.parse(content, "of the test")


def test_a_file_of_an_earlier_version_stores_no_answers(small):
    ours, before = exported.load(small), exported.parse(rewritten(small), "of the test")
    assert (before.predict(DATA.test_images).novelty == ours.predict(DATA.test_images).novelty).all()


IMAGE, ROW = base64.b64encode(bytes(28 * 28)).decode(), [0.1] * 10


@pytest.mark.parametrize(
    "answers",
    [
        "text",
        {},
        {"images": IMAGE},
        {"images": 5, "probabilities": [ROW]},
        {"images": "", "probabilities": []},
        {"images": IMAGE[:-8], "probabilities": [ROW]},
        {"images": IMAGE, "probabilities": [ROW[1:]]},
        {"images": IMAGE, "probabilities": ROW},
        {"images": IMAGE, "probabilities": [[None, *ROW]]},
        {"images": IMAGE, "probabilities": [[10**400, *ROW[1:]]]},
        {"images": IMAGE, "probabilities": [["many", *ROW[1:]]]},
        {"images": base64.b64encode(bytes(28 * 28 * 1000)).decode(), "probabilities": [ROW] * 1000},
    ],
)
def test_crafted_answers_are_a_line(small, answers):
    with pytest.raises(UserError, match="damaged, or no exported ensemble"):
        exported.parse(rewritten(small, answers), "of the test")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300])
def test_stored_answers_that_are_no_probabilities_are_a_line(small, value):
    with pytest.raises(UserError, match="other answers than those stored"):
        exported.parse(rewritten(small, {"images": IMAGE, "probabilities": [[value, *ROW[1:]]]}), "of the test")


def test_an_export_is_current_until_a_member_changes(output, tmp_path):
    shutil.copytree(output / "two", tmp_path / "two")
    run = Run(tmp_path / "two")
    assert export.is_current(run, run.exported)
    records.seal(run.folder / "members/strided-s0-f1", {"seconds": 1.0})
    assert not export.is_current(run, run.exported)
    assert not export.is_current(run, tmp_path / "none.onnx")


def test_predicting_with_a_run_exports_it_first(output, tmp_path):
    shutil.copytree(output / "two", tmp_path / "two")
    Run(tmp_path / "two").exported.unlink()
    names = ",".join(f"pixel{place}" for place in range(DATA.side**2))
    np.savetxt(tmp_path / "a.csv", DATA.test_images[:3].reshape(3, -1), "%d", ",", header=names, comments="")
    printed = succeed("predict", tmp_path / "a.csv", "--data", "demo", "--run", "two", "--output", tmp_path)
    assert Run(tmp_path / "two").exported.exists()
    assert "a.csv#3" in printed


def test_damage_is_a_line(output, tmp_path):
    damaged = tmp_path / "ensemble.onnx"
    damaged.write_bytes(Run(output / "two").exported.read_bytes()[:5000])
    with pytest.raises(UserError, match="damaged, or no exported ensemble"):
        exported.load(damaged)
    flipped = bytearray(Run(output / "two").exported.read_bytes())
    flipped[len(flipped) // 2] ^= 1  # in the midst of the weights, where onnxruntime notices nothing
    damaged.write_bytes(flipped)
    with pytest.raises(UserError, match="damaged; write it anew"):
        exported.load(damaged)
    shutil.copytree(output / "two", tmp_path / "two")
    (tmp_path / "two/members/strided-s0-f0/model.keras").write_bytes(b"broken")
    told = complain("export", "--data", "demo", "--run", "two", "--output", tmp_path)
    assert "strided-s0-f0" in told
    assert "missing or damaged" in told
