"""`make evaluate` on a finished run."""

import contextlib
import csv
import dataclasses
import io
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from digits import data, runs
from digits.data.demo import demo
from digits.ensemble import logits
from digits.ensemble import metrics as scores
from digits.ensemble.logits import Logits
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Member, Run
from digits.stages import submit
from digits.stages.evaluate import stage as evaluate
from finished_run import finish

PNG = {
    "confusion", "digits", "mistakes", "confidence", "reliability", "coverage", "agreement", "rescued", "history",
}  # fmt: skip


def _evaluate(run: Run, *overrides: str) -> dict:
    evaluate.run(run)
    return records.read_json(run.evaluation / "metrics.json")


def _lines(run: Run, name: str) -> list[dict[str, str]]:
    with (run.evaluation / name).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """Two architectures of two seeds, who differ enough to need each other."""
    folder = tmp_path_factory.mktemp("output") / "whole"
    made = finish(folder, demo(), seeds=2, architectures=("small", "mlp"), spread=3.0)
    submit.run(made, {})
    return made


@pytest.fixture(scope="module")
def said(run) -> str:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        evaluate.run(run)
    return told.getvalue()


@pytest.fixture(scope="module")
def metrics(run, said) -> dict:
    return records.read_json(run.evaluation / "metrics.json")


@pytest.fixture(scope="module")
def oof(run) -> dict[str, np.ndarray]:
    return arrays.read(run.oof)


def test_exactly_these_files(run, metrics):
    names = {f"{name}.png" for name in PNG}
    assert {path.name for path in run.evaluation.iterdir()} == names | {"metrics.json", "mistakes.csv", "digits.csv"}
    assert metrics["captions"].keys() == names
    assert all(len(caption) > 20 and "\n" not in caption for caption in metrics["captions"].values())
    for name in names:
        with Image.open(run.evaluation / name) as picture:
            assert min(picture.size) > 200


def test_it_scores_what_the_run_stored(metrics, oof):
    right = oof["probabilities"].argmax(axis=1) == demo().targets
    assert metrics["accuracy"] == pytest.approx(right.mean())
    assert metrics["mistakes"] == (~right).sum() > 20
    assert metrics["rows"] == 1078
    assert metrics["accuracy_interval"][0] < right.mean() < metrics["accuracy_interval"][1]
    assert metrics["data"] == {"name": "demo", "train": demo().fingerprint, "test": demo().test_fingerprint}
    scaled = metrics["calibration"]["stages"][evaluate.SCALED]
    assert scaled["mean_confidence"] == pytest.approx(oof["probabilities"].max(axis=1).mean())
    assert scaled["log_loss"] == pytest.approx(scores.log_loss(oof["probabilities"], demo().targets))


def test_every_digit_is_scored(run, metrics, oof):
    chosen, labels = oof["probabilities"].argmax(axis=1), demo().train_labels
    lines = _lines(run, "digits.csv")
    assert [int(line["digit"]) for line in lines] == list(range(10))
    for line, digit in zip(lines, metrics["digits"], strict=True):
        own, said = labels == digit["digit"], chosen == digit["digit"]
        assert digit["recall"] == pytest.approx((own & said).sum() / own.sum())
        assert digit["precision"] == pytest.approx((own & said).sum() / said.sum())
        assert float(line["recall"]) == pytest.approx(digit["recall"], abs=1e-6)
        assert float(line["f1_low"]) < float(line["f1"]) < float(line["f1_high"])
    pairs = [pair["rows"] for pair in metrics["confused"]]
    assert pairs == sorted(pairs, reverse=True)
    assert sum(pairs) == metrics["mistakes"]


def test_every_mistake_is_listed_the_most_confident_first(run, metrics, oof):
    lines = _lines(run, "mistakes.csv")
    chances = oof["probabilities"]
    wrong = np.flatnonzero(chances.argmax(axis=1) != demo().targets)
    assert sorted(int(line["row"]) for line in lines) == wrong.tolist()
    confidences = [float(line["first_probability"]) for line in lines]
    assert confidences == sorted(confidences, reverse=True)
    for line in lines:
        order = np.argsort(chances[int(line["row"])])[::-1]
        assert (int(line["first"]), int(line["second"])) == (order[0], order[1])
        assert int(line["label"]) == demo().train_labels[int(line["row"])]
        assert float(line["second_probability"]) == pytest.approx(chances[int(line["row"]), order[1]], abs=1e-6)
        assert float(line["member_agreement"]) in (0, 0.25, 0.5, 0.75, 1)


def test_temperatures_mend_what_was_too_sure_or_too_modest(metrics):
    before, _, after = metrics["calibration"]["stages"].values()
    assert before["ece"] > 0.05
    assert after["ece"] < before["ece"] / 3
    assert after["log_loss"] < before["log_loss"]
    assert sum(after["reliability"]["rows"]) == 1078
    assert metrics["calibration"]["cross_fitted"]
    assert set(metrics["calibration"]["temperatures"]["architectures"]) == {"small", "mlp"}


def test_what_the_ensemble_rescued_and_spoilt(run, metrics, oof):
    chosen = oof["probabilities"].argmax(axis=1)
    targets = demo().targets
    together = chosen == targets
    counted = dict.fromkeys(("rescued", "spoilt"), 0)
    any_right = np.zeros(len(targets), bool)
    for member in runs.members(run.config()):
        own = arrays.read(run.member(member) / "oof.npz")
        alone = own["logits"].argmax(axis=1) == targets[own["rows"]]
        any_right[own["rows"]] |= alone
        found = metrics["rescued"]["members"][member.name]
        assert found["mistakes"] == (~alone).sum()
        assert found["rescued"] == (together[own["rows"]] & ~alone).sum()
        assert found["spoilt"] == (alone & ~together[own["rows"]]).sum()
        counted = {name: count + found[name] for name, count in counted.items()}
    of_architectures = metrics["rescued"]["architectures"]
    assert list(of_architectures) == ["small-s0", "small-s1", "mlp-s0", "mlp-s1"]
    assert all(of["rows"] == 1078 for of in of_architectures.values())
    assert {name: sum(of[name] for of in of_architectures.values()) for name in counted} == counted
    assert counted["rescued"] > 0
    assert metrics["rescued"]["all_wrong"] == (~any_right).sum()
    assert metrics["rescued"]["mistakes_with_a_member_right"] == (any_right & ~together).sum()


def test_how_far_the_members_agree(run, metrics):
    members = runs.members(run.config())
    assert sorted(metrics["agreement"]["test"]["members"]) == sorted(member.name for member in members)
    choices = {member.name: arrays.read(run.member(member) / "test.npz")["logits"].argmax(axis=1) for member in members}
    names = metrics["agreement"]["test"]["members"]
    shares = np.array(metrics["agreement"]["test"]["shares"])
    assert shares[0, 5] == pytest.approx((choices[names[0]] == choices[names[5]]).mean())
    assert metrics["agreement"]["test"]["mean"] == pytest.approx(shares[np.triu_indices(12, 1)].mean())
    assert len(metrics["agreement"]["out_of_fold"]["members"]) == 4


def test_coverage(metrics, oof):
    confidence = oof["probabilities"].max(axis=1)
    right = oof["probabilities"].argmax(axis=1) == demo().targets
    found = metrics["coverage"]
    judged = confidence >= found["threshold"]
    assert judged.mean() == pytest.approx(found["coverage"])
    assert right[judged].mean() >= found["promised_accuracy"] == 0.999
    assert found["nearly_all"] == pytest.approx(0.99, abs=1e-3)
    surest = np.argsort(-confidence)[: round(found["nearly_all"] * 1078)]
    assert found["accuracy_of_nearly_all"] == pytest.approx(right[surest].mean())
    assert 0 < found["cross_fitted"]["coverage"] < 1


def test_the_same_run_gives_the_same_metrics_and_nothing_old_stays(run, metrics):
    (run.evaluation / "older.png").write_bytes(b"")
    again = _evaluate(run)
    assert not (run.evaluation / "older.png").exists()
    assert again | {"seconds": 0} == metrics | {"seconds": 0}


def test_what_it_prints(run, said):
    for words in ("95 % interval of F1", "OOF accuracy", "most often confused", "calibration error (ECE)", "rescued"):
        assert words in said
    assert f"Written: {run.evaluation}" in said.splitlines()[-1]


def test_votes_make_the_choices_and_probabilities_their_confidence(run, tmp_path):
    run = Run(shutil.copytree(run.folder, tmp_path / "voting"))
    settings = run.adapted(["ensemble.rule=vote"])
    members = [logits.load(run, member) for member in runs.members(settings)]
    members = logits.calibrate(members, demo().targets).members
    (_, votes), (_, beliefs) = (logits.out_of_fold(members, rule) for rule in ("vote", "mean"))
    chosen = votes.argmax(axis=1)
    assert (chosen != beliefs.argmax(axis=1)).any()
    record = evaluate.run(run)
    assert record["rule"] == "vote"
    assert record["accuracy"] == pytest.approx((chosen == demo().targets).mean())
    scaled = record["calibration"]["stages"][evaluate.SCALED]
    assert scaled["mean_confidence"] == pytest.approx(beliefs[np.arange(1078), chosen].mean())


def test_one_member_of_one_fold(tmp_path):
    run = finish(tmp_path / "limited", demo(), limit=1)
    metrics = _evaluate(run)
    assert metrics["members"] == 1
    assert metrics["rows"] < 500
    assert not metrics["calibration"]["cross_fitted"]
    assert metrics["coverage"]["cross_fitted"] is None
    assert metrics["agreement"]["test"]["mean"] is None
    assert "nothing to rescue" in metrics["captions"]["rescued.png"]
    before, *later = (of["ece"] for of in metrics["calibration"]["stages"].values())
    assert later == pytest.approx([before, before])


def test_no_mistake_at_all(tmp_path):
    run = finish(tmp_path / "perfect", demo())
    _replace_logits(run, lambda rows, _: 20 * np.eye(10)[demo().targets[rows]])
    metrics = _evaluate(run)
    assert metrics["accuracy"] == 1
    assert metrics["coverage"]["coverage"] == 1
    assert metrics["confused"] == []
    assert _lines(run, "mistakes.csv") == []
    assert "no row is wrong" in metrics["captions"]["coverage.png"]
    assert {path.stem for path in run.evaluation.glob("*.png")} == PNG


def test_a_class_with_few_rows_and_one_that_nobody_chooses(tmp_path):
    whole = demo()
    kept = np.flatnonzero((whole.train_labels != 7) | (np.cumsum(whole.train_labels == 7) <= 3))
    few = dataclasses.replace(
        whole, train_images=whole.train_images[kept], train_labels=whole.train_labels[kept], test_labels=None
    )
    run = finish(tmp_path / "few", few, limit=1)
    _replace_logits(run, lambda rows, said: np.where(np.arange(10) == 7, -20, said))
    record = evaluate.run(run)
    seven = record["digits"][7]
    assert seven["support"] <= 3
    assert seven["precision"] is None
    assert seven["precision_interval"] == [0, 1]
    assert "NaN" not in (run.evaluation / "metrics.json").read_text()
    assert _lines(run, "digits.csv")[7]["precision"] == ""


def _replace_logits(run: Run, change) -> None:
    """Give every member other out-of-fold logits: a function of the rows and what it said."""
    for member in runs.members(run.config()):
        folder = run.member(member)
        oof = arrays.read(folder / "oof.npz")
        arrays.write(folder / "oof.npz", **oof | {"logits": change(oof["rows"], oof["logits"]).astype(np.float32)})
        (folder / "member.json").unlink()
        records.seal(folder, {"seconds": 1.0})


def test_a_run_that_is_not_finished_says_how_to_finish_it(tmp_path):
    run = finish(tmp_path / "half", demo())
    settings = run.config()
    (run.member(runs.members(settings)[1]) / "oof.npz").unlink()
    with pytest.raises(UserError, match=r"small-s0-f1 of run .* is missing or damaged"):
        evaluate.run(run)
    run.oof.unlink()
    with pytest.raises(UserError, match="is not finished; finish it: make submit RUN=half"):
        evaluate.run(run)
    assert not run.evaluation.exists()


@pytest.mark.parametrize(("field", "kind"), [("train_images", "training"), ("test_images", "test")])
def test_rows_of_another_table_are_refused(run, field, kind):
    other = dataclasses.replace(demo(), **{field: 255 - getattr(demo(), field)})
    with pytest.raises(UserError, match=f"made from other {kind} rows"):
        evaluate.run(run)


def test_tensorflow_stays_out(run):
    script = (
        "import sys; from pathlib import Path; from digits.data.demo import demo; from digits.runs import Run\n"
        "from digits.stages.evaluate import stage\n"
        f"run = Run(Path({str(run.folder)!r})); stage.run(run.config(), demo(), run)\n"
        "print(sorted({'tensorflow', 'keras', 'albumentations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


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
                said = size * (2 * np.eye(4)[self.targets[rows]] + draw.normal(size=(len(rows), 4)))
                made.append(Logits(Member(architecture, 0, fold), rows, said, draw.normal(size=(9, 4))))
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
        for mine, theirs in zip(before[:2], after[:2], strict=True):
            assert mine[fold] == theirs[fold]
            assert all(mine[other] != theirs[other] for other in range(3) if other != fold)
        assert before[2] != after[2]
        assert before[3] != after[3]

    def test_the_other_folds_alone_decide(self):
        by_fold, _, overall, _ = self.temperatures(self.targets)
        others = [of for of in self.members() if of.member.fold != 0 and of.member.architecture == "mlp"]
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
        alone = [of for of in self.members() if of.member.fold == 0]
        calibrated = logits.calibrate(alone, self.targets)
        assert calibrated.by_fold == {0: {"small": 1.0, "mlp": 1.0}}
        assert logits.ensemble_temperatures(alone, calibrated, self.targets)[0] == {0: 1.0}
        assert np.allclose(calibrated.members[0].oof, alone[0].oof)


def test_the_ensemble_is_the_one_that_was_stored(run, oof):
    """The out-of-fold probabilities are those of the softmaxes, by hand."""
    members = [logits.load(run, member) for member in runs.members(run.config())]
    folds = data.assign(demo().train_images, demo().train_labels, 3, run.config().seed)
    by_fold = logits.calibrate(members, demo().targets).by_fold
    place = int(np.flatnonzero(folds == 1)[7])
    said = [
        softmax(of.oof[of.rows == place][0] / by_fold[1][of.member.architecture])
        for of in members
        if of.member.fold == 1
    ]
    assert len(said) == 4
    assert oof["probabilities"][place] == pytest.approx(np.mean(said, axis=0), abs=1e-6)
