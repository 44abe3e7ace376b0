"""`make publish`, on a short run of the demo set."""

import csv
import json
import shutil
from pathlib import Path

import pytest

import publish
from command import answer, refuse
from digits.data.demo import demo
from digits.files import records
from digits.runs import Run
from digits.stages import submit
from finished_run import forge
from results_table import FILES, problems

MEMBERS = ["mlp-s0-f0", "mlp-s0-f1"]


@pytest.fixture
def run(trained_run_copy) -> Run:
    return trained_run_copy


def _options(run: Run) -> tuple[str | Path, ...]:
    return ("--output", run.folder.parent, "--run", run.folder.name)


def _publish(run: Run, *more: str) -> str:
    return answer(*_options(run), *more, app=publish.app)


def _published(run: Run, name: str = "trained") -> Path:
    return run.folder.parent / "published" / name


def _metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_three_files_are_written_and_agree(run):
    text = _publish(run).strip()
    folder = _published(run)
    assert "\n" not in text
    assert f"{folder}/ (submission.csv, metrics.json, epochs.csv) of run trained, 2 of 2 members, on demo" in text
    assert "Commit" in text
    assert [path.name for path in folder.parent.iterdir()] == ["trained"]
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert problems(folder, len(demo().test_images), list(range(10))) == []
    assert (folder / "submission.csv").read_bytes() == run.submission.read_bytes()


def test_the_metrics_say_where_they_come_from(run):
    _publish(run)
    published, record = _metrics(_published(run)), records.read_json(run.origin)
    assert records.read_json(run.metrics).items() <= published.items()
    assert "checksum" not in published
    for key in ("config", "data", "versions"):
        assert published[key] == record[key]
    assert published["machine"].keys() == {"system", "processor", "cores", "onednn"}
    assert record["machine"]["system"].startswith(published["machine"]["system"])
    assert "-" not in published["machine"]["system"]
    assert (published["run"], published["members"], published["members_planned"]) == ("trained", 2, 2)
    for member, entry in zip(run.members, published["member_records"], strict=True):
        sealed = records.read_json(run.member(member) / "member.json")
        identity = (entry["member"], entry["architecture"], entry["seed"], entry["fold"])
        assert identity == (member.name, "mlp", 0, member.fold)
        assert all(entry[key] == sealed[key] for key in ("seconds", "processor", "precision"))
        assert not {"sha256", "versions"} & entry.keys()


def test_the_epochs_are_those_of_every_member(run):
    _publish(run)
    with (_published(run) / "epochs.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    expected = []
    for name in MEMBERS:
        with (run.folder / "members" / name / "history.csv").open(newline="") as file:
            columns, *epochs = csv.reader(file)
        assert header == ["member", *columns]
        expected += [[name, *epoch] for epoch in epochs]
    assert lines == expected
    assert len(lines) == 16


def test_twice_gives_the_same_bytes_and_leaves_nothing_else(run):
    _publish(run)
    folder = _published(run)
    before = {name: (folder / name).read_bytes() for name in FILES}
    (folder / "of_an_earlier_version.txt").touch()
    (folder.parent / ".tmp-trained").mkdir()  # as a killed call leaves it
    (folder.parent / ".tmp-trained/half.txt").touch()
    _publish(run)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["trained"]


def test_the_folder_may_have_another_name(run):
    _publish(run, "--name", "fast")
    assert sorted(path.name for path in _published(run, "fast").iterdir()) == FILES
    assert _metrics(_published(run, "fast"))["run"] == "trained"
    assert not _published(run).exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _relabel(run: Run) -> None:
    lines = run.submission.read_text().splitlines()
    lines[1] = f"1,{(int(lines[1][-1]) + 1) % 10}"
    run.submission.write_text("\n".join(lines) + "\n")


def _leave_history_without_a_column(run: Run) -> None:
    folder = run.folder / "members" / MEMBERS[1]
    lines = (folder / "history.csv").read_text().splitlines()
    (folder / "history.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    record = records.read_json(folder / "member.json")
    records.seal(folder, {key: value for key, value in record.items() if key != "sha256"})


UNFIT = {
    "no metrics": (lambda run: run.metrics.unlink(), "is not finished, 2 of 2 members are trained"),
    "no member": (lambda run: shutil.rmtree(run.folder / "members"), "is not finished, it has no trained member"),
    "cut metrics": (lambda run: _cut(run.metrics), "metrics.json: damaged"),
    "a metric missing": (
        lambda run: forge(run.metrics, lambda values: values.pop("oof_accuracy_std")),
        "metrics.json: damaged",
    ),
    "infinite metric": (
        lambda run: forge(run.metrics, lambda values: values.update(oof_log_loss=float("inf"))),
        "infinite",
    ),
    "another score": (
        lambda run: forge(run.metrics, lambda values: values.update(oof_accuracy=0.9999)),
        "not agree with oof",
    ),
    "interval without score": (
        lambda run: forge(run.metrics, lambda values: values.update(predicted_low=1.0)),
        "not agree",
    ),
    "a member too few": (lambda run: shutil.rmtree(run.folder / "members" / MEMBERS[1]), "but the run holds 1"),
    "damaged member": (lambda run: _cut(run.folder / "members" / MEMBERS[1] / "model.keras"), "missing or damaged"),
    "damaged history": (lambda run: _cut(run.folder / "members" / MEMBERS[0] / "history.csv"), "missing or damaged"),
    "another history": (_leave_history_without_a_column, "has other columns than the history of mlp-s0-f0"),
    "no submission": (lambda run: run.submission.unlink(), "has no submission.csv"),
    "empty submission": (lambda run: run.submission.write_text(""), "not valid: the file is empty"),
    "cut submission": (lambda run: _cut(run.submission), "not valid"),
    "another label": (_relabel, "1 labels are not those of run 'trained'"),
    "damaged probabilities": (lambda run: _cut(run.test), "test.npz: missing or damaged"),
    "other data": (
        lambda run: forge(run.origin, lambda values: values["data"].update(test="0")),
        "of other rows than run.json",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_run_that_is_not_fit_is_one_line_and_leaves_what_was_published(name, run):
    make_unfit, words = UNFIT[name]
    earlier = _published(run)
    earlier.mkdir(parents=True)
    (earlier / "metrics.json").write_text("{}")
    make_unfit(run)
    assert words in refuse(*_options(run), app=publish.app)
    assert [path.name for path in earlier.parent.iterdir()] == ["trained"]
    assert [path.read_text() for path in earlier.iterdir()] == ["{}"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--run", "none"), "there is no run"),
        ((), "default; make it: make submit RUN=default"),
        (("--run", "../x"), "use letters, digits"),
        (("--run", "published"), "predictions, published, submission.csv"),
        (("--run", "trained", "--name", "../x"), "use letters, digits"),
    ],
)
def test_a_wrong_name_is_one_line(arguments, words, tmp_path):
    assert words in refuse("--output", tmp_path, *arguments, app=publish.app)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_some_members_is_published_only_where_its_metrics_say_so(run):
    first, second = run.members
    shutil.rmtree(run.member(second))
    submit.run(run, {"train": 1.0}, [first])
    forge(run.metrics, lambda values: values.pop("members_planned", None))
    assert "of 1 members of 2, but members_planned does not say so" in refuse(*_options(run), app=publish.app)
    forge(run.metrics, lambda values: values.update(members_planned=2))
    assert "1 of 2 members" in _publish(run)
    published = _metrics(_published(run))
    assert (published["members"], published["members_planned"], len(published["member_records"])) == (1, 2, 1)
    assert problems(_published(run), len(demo().test_images), list(range(10))) == []


def test_what_json_does_not_know_becomes_null(run):
    forge(run.metrics, lambda values: values.update(oof_log_loss=float("nan")))
    _publish(run)
    assert _metrics(_published(run))["oof_log_loss"] is None
    assert "NaN" not in (_published(run) / "metrics.json").read_text()
