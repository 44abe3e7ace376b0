"""`make push` and `make submit-kaggle`, with a `kaggle` command made for the test."""

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

import kaggle_command
from command import ROOT, complain, succeed
from digits.competition import COMPETITION
from digits.data.demo import demo
from digits.data.submission import write
from digits.files import arrays, records
from digits.runs import Run
from digits.stages.kaggle import upload
from finished_run import finish
from kaggle_command import COMPLETE

METADATA = json.loads((ROOT / "configs/kernel-metadata.json").read_text())
MINE = METADATA | {"id": METADATA["id"].replace("YOUR-NAME", "somebody"), "code_file": "kaggle_kernel.py"}


@pytest.fixture
def kaggle(tmp_path):
    """The environment in which `kaggle` prints its arguments and then runs some lines of Python."""

    def install(*lines: str) -> dict[str, str]:
        command = tmp_path / "bin/kaggle"
        command.parent.mkdir(exist_ok=True)
        command.write_text("\n".join([f"#!{sys.executable}", "import sys", "print(sys.argv[1:])", *lines]))
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
        return os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}"}

    return install


@pytest.fixture
def metadata(tmp_path) -> Path:
    (tmp_path / "kaggle_kernel.py").write_text("print(1)")
    path = tmp_path / "kernel-metadata.json"
    path.write_text(json.dumps(MINE))
    return path


def test_the_metadata_say_all_that_matters():
    assert {key: METADATA[key] for key in upload.NEEDED} == upload.NEEDED
    assert METADATA["is_private"] is True
    assert METADATA["enable_gpu"] is True
    assert METADATA["machine_shape"] == "NvidiaTeslaT4"
    assert (ROOT / "configs" / METADATA["code_file"]).resolve() == ROOT / "kaggle_kernel.py"


def test_push_shows_the_command_and_runs_it(metadata, kaggle):
    done = "Kernel version 1 successfully pushed.  Please check progress at https://www.kaggle.com/code/mirror-error/x"
    printed = succeed("push", metadata, env=kaggle(f"print({done!r})"))
    assert f"kaggle kernels push -p {metadata.parent}" in printed
    assert done in printed
    assert "Next: make submit-kaggle" in printed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": METADATA["id"]}, "your Kaggle user name"),
        ({"id": "somebody/another-name"}, "/digit-recognizer-honest-ensemble"),
        ({"enable_internet": True}, "enable_internet"),
        ({"competition_sources": []}, "competition_sources"),
        ({"code_file": "other.py"}, "make kernel"),
        ({"title": 3}, "needs an id"),
    ],
)
def test_metadata_that_would_not_work_are_refused(metadata, kaggle, change, words):
    metadata.write_text(json.dumps(MINE | change))
    assert words in complain("push", metadata, env=kaggle())


def test_the_projects_own_metadata_ask_for_a_name(kaggle):
    assert "YOUR-NAME" in complain("push", env=kaggle())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sys.exit('401 Client Error: Unauthorized')", "credentials"),
        ("print('Kernel push error: Maximum batch GPU session count of 2 reached.')", "GPU session count"),
        (
            "print('The following are not valid competition sources and could not be added to the kernel: ' + "
            "str(['digit-recognizer']) + chr(10) + 'Kernel version 1 successfully pushed.')",
            "it will find no data; accept the rules at https://www.kaggle.com/competitions/digit-recognizer/rules",
        ),
    ],
)
def test_what_kaggle_refuses_is_said_in_a_line(metadata, kaggle, line, words):
    assert words in complain("push", metadata, env=kaggle(line))


def test_without_the_command_it_says_how_to_get_it(metadata, tmp_path):
    assert "pip install kaggle" in complain("push", metadata, env=os.environ | {"PATH": str(tmp_path)})


@pytest.fixture
def run(tmp_path) -> Run:
    """A run as if it had been made on the competition's data."""
    data = demo()
    made = finish(tmp_path / "output/mine", data)
    record = records.read_json(made.folder / "run.json")
    record["data"]["name"] = "digit-recognizer"
    records.write_json(made.folder / "run.json", record)
    records.write_json(made.metrics, {"members": 3, "oof_accuracy": 0.98123, "predicted_score": 0.98234})
    chances = np.resize(arrays.read(made.oof)["probabilities"], (COMPETITION.rows[1], len(data.classes)))
    fingerprint = np.array(data.test_fingerprint)  # as every finished run has it
    arrays.write(made.test, probabilities=chances, classes=data.classes, fingerprint=fingerprint)
    write(made.submission, chances, data.classes)
    return made


def _submit(run: Run) -> tuple:
    return ("submit-kaggle", "--output", run.folder.parent, "--run", run.folder.name)


def test_a_submission_goes_with_what_it_is(run, tmp_path):
    printed = succeed(*_submit(run), env=kaggle_command.install(tmp_path / "bin", [(COMPLETE, "0.97")]))
    mark = f"file {records.checksum(run.submission)[:8]}"
    assert f"-f {run.submission} -m 'mine: 3 members, OOF 0.98123, predicted 0.98234, {mark}'" in printed
    assert "Successfully submitted" in printed
    assert records.read_json(run.metrics)["kaggle_score"] == 0.97


def test_a_submission_that_was_changed_is_not_sent(run, kaggle):
    run.submission.write_text(run.submission.read_text().replace("\n1,", "\n2,", 1))
    assert "not valid" in complain(*_submit(run), env=kaggle())


def test_other_labels_than_the_runs_are_not_sent(run, kaggle):
    lines = run.submission.read_text().splitlines()
    lines[1] = f"1,{(int(lines[1][-1]) + 1) % 10}"
    run.submission.write_text("\n".join(lines) + "\n")
    assert "not those of run 'mine'" in complain(*_submit(run), env=kaggle())


@pytest.mark.parametrize("competition", [(), ("--competition", "any")])
def test_the_demo_set_is_not_for_kaggle(run, kaggle, competition):
    record = records.read_json(run.origin)
    record["data"]["name"] = "demo"
    records.write_json(run.origin, record)
    assert "made from the data demo" in complain(*_submit(run), *competition, env=kaggle())


@pytest.fixture
def other_run(run) -> Run:
    """A run of other data than the competition's."""
    record = records.read_json(run.origin)
    record["data"]["name"] = "kannada"
    records.write_json(run.origin, record)
    return run


def test_a_submission_goes_to_the_competition_that_asks_for_its_rows(other_run, tmp_path):
    env = kaggle_command.install(tmp_path / "bin", [(COMPLETE, "0.97")])
    said = complain(*_submit(other_run), env=env)
    assert "made from the data kannada" in said
    assert "COMPETITION=" in said
    printed = succeed(*_submit(other_run), "--competition", "kannada-mnist", env=env)
    assert "kaggle competitions submit -c kannada-mnist -f" in printed


def test_a_run_that_says_it_is_the_competitions_is_counted(run, kaggle):
    test = arrays.read(run.test)
    chances = test["probabilities"][:60]
    arrays.write(run.test, probabilities=chances, classes=test["classes"], fingerprint=test["fingerprint"])
    write(run.submission, chances, test["classes"])
    assert "predicts 60 rows, which digit-recognizer does not ask for" in complain(*_submit(run), env=kaggle())


def test_ids_of_the_test_table_are_expected(other_run, tmp_path):
    env = kaggle_command.install(tmp_path / "bin", [(COMPLETE, "0.97")])
    test = arrays.read(other_run.test)
    ids = np.arange(len(test["probabilities"]))[::-1].copy()
    arrays.write(other_run.test, **test, ids=ids)
    arguments = (*_submit(other_run), "--competition", "kannada-mnist")
    assert "not valid" in complain(*arguments, env=env)
    write(other_run.submission, test["probabilities"], test["classes"], ids)
    succeed(*arguments, env=env)


def test_a_run_that_is_not_there_is_said(tmp_path, kaggle):
    assert "mine" in complain("submit-kaggle", "--output", tmp_path, "--run", "mine", env=kaggle())
