"""Whose labels judge a submission, on small runs and with the small ensemble that comes along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from command import REAL_DATA, ROOT, call
from digits.data import Dataset, submission
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import RunFolder
from digits.stages import validate
from digits.stages.predict import exported

CLASSES = np.arange(4)
DRAW = np.random.default_rng(0)
IMAGES = DRAW.integers(0, 256, (400, 3, 3, 1), dtype=np.uint8)
TRUTH = DRAW.integers(0, 4, 400)
DATASET = Dataset("made", "made here", IMAGES[:20], np.arange(20) % 4, IMAGES)


def never() -> exported.Ensemble:
    pytest.fail("the pretrained ensemble was asked though it was not needed")


def small_ensemble() -> exported.Ensemble:
    return exported.load(exported.PRETRAINED)


def flawed(accuracy: float) -> np.ndarray:
    """Labels of which this share is right."""
    return np.where(np.arange(400) < 400 * accuracy, TRUTH, (TRUTH + 1) % 4)


def add_run(output: Path, name: str, labels: np.ndarray, accuracy: float, **changed: np.ndarray) -> RunFolder:
    """A run that chose these labels; without other members than what judges a submission."""
    run = RunFolder(output / name)
    run.folder.mkdir(parents=True)
    stored = {"probabilities": np.eye(4)[labels], "classes": CLASSES, "fingerprint": DATASET.test_fingerprint} | changed
    arrays.write(run.test, **{key: np.asarray(value) for key, value in stored.items()})
    records.write_json(run.metrics, {"oof_accuracy": accuracy})
    submission.write(run.submission, np.eye(4)[labels], CLASSES)
    return run


def write(path: Path, labels: np.ndarray) -> Path:
    submission.write(path, np.eye(10)[labels], np.arange(10))
    return path


@pytest.fixture
def judge(tmp_path, capsys) -> Callable[..., str]:
    """What is printed of these labels, judged by the runs in `tmp_path`."""

    def judge(labels: np.ndarray, named: RunFolder | None = None) -> str:
        validate.run(write(tmp_path / "some.csv", labels), DATASET, tmp_path, named, small_ensemble)
        return capsys.readouterr().out

    return judge


def test_true_labels_are_valid_by_a_weak_run(tmp_path, judge):
    add_run(tmp_path, "weak", flawed(0.42), 0.42)
    assert judge(TRUTH).splitlines() == [
        f"{tmp_path}/some.csv: note: agrees with run 'weak' on 42.00% of the rows; it is right in about 42.0%",
        f"{tmp_path}/some.csv: valid",
    ]
    assert "probably in another order" in judge(np.random.default_rng(1).permutation(TRUTH))


def test_the_best_run_judges_and_not_the_newest(tmp_path, judge):
    add_run(tmp_path, "strong", flawed(0.99), 0.99)
    add_run(tmp_path, "weak", flawed(0.42), 0.42)
    assert "agrees with run 'strong' on 99.00%" in judge(TRUTH)
    assert "agrees with run 'weak' on 42.00%" in judge(TRUTH, RunFolder(tmp_path / "weak"))


def test_a_good_run_is_enough(tmp_path):
    add_run(tmp_path, "strong", flawed(0.99), 0.99)
    assert validate.run(write(tmp_path / "some.csv", TRUTH), DATASET, tmp_path, None, never).valid


def test_a_copy_of_a_weak_runs_file_is_no_mistake(tmp_path, judge):
    """`output/submission.csv` is a copy of the newest one."""
    add_run(tmp_path, "strong", flawed(0.99), 0.99)
    weak = flawed(0.3)
    assert "NOT valid" in judge(weak)
    add_run(tmp_path, "weak", weak, 0.3)
    text = judge(weak)
    assert "agrees with run 'weak' on 100.00% of the rows" in text
    assert "NOT valid" not in text


def test_an_own_file_is_judged_by_its_run_alone(tmp_path, capsys):
    add_run(tmp_path, "strong", flawed(0.99), 0.99)
    own = add_run(tmp_path, "weak", flawed(0.3), 0.3).submission
    assert validate.run(own, DATASET, tmp_path, None, never).valid
    write(own, flawed(0.29))
    assert not validate.run(own, DATASET, tmp_path, None, never).valid
    assert "4 labels are not those of run 'weak', the first at ImageId 117" in capsys.readouterr().out


def test_an_own_file_in_another_order_is_not_valid(tmp_path, capsys):
    own = add_run(tmp_path, "one", TRUTH, 0.99).submission
    header, *lines = own.read_text().splitlines()
    own.write_text("\n".join([header, *reversed(lines)]))
    assert not validate.run(own, DATASET, tmp_path, None, never).valid
    assert "not in the order in which run 'one' writes them" in capsys.readouterr().out


UNFIT = {
    "other rows": ({"fingerprint": "another"}, "was made from other test rows; give the same DATA="),
    "fewer rows": ({"probabilities": np.eye(4)}, "was made from other test rows; give the same DATA="),
    "other labels": ({"classes": CLASSES + 1}, "was made with other labels; give the same DATA="),
    "damaged": ({"probabilities": np.full((400, 4), np.nan)}, "make it whole: make submit RUN=newest"),
}


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_run_of_other_rows_or_labels_is_no_reference(tmp_path, judge, unfit):
    add_run(tmp_path, "one", flawed(0.9), 0.9)
    changed, words = UNFIT[unfit]
    run = add_run(tmp_path, "newest", TRUTH, 0.99, **changed)
    assert "agrees with run 'one' on 90.00%" in judge(TRUTH)
    with pytest.raises(UserError, match=words):
        judge(TRUTH, run)


def test_a_run_without_a_score_is_no_reference(tmp_path, judge):
    add_run(tmp_path, "one", flawed(0.9), 0.9)
    run = add_run(tmp_path, "unfinished", TRUTH, 0.99)
    run.metrics.unlink()
    assert "agrees with run 'one' on 90.00%" in judge(TRUTH)
    with pytest.raises(UserError, match=r"metrics\.json: No such file"):
        judge(TRUTH, run)


class TestWithoutARun:
    def judged(self, folder: Path, labels: np.ndarray, dataset: Dataset) -> submission.Verdict:
        return validate.run(write(folder / "some.csv", labels), dataset, folder, None, small_ensemble)

    def test_the_small_ensemble_judges_digits(self, tmp_path):
        dataset = demo()
        verdict = self.judged(tmp_path, dataset.test_labels, dataset)
        assert verdict.valid
        assert "agrees with the small ensemble that comes along on 9" in verdict.remarks[0]
        shuffled = np.random.default_rng(0).permutation(dataset.test_labels)
        done = call("validate", write(tmp_path / "some.csv", shuffled), "--data", "demo", "--output", tmp_path)
        assert done.exit_code == 2
        assert "probably in another order" in done.stdout

    def test_it_judges_where_the_best_run_is_mostly_wrong(self, tmp_path):
        """Chance alone agrees with a network of a few steps, in whatever order."""
        dataset = demo()
        zeros = np.zeros_like(dataset.test_labels)
        stored = {"probabilities": np.eye(10)[zeros], "classes": dataset.classes}
        add_run(tmp_path, "poor", zeros, 0.1, **stored, fingerprint=dataset.test_fingerprint)
        shuffled = np.random.default_rng(0).permutation(dataset.test_labels)
        assert "the small ensemble" in self.judged(tmp_path, shuffled, dataset).problems[0]

    @pytest.mark.parametrize(
        ("relabelled", "size"),
        [
            pytest.param(lambda labels: (labels + 3) % 10, 28, id="ten classes that are no digits"),
            pytest.param(lambda labels: labels % 5, 28, id="five classes"),
            pytest.param(lambda labels: labels, 20, id="smaller images"),
        ],
    )
    def test_it_does_not_judge_what_it_does_not_know(self, tmp_path, relabelled, size):
        digits = demo()
        train, test = (images[:, :size, :size] for images in (digits.train_images, digits.test_images))
        other = Dataset("other", "made here", train, relabelled(digits.train_labels), test)
        verdict = self.judged(tmp_path, digits.test_labels % 5, other)
        assert verdict.remarks == ["no run on these test rows is there, so the order of the rows was not checked"]

    def test_a_file_that_is_not_valid_anyway_is_not_predicted(self, tmp_path):
        (tmp_path / "some.csv").write_text("ImageId,Label\n")
        assert not validate.run(tmp_path / "some.csv", DATASET, tmp_path, None, never).valid

    @pytest.mark.skipif(not REAL_DATA.exists(), reason="needs the competition's zip in ../shared")
    def test_a_scrambled_file_is_found_in_a_fresh_clone(self, tmp_path):
        published = ROOT / "output/published/fast/submission.csv"
        options = ("--data", REAL_DATA, "--output", tmp_path)
        done = call("validate", published, *options)
        assert done.exit_code == 0
        assert "agrees with the small ensemble that comes along on" in done.stdout
        header, *lines = published.read_text().splitlines()
        labels = [line.split(",")[1] for line in lines]
        scrambled = [f"{row},{label}" for row, label in enumerate([*labels[1:], labels[0]], start=1)]
        (tmp_path / "some.csv").write_text("\n".join([header, *scrambled]))
        done = call("validate", tmp_path / "some.csv", *options)
        assert done.exit_code == 2
        assert "probably in another order" in done.stdout
