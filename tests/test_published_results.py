"""What is committed under `output/published/`, and the README's table of results against it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from command import ROOT
from results_table import disagreements, problems, table

PUBLISHED = ROOT / "output/published"
FOLDERS = sorted(PUBLISHED.glob("[!.]*"))  # none in a clone of a state before the first was published
TEST_ROWS, CLASSES = 28_000, list(range(10))  # of Digit Recognizer

METRICS = {
    "oof_accuracy": 0.99617,
    "oof_accuracy_std": 0.00114,
    "predicted_score": 0.99644,
    "predicted_low": 0.99553,
    "predicted_high": 0.99727,
    "seconds": {"read": 1.0, "train": 2899.0, "submit": 40.0},
}
LINKED = "[`one`](output/published/one/): 2 networks"
SHOWN = ("0.9962 ± 0.0011", "0.9964 [0.9955, 0.9973]", "49 min")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_files_of_a_published_run_agree(folder):
    assert problems(folder, TEST_ROWS, CLASSES) == []


def test_the_readmes_table_agrees_with_the_published_runs():
    assert disagreements((ROOT / "README.md").read_text(encoding="utf-8"), PUBLISHED) == []


def test_every_row_of_the_readmes_table_is_a_config():
    rows = [(row.config, row.folder) for row in table((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert rows
    assert [name for name, _ in rows if not (ROOT / "configs" / f"{name}.yaml").exists()] == []
    assert len(set(rows)) == len(rows)  # a config may have a whole run of before and a published, shorter one


def _readme(*rows: tuple[str, ...]) -> str:
    """A README with these rows, and a table behind it that is another matter."""
    header = ("config", "out-of-fold accuracy", "predicted leaderboard score", "time, 2 cores, no GPU")
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ("---",) * 4, *rows)]
    return "\n".join(
        ["# Title", "", *lines, "", "| a | [`two`](output/published/two/) |", "|---|---|", "| 1 | 2 |", ""]
    )


@pytest.fixture
def published(tmp_path) -> Path:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/metrics.json").write_text(json.dumps(METRICS))
    return tmp_path


@pytest.mark.parametrize(
    "rows",
    [
        [(LINKED, *SHOWN)],
        [(LINKED, *SHOWN), ("`two`: not published yet", "0.9 ± 0.1", "0.9 [0.8, 1.0]", "1 min")],
        [(LINKED, "**0.996 ± 0.001**", "0.99644 [0.99553, 0.99727]", "see below")],
        [("[`one`](output/published/one)", "0.9962 ± 0.0011", "0.9964 [0.9955, 0.9973]", "0 h 49 min")],
    ],
)
def test_a_table_that_agrees(published, rows):
    assert disagreements(_readme(*rows), published) == []


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((LINKED, "0.9963 ± 0.0011", *SHOWN[1:]), "oof_accuracy is 0.9962, the table shows 0.9963"),
        ((LINKED, "0.9962 ± 0.0012", *SHOWN[1:]), "oof_accuracy_std is 0.0011"),
        ((LINKED, "0.9962, one fold", *SHOWN[1:]), "oof_accuracy_std is 0.0011"),
        ((LINKED, "about 0.9962", *SHOWN[1:]), "'about 0.9962' is not of the form"),
        ((LINKED, SHOWN[0], "0.9964 [0.9955, 0.9974]", SHOWN[2]), "predicted_high is 0.9973"),
        ((LINKED, *SHOWN[:2], "50 min"), "took 49 min, the table shows 50 min"),
        ((LINKED, *SHOWN[:2], "1 h 49 min"), "took 49 min, the table shows 1 h 49 min"),
        ((LINKED.replace("`one`", "`two`"), *SHOWN), "the link to it is named two"),
        (("`one`: 2 networks", *SHOWN), "one: published, but not linked in the table"),
    ],
)
def test_a_table_that_does_not_agree(published, row, words):
    found = disagreements(_readme(row), published)
    assert len(found) == 1
    assert words in found[0]


def test_a_link_to_what_is_not_published(published):
    rows = (LINKED, *SHOWN), ("[`two`](output/published/two/)", *SHOWN)
    assert disagreements(_readme(*rows), published) == ["two: linked in the table, but not published"]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_of_output_git_takes_the_published_files_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    shutil.copy(ROOT / ".gitignore", tmp_path)
    committed = ["output/.gitkeep", *(f"output/published/one/{name}" for name in ("epochs.csv", "submission.csv"))]
    others = ["output/submission.csv", "output/one/metrics.json", "output/one/published/metrics.json"]
    others += ["output/published/.tmp-one/metrics.json", "output/cache/rows.npz"]
    for name in (*committed, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    command = ["git", "-C", tmp_path, "ls-files", "--others", "--exclude-standard", "output"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == committed
