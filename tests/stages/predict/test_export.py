"""A finished run as one ONNX file."""

import base64
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from scipy.special import softmax

from command import complain, refuse, succeed
from digits import config
from digits.data.demo import demo
from digits.ensemble import alignment
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Run, RunFolder
from digits.stages import submit, train
from digits.stages.evaluate import stage as evaluate
from digits.stages.predict import export, exported, networks, novelty
from digits.stages.report import stage as report
from digits.workers.budget import Resources

pytestmark = pytest.mark.slow

DATA, INT8 = demo(), TensorProto.INT8


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """An exported run: two kinds of nets, two folds, a few epochs."""
    nets = [{"net": net, "options": {"width": 0.5}} for net in ("default", "strided")]
    few = {"epochs": 4, "ema": 0.9, "batch_size": 32}
    settings = config.parse({"folds": {"count": 2}, "training": few, "architectures": nets}, "of the test")
    run = Run(tmp_path_factory.mktemp("output") / "two", settings, DATA)
    train.run(run, Resources(workers=1))
    submit.run(run, {})
    export.run(run, run.exported)
    return run


@pytest.fixture(scope="module")
def small(run) -> Path:
    """The networks of the run's first fold, in 8 bits."""
    path = run.folder.parent / "small.onnx"
    export.run(run, path, folds=1, small=True)
    return path


@pytest.fixture
def copy(run, tmp_path) -> RunFolder:
    """A copy of the run to change."""
    shutil.copytree(run.folder, tmp_path / "two")
    return RunFolder(tmp_path / "two")


def outputs(run: Run, file: str) -> list[dict[str, np.ndarray]]:
    return [arrays.read(run.member(member) / f"{file}.npz") for member in run.members]


def test_it_predicts_as_the_networks_do(run):
    ensemble = exported.load(run.exported)
    temperatures = records.read_json(run.metrics)["temperature"]
    expected = [
        softmax(test["logits"] / temperatures[member.architecture], axis=1)
        for member, test in zip(run.members, outputs(run, "test"), strict=True)
    ]
    expected = np.mean(expected, axis=0)
    ours = ensemble.predict(DATA.test_images).probabilities
    assert np.abs(ours - expected).max() < 0.05  # the run's own may have been computed in 16 bits
    assert (ours.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.99
    assert list(ensemble.about["members"]) == [member.name for member in run.members]
    assert "oof_accuracy" not in ensemble.about  # no row that none of them saw


def test_novelty_is_low_for_digits_and_high_for_noise(run):
    ensemble = exported.load(run.exported)
    noise = np.random.default_rng(0).integers(0, 256, (50, 28, 28, 1)).astype(np.uint8)
    assert np.median(ensemble.predict(DATA.test_images).novelty) < 0.6
    assert np.median(ensemble.predict(noise).novelty) > 1


def test_its_novelty_and_features_are_those_of_the_members(run):
    expected, aligned, alignments = [], [], alignment.of_run(run)
    for member, oof, test in zip(run.members, outputs(run, "oof"), outputs(run, "test"), strict=True):
        measure = novelty.fit(oof["features"], DATA.targets[oof["rows"]])
        expected.append(measure(test["features"]))
        aligned.append(alignments[member.name](test["features"]))
    ours = exported.load(run.exported).predict(DATA.test_images)
    assert np.median(np.abs(ours.novelty / np.mean(expected, axis=0) - 1)) < 0.1  # the run's may be in 16 bits
    assert np.abs(ours.features - np.mean(aligned, axis=0)).max() < 0.05


def test_the_lines_in_the_model_card_predict(run):
    evaluate.run(run)
    report.run(run, run.folder.parent / "eda", run.folder.parent / "tune")
    (code,) = re.findall(r"```python\n(.*?)```", (run.folder / "MODEL_CARD.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) == 5
    np.save(run.folder.parent / "images.npy", DATA.test_images[:20])
    code = code.replace("numpy.zeros((1, 28, 28, 1), numpy.uint8)", "numpy.load('../images.npy', allow_pickle=False)")
    done = subprocess.run([sys.executable, "-c", code], cwd=run.folder, capture_output=True, text=True, check=True)
    predicted = exported.load(run.exported).predict(DATA.test_images[:20]).probabilities.argmax(axis=1)
    assert done.stdout == f"{DATA.classes[predicted].tolist()}\n"


@pytest.mark.parametrize("name", export.FORMATS)
def test_tensorflow_reads_the_same(name, copy, run):
    copied = dataclasses.replace(run, folder=copy.folder)
    path, unfinished = (copy.folder / f"{dot}{export.FORMATS[name].name}" for dot in ("", "."))
    for earlier in (path, unfinished):
        earlier.mkdir()
        (earlier / "of_an_earlier_call").touch()
    export.for_tensorflow(copied, name)
    assert not unfinished.exists()
    assert not (path / "of_an_earlier_call").exists()
    forward, expected = export.FORMATS[name].load(path), exported.load(run.exported)
    for count in (1, 7):
        for ours, theirs in zip(
            forward(DATA.test_images[:count]), expected.predict(DATA.test_images[:count]), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("count", [0, 3])
def test_keras_predicts_the_same_without_an_export(run, count):
    images = DATA.test_images[:count]
    ours, theirs = networks.load(run).predict(images), exported.load(run.exported).predict(images)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_rows_of_another_table_are_refused(run, tmp_path):
    other = dataclasses.replace(DATA, train_labels=(DATA.train_labels + 1) % 10)
    with pytest.raises(UserError, match="made from other training rows"):
        export.run(dataclasses.replace(run, dataset=other), tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_the_small_one_is_smaller_and_knows_the_rows_that_it_never_saw(run, small):
    whole, part = exported.load(run.exported), exported.load(small)
    assert small.stat().st_size < 0.3 * run.exported.stat().st_size
    assert list(part.about["members"]) == ["default-s0-f0", "strided-s0-f0"]
    assert part.about["oof_rows"] == pytest.approx(len(DATA.train_labels) / 2, abs=2)
    rows = arrays.read(run.folder / "members/strided-s0-f0/oof.npz")["rows"]
    predicted = part.predict(DATA.train_images[rows]).probabilities.argmax(axis=1)
    assert part.about["oof_accuracy"] == pytest.approx((predicted == DATA.targets[rows]).mean())
    both = [ensemble.predict(DATA.test_images).probabilities.argmax(axis=1) for ensemble in (whole, part)]
    assert (both[0] == both[1]).mean() > 0.9


@pytest.mark.parametrize("shipped", [False, True])
def test_no_sum_of_two_products_in_8_bits_exceeds_16(shipped, small):
    """Adding in pairs, as vpmaddubsw does, cannot saturate, whichever weights meet in a pair."""
    graph = onnx.load(exported.PRETRAINED if shipped else small).graph
    weights = [numpy_helper.to_array(each).astype(int) for each in graph.initializer if each.data_type == INT8]
    kernels = [each.reshape(len(each), -1) for each in weights if each.ndim == 4]
    assert len(kernels) == sum(node.op_type == "Conv" for node in graph.node)
    for kernel in kernels:
        weights = np.sort(np.pad(kernel, [(0, 0), (1, 1)]))  # of each channel; an odd last one meets a zero
        assert 255 * weights[:, -2:].sum(axis=1).max() <= np.iinfo(np.int16).max
        assert 255 * weights[:, :2].sum(axis=1).min() >= np.iinfo(np.int16).min


def rewritten(path: Path, answers: object = None, **weights: np.ndarray) -> bytes:
    """The file with other weights or stored answers, and a checksum that fits; None stores no answers."""
    model = onnx.load(path)
    about = json.loads(next(prop.value for prop in model.metadata_props if prop.key == "digits"))
    for weight in model.graph.initializer:
        if weight.name in weights:
            weight.CopyFrom(numpy_helper.from_array(weights[weight.name], weight.name))
    values = {"digits": json.dumps(about | {"answers": answers}), "checksum": records.BLANK.decode()}
    onnx.helper.set_model_props(model, values)
    return records.signed(model.SerializeToString())


class Saturating(onnxruntime.InferenceSession):
    """A processor whose kernels are wrong in every optimized graph."""

    def run(self, names, images):
        arrays = dict(zip(names, super().run(names, images), strict=True))
        if self.get_session_options().graph_optimization_level != onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL:
            arrays["probabilities"] = np.roll(arrays["probabilities"], 1, axis=1)
        return list(arrays.values())


def test_where_fast_kernels_are_wrong_the_exact_ones_run(small, monkeypatch, caplog):
    expected = exported.load(small).predict(DATA.test_images).probabilities
    monkeypatch.setattr(onnxruntime, "InferenceSession", Saturating)
    found = exported.load(small).predict(DATA.test_images).probabilities
    assert np.abs(found - expected).max() < exported.ROUNDING
    assert [record.getMessage() for record in caplog.records] == [
        f"{small}: its fast kernels are wrong on this processor; slower, exact ones run"
    ]


def test_other_weights_are_refused_by_the_stored_answers(small):
    answers = exported.load(small).about["answers"]
    assert len(answers["probabilities"]) == export.STORED
    assert exported.parse(rewritten(small, answers), "of the test").about["answers"] == answers
    kernel = next(each for each in onnx.load(small).graph.initializer if each.data_type == INT8 and each.dims[1:])
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


def test_an_export_is_current_until_a_member_changes(run, copy):
    assert export.current(copy, run.config)
    records.seal(copy.folder / "members/strided-s0-f1", {"seconds": 1.0})
    assert export.current(copy, run.config) is None
    copy.exported.unlink()
    assert export.current(copy, run.config) is None


def test_an_export_of_an_earlier_version_or_of_fewer_networks_is_not_current(run, small, copy):
    shutil.copy(small, copy.exported)
    assert export.current(copy, run.config) is None
    shutil.copy(exported.PRETRAINED, copy.exported)
    assert export.current(copy, run.config) is None


def test_predicting_with_a_run_exports_it_first(copy):
    copy.exported.unlink()
    output, names = copy.folder.parent, ",".join(f"pixel{number}" for number in range(28 * 28))
    np.savetxt(output / "a.csv", DATA.test_images[:3].reshape(3, -1), "%d", ",", header=names, comments="")
    printed = succeed("predict", output / "a.csv", "--data", "demo", "--run", "two", "--output", output)
    assert copy.exported.exists()
    assert "a.csv#3" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "keras"], "format 'keras' is not known; the formats are onnx, saved_model, litert"),
        (["--format", "litert", "--small"], "are of ONNX alone"),
    ],
)
def test_a_format_that_is_none_is_a_line(arguments, words, run):
    output = run.folder.parent
    assert words in refuse("export", "--data", "demo", "--run", "two", "--output", output, *arguments)


@pytest.mark.parametrize("arguments", [[], ["--format", "saved_model"]])
def test_without_tensorflow_the_export_is_a_line(arguments, run, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    line = refuse("export", "--data", "demo", "--run", "two", "--output", run.folder.parent, *arguments)
    assert "the export needs TensorFlow: make export RUN=two, without BACKEND=" in line


def test_damage_is_a_line(run, copy):
    damaged, content = copy.folder / "damaged.onnx", bytearray(run.exported.read_bytes())
    damaged.write_bytes(content[:5000])
    with pytest.raises(UserError, match="damaged, or no exported ensemble"):
        exported.load(damaged)
    content[len(content) // 2] ^= 1  # in the midst of the weights, where onnxruntime notices nothing
    damaged.write_bytes(content)
    with pytest.raises(UserError, match="damaged; write it anew"):
        exported.load(damaged)
    (copy.folder / "members/strided-s0-f0/model.keras").write_bytes(b"broken")
    line = complain("export", "--data", "demo", "--run", "two", "--output", copy.folder.parent)
    assert "strided-s0-f0" in line
    assert "missing or damaged" in line


def test_a_network_of_another_run_is_a_line(run, copy):
    """A folder that was sealed anew around it."""
    folder = copy.folder / "members/default-s0-f0"
    shutil.copy(copy.folder / "members/strided-s0-f0/model.keras", folder)
    records.seal(folder, {"seconds": 1.0})
    with pytest.raises(UserError, match="of another run"):
        networks.build(dataclasses.replace(run, folder=copy.folder), run.members)
