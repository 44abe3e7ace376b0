"""`make evaluate` on a finished run."""

import contextlib
import csv
import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from digits import data, pipeline
from digits.data import Dataset
from digits.data.demo import demo
from digits.ensemble import logits
from digits.ensemble import metrics as scores
from digits.ensemble.logits import Logits
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Member, Run
from digits.stages import submit
from digits.stages.evaluate import stage
from digits.stages.evaluate.measures import SCALED
from finished_run import finish

DATA = demo()
PNG = {
    "confusion", "classes", "mistakes", "confidence", "reliability", "coverage", "agreement", "rescued",
    "history_small", "history_mlp",
}  # fmt: skip


def _finish(folder, dataset: Dataset, **options) -> Run:
    run = finish(folder, dataset, **options)
    with contextlib.redirect_stdout(io.StringIO()):
        submit.run(run, {})
    return run


def _evaluate(run: Run) -> dict:
    stage.run(run)
    return records.read_json(run.evaluation / "metrics.json")


def _lines(run: Run, name: str) -> list[dict[str, str]]:
    with (run.evaluation / name).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Two architectures of two seeds, which differ enough to need each other."""
    folder = tmp_path_factory.mktemp("output") / "whole"
    return _finish(folder, DATA, seeds=2, architectures=("small", "mlp"), spread=3.0)


@pytest.fixture(scope="module")
def printed(run) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        stage.run(run)
    return text.getvalue()


@pytest.fixture(scope="module")
def metrics(run, printed) -> dict:
    return records.read_json(run.evaluation / "metrics.json")


@pytest.fixture(scope="module")
def oof(run) -> dict[str, np.ndarray]:
    return arrays.read(run.oof)


def test_exactly_these_files(run, metrics):
    names = {f"{name}.png" for name in PNG}
    assert {path.name for path in run.evaluation.iterdir()} == names | {"metrics.json", "mistakes.csv", "classes.csv"}
    assert metrics["captions"].keys() == names
    for caption in metrics["captions"].values():
        assert caption.keys() == {"title", "text"}
        assert all(len(text) > 10 and "\n" not in text for text in caption.values())
    for name in names:
        with Image.open(run.evaluation / name) as picture:
            assert min(picture.size) > 200


def test_it_scores_what_the_run_stored(metrics, oof):
    right = oof["probabilities"].argmax(axis=1) == DATA.targets
    assert metrics["accuracy"] == pytest.approx(right.mean())
    assert metrics["mistakes"] == (~right).sum() > 20
    assert (metrics["rows"], metrics["folds"]) == (1078, 3)
    assert metrics["accuracy_interval"][0] < right.mean() < metrics["accuracy_interval"][1]
    assert metrics["data"] == {"name": "demo", "train": DATA.fingerprint, "test": DATA.test_fingerprint}
    scaled = metrics["calibration"]["stages"][SCALED]
    assert scaled["mean_confidence"] == pytest.approx(oof["probabilities"].max(axis=1).mean())
    assert scaled["log_loss"] == pytest.approx(scores.log_loss(oof["probabilities"], DATA.targets))


def test_every_class_is_scored(run, metrics, oof):
    chosen, labels = oof["probabilities"].argmax(axis=1), DATA.train_labels
    lines = _lines(run, "classes.csv")
    assert [int(line["class"]) for line in lines] == metrics["labels"] == list(range(10))
    for line, found in zip(lines, metrics["classes"], strict=True):
        own, taken = labels == found["class"], chosen == found["class"]
        assert found["recall"] == pytest.approx((own & taken).sum() / own.sum())
        assert found["precision"] == pytest.approx((own & taken).sum() / taken.sum())
        assert float(line["recall"]) == pytest.approx(found["recall"], abs=1e-6)
        assert float(line["f1_low"]) < float(line["f1"]) < float(line["f1_high"])
    pairs = [pair["rows"] for pair in metrics["confused"]]
    assert pairs == sorted(pairs, reverse=True)
    assert sum(pairs) == metrics["mistakes"]


def test_every_mistake_is_listed_the_most_confident_first(run, metrics, oof):
    lines = _lines(run, "mistakes.csv")
    probabilities = oof["probabilities"]
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != DATA.targets)
    assert sorted(int(line["row"]) for line in lines) == wrong.tolist()
    confidences = [float(line["first_probability"]) for line in lines]
    assert confidences == sorted(confidences, reverse=True)
    for line in lines:
        order = np.argsort(probabilities[int(line["row"])])[::-1]
        assert (int(line["first"]), int(line["second"])) == (order[0], order[1])
        assert int(line["label"]) == DATA.train_labels[int(line["row"])]
        assert float(line["second_probability"]) == pytest.approx(probabilities[int(line["row"]), order[1]], abs=1e-6)
        assert float(line["member_agreement"]) in (0, 0.25, 0.5, 0.75, 1)


def test_temperatures_mend_what_was_too_sure_or_too_modest(metrics):
    before, _, after = metrics["calibration"]["stages"].values()
    assert before["ece"] > 0.05
    assert after["ece"] < before["ece"] / 3
    assert after["log_loss"] < before["log_loss"]
    assert sum(after["reliability"]["rows"]) == 1078
    assert metrics["calibration"]["cross_fitted"]
    assert set(metrics["calibration"]["temperatures"]["architectures"]) == {"small", "mlp"}
    assert set(metrics["calibration"]["temperatures"]["by_fold"]["2"]) == {"small", "mlp", "ensemble"}


def test_what_the_ensemble_rescued_and_spoilt(run, metrics, oof):
    targets = DATA.targets
    together = oof["probabilities"].argmax(axis=1) == targets
    counted = dict.fromkeys(("rescued", "spoilt"), 0)
    any_right = np.zeros(len(targets), bool)
    for member in run.members:
        own = arrays.read(run.member(member) / "oof.npz")
        alone = own["logits"].argmax(axis=1) == targets[own["rows"]]
        any_right[own["rows"]] |= alone
        found = metrics["rescued"]["members"][member.name]
        assert found["mistakes"] == (~alone).sum()
        assert found["rescued"] == (together[own["rows"]] & ~alone).sum()
        assert found["spoilt"] == (alone & ~together[own["rows"]]).sum()
        counted = {name: count + found[name] for name, count in counted.items()}
    architectures = metrics["rescued"]["architectures"]
    assert set(architectures) == {"small-s0", "small-s1", "mlp-s0", "mlp-s1"}
    assert all(found["rows"] == 1078 for found in architectures.values())
    assert {name: sum(found[name] for found in architectures.values()) for name in counted} == counted
    assert counted["rescued"] > 0
    assert metrics["rescued"]["all_wrong"] == (~any_right).sum()
    assert metrics["rescued"]["mistakes_with_a_member_right"] == (any_right & ~together).sum()


def test_how_far_the_members_agree(run, metrics):
    names = metrics["agreement"]["test"]["members"]
    assert sorted(names) == sorted(member.name for member in run.members)
    choices = {each.name: arrays.read(run.member(each) / "test.npz")["logits"].argmax(axis=1) for each in run.members}
    shares = np.array(metrics["agreement"]["test"]["shares"])
    assert shares[0, 5] == pytest.approx((choices[names[0]] == choices[names[5]]).mean())
    assert metrics["agreement"]["test"]["mean"] == pytest.approx(shares[np.triu_indices(12, 1)].mean())
    assert len(metrics["agreement"]["out_of_fold"]["members"]) == 4


def test_coverage(metrics, oof):
    confidence = oof["probabilities"].max(axis=1)
    right = oof["probabilities"].argmax(axis=1) == DATA.targets
    found = metrics["coverage"]
    decided = confidence >= found["threshold"]
    assert decided.mean() == pytest.approx(found["coverage"])
    assert right[decided].mean() >= found["promised_accuracy"] == 0.999
    assert found["nearly_all"] == pytest.approx(0.99, abs=1e-3)
    surest = np.argsort(-confidence)[: round(found["nearly_all"] * 1078)]
    assert found["accuracy_of_nearly_all"] == pytest.approx(right[surest].mean())
    assert 0 < found["cross_fitted"]["coverage"] < 1


@pytest.mark.slow
def test_again_it_gives_the_same_metrics_keeps_nothing_old_and_needs_no_tensorflow(run, metrics):
    (run.evaluation / "older.png").write_bytes(b"")
    script = (
        "import sys; from pathlib import Path\n"
        "from digits.data.demo import demo; from digits.runs import Run, RunFolder\n"
        "from digits.stages.evaluate import stage\n"
        f"folder = Path({str(run.folder)!r}); stage.run(Run(folder, RunFolder(folder).recorded_config(), demo()))\n"
        "print(sorted({'tensorflow', 'keras', 'albumentations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert not (run.evaluation / "older.png").exists()
    assert records.read_json(run.evaluation / "metrics.json") | {"seconds": 0} == metrics | {"seconds": 0}


def test_it_prints_its_findings(run, printed, metrics):
    assert "most often taken for" in printed
    words = " ".join(printed.split())
    assert list(metrics["findings"]) == ["scores", "classes", "confidence", "ensemble"]
    for sentences in metrics["findings"].values():
        assert sentences
        assert all(" ".join(sentence.split()) in words for sentence in sentences)
    assert printed.splitlines()[-1].endswith(f": {run.evaluation}")


def test_the_command_ends_with_what_to_do_next(run, metrics, capsys):
    pipeline.evaluate(run)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Next: make report RUN=whole ")
    assert "make explore RUN=whole" in last


def test_votes_make_the_choices_and_probabilities_their_confidence(run):
    members = logits.calibrate([logits.load(run, member) for member in run.members], DATA.targets).members
    (_, votes), (_, beliefs) = (logits.out_of_fold(members, rule) for rule in ("vote", "mean"))
    chosen = votes.argmax(axis=1)
    assert (chosen != beliefs.argmax(axis=1)).any()
    predictions = stage.predict(members, DATA.targets, "vote")
    assert np.array_equal(predictions.chosen, chosen)
    assert np.array_equal(predictions.confidence, beliefs[np.arange(1078), chosen])


def test_one_member_of_one_fold(tmp_path):
    metrics = _evaluate(_finish(tmp_path / "limited", DATA, limit=1))
    assert metrics["members"] == 1
    assert metrics["rows"] < 500
    assert not metrics["calibration"]["cross_fitted"]
    assert metrics["coverage"]["cross_fitted"] is None
    assert metrics["agreement"]["test"]["mean"] is None
    assert metrics["findings"]["ensemble"] == []
    assert metrics["captions"].keys().isdisjoint({"rescued.png", "agreement.png"})  # which would be empty
    before, *later = (step["ece"] for step in metrics["calibration"]["stages"].values())
    assert later == pytest.approx([before, before])


def test_no_mistake_at_all(tmp_path):
    run = _finish(tmp_path / "perfect", DATA)
    _replace_logits(run, lambda rows, _: 20 * np.eye(10)[DATA.targets[rows]])
    metrics = _evaluate(run)
    assert metrics["accuracy"] == 1
    assert metrics["coverage"]["coverage"] == 1
    assert metrics["confused"] == []
    assert _lines(run, "mistakes.csv") == []
    assert "no row is wrong" in metrics["captions"]["confidence.png"]["text"]
    left = PNG - {"mistakes", "coverage", "rescued", "history_mlp"}
    assert {path.stem for path in run.evaluation.glob("*.png")} == left


def test_colour_images_of_named_classes_one_with_few_rows_that_nobody_chooses(tmp_path):
    kept = np.flatnonzero((DATA.train_labels != 7) | (np.cumsum(DATA.train_labels == 7) <= 3))
    names = np.array([f"class {label}" for label in range(10)])
    images, test_images = (np.repeat(images, 3, axis=3) for images in (DATA.train_images[kept], DATA.test_images))
    run = _finish(tmp_path / "few", Dataset("few", "", images, names[DATA.train_labels[kept]], test_images), limit=1)
    _replace_logits(run, lambda rows, values: np.where(np.arange(10) == 7, -20, values))
    record = _evaluate(run)
    seven = record["classes"][7]
    assert seven["class"] == record["labels"][7] == "class 7"
    assert seven["support"] <= 3
    assert seven["precision"] is None
    assert seven["precision_interval"] == [0, 1]
    assert all(isinstance(label, str) for pair in record["confused"] for label in pair["classes"])
    assert "NaN" not in (run.evaluation / "metrics.json").read_text()
    assert _lines(run, "classes.csv")[7]["precision"] == ""
    assert {line["label"] for line in _lines(run, "mistakes.csv")} <= set(names)


def _replace_logits(run: Run, change) -> None:
    """Give every member other out-of-fold logits: a function of its rows and logits."""
    for member in run.members:
        folder = run.member(member)
        oof = arrays.read(folder / "oof.npz")
        arrays.write(folder / "oof.npz", **oof | {"logits": change(oof["rows"], oof["logits"]).astype(np.float32)})
        (folder / "member.json").unlink()
        records.seal(folder, {"seconds": 1.0})


def test_a_run_that_is_not_finished_says_how_to_finish_it(tmp_path):
    run = _finish(tmp_path / "half", DATA)
    (run.member(run.members[1]) / "oof.npz").unlink()
    with pytest.raises(UserError, match=r"small-s0-f1 of run .* is missing or damaged"):
        stage.run(run)
    run.oof.unlink()
    with pytest.raises(UserError, match="is not finished; finish it: make submit RUN=half"):
        stage.run(run)
    assert not run.evaluation.exists()


@pytest.mark.parametrize(("field", "kind"), [("train_images", "training"), ("test_images", "test")])
def test_rows_of_another_table_are_refused(run, field, kind):
    other = dataclasses.replace(DATA, **{field: 255 - getattr(DATA, field)})
    with pytest.raises(UserError, match=f"made from other {kind} rows"):
        stage.run(dataclasses.replace(run, dataset=other))


class TestCrossFitting:
    """No row has a say in the temperatures that scale it."""

    targets = np.random.default_rng(0).integers(0, 4, 600)
    folds = np.arange(600) % 3

    def members(self) -> list[Logits]:
        draw = np.random.default_rng(1)
        made = []
        for architecture, size in (("small", 2.0), ("mlp", 5.0)):
            for fold in range(3):
                rows = np.flatnonzero(self.folds == fold)
                values = size * (2 * np.eye(4)[self.targets[rows]] + draw.normal(size=(len(rows), 4)))
                made.append(Logits(Member(architecture, 0, fold), rows, values, draw.normal(size=(9, 4))))
        return made

    def temperatures(self, targets: np.ndarray) -> tuple[dict, dict, dict, float]:
        members = self.members()
        calibrated = logits.calibrate(members, targets)
        by_fold, overall = logits.ensemble_temperatures(members, calibrated, targets)
        return calibrated.by_fold, by_fold, calibrated.temperatures, overall

    @pytest.mark.parametrize("fold", [0, 1, 2])
    def test_labels_of_a_fold_do_not_change_its_own_temperatures(self, fold):
        changed = np.where(self.folds == fold, (self.targets + 1) % 4, self.targets)
        before, after = self.temperatures(self.targets), self.temperatures(changed)
        for old, new in zip(before[:2], after[:2], strict=True):
            assert old[fold] == new[fold]
            assert all(old[other] != new[other] for other in range(3) if other != fold)
        assert before[2] != after[2]
        assert before[3] != after[3]

    def test_the_other_folds_alone_decide(self):
        by_fold, _, overall, _ = self.temperatures(self.targets)
        others = [each for each in self.members() if each.member.fold != 0 and each.member.architecture == "mlp"]
        assert by_fold[0]["mlp"] == logits.temperature(others, self.targets)
        assert overall["mlp"] / overall["small"] == pytest.approx(2.5, rel=0.15)

    def test_a_further_temperature_sharpens_and_changes_no_choice(self):
        members = self.members()
        rows, beliefs = logits.out_of_fold(members, "mean")
        sharper = logits.sharpened(rows, beliefs, members, {0: 1.0, 1: 0.5, 2: 2.0})
        assert np.allclose(sharper[self.folds == 0], beliefs[self.folds == 0])
        for fold, power in ((1, 2.0), (2, 0.5)):
            own = self.folds == fold
            expected = beliefs[own] ** power / (beliefs[own] ** power).sum(axis=1, keepdims=True)
            assert np.allclose(sharper[own], expected)
        assert (sharper.argmax(axis=1) == beliefs.argmax(axis=1)).all()

    def test_one_fold_alone_is_left_as_it_is(self):
        alone = [each for each in self.members() if each.member.fold == 0]
        calibrated = logits.calibrate(alone, self.targets)
        assert calibrated.by_fold == {0: {"small": 1.0, "mlp": 1.0}}
        assert logits.ensemble_temperatures(alone, calibrated, self.targets)[0] == {0: 1.0}
        assert np.allclose(calibrated.members[0].oof, alone[0].oof)


def test_the_ensemble_is_the_one_that_was_stored(run, oof):
    """The out-of-fold probabilities are those of the softmaxes, by hand."""
    members = [logits.load(run, member) for member in run.members]
    folds = data.assign(DATA.train_images, DATA.train_labels, 3, run.config.seed)
    by_fold = logits.calibrate(members, DATA.targets).by_fold
    row = int(np.flatnonzero(folds == 1)[7])
    values = [
        softmax(each.oof[each.rows == row][0] / by_fold[1][each.member.architecture])
        for each in members
        if each.member.fold == 1
    ]
    assert len(values) == 4
    assert oof["probabilities"][row] == pytest.approx(np.mean(values, axis=0), abs=1e-6)
