"""Nothing is written, deleted or read outside the folder of all runs, whatever names and links say."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import ROOT, call, refuse
from digits import config, runs
from digits.config import Config
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Run, RunFolder
from finished_run import finish, forge

NAMES = [
    "..", ".", " ", "../outside", "a/../../outside", "a/b", "/tmp/outside", "..\\outside", ".hidden", "-x", "a\nb",
    "a\tb", "a:b", "~", "$HOME", "`id`", "$(id)", "a;b", "*", "\u202eabc", "\u0000", "\x1b[2J", "\ud800", "名" * 50,
    "x" * 200, "cache", "a|b", "C:\\x", "<b>", "'", '"', "%00", "..%2f",
]  # fmt: skip
DEMO = ("--data", "demo")
ON_FINISHED = ("cluster", "evaluate", "report", "export")
COMMANDS = {
    **{name: [name, *DEMO, "--config", f"{ROOT}/configs/demo.yaml", "--run"] for name in ("train", "submit")},
    **{name: [name, *DEMO, "--run"] for name in (*ON_FINISHED, "explore")},
    "validate": ["validate", "some.csv", *DEMO, "--run"],
    "compare": ["compare", "other", "--"],
    "predict": ["predict", "some.png", "--run"],
    "submit-kaggle": ["submit-kaggle", "--run"],
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder to stand in, with an output folder; `changed` says what changed beside it."""
    work = tmp_path / "work"
    (work / "output").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious.csv").write_text("precious")
    (tmp_path / "outside" / "precious.png").write_text("precious")
    monkeypatch.chdir(work)
    return tmp_path


def state(tree: Path) -> dict[str, bytes | None]:
    """All that is there beside the output folder."""
    found = {}
    for folder, folders, files in os.walk(tree):
        if Path(folder) == tree / "work":
            folders.remove("output")
        found |= {os.path.join(folder, name): None for name in folders}  # noqa: PTH118  names that are no text
        found |= {os.path.join(folder, name): Path(folder, name).read_bytes() for name in files}  # noqa: PTH118
    return found


def refused(command: str, *arguments: str) -> str:
    """The line in which the command refuses, with the output folder that is here."""
    return refuse(command, "--output", "output", *arguments, folder=Path.cwd())


@pytest.mark.parametrize("command", COMMANDS)
def test_no_name_of_a_run_leads_elsewhere(tree, command):
    before = state(tree)
    for name in NAMES:
        assert "use letters, digits" in refused(*COMMANDS[command], name), name
    assert state(tree) == before
    assert {path.name for path in Path("output").iterdir()} <= {"cache"}


@given(name=st.text(max_size=12))
def test_an_architecture_is_named_such_that_its_members_stay_in_the_run(name):
    try:
        settings = config.parse({"architectures": [{"net": "mlp", "name": name}]}, "test")
    except UserError:
        return
    run = RunFolder(Path("/output/run"))
    for member in runs.members(settings)[:1]:
        for path in (run.member(member), run.unfinished(member), run.member_lock(member)):
            assert path.parent == run.folder / "members"
            assert path.resolve() == path


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Run:
    return finish(tmp_path_factory.mktemp("made") / "good", demo())


@pytest.fixture
def run(made, tree) -> RunFolder:
    """A copy of a finished run, to be tampered with."""
    shutil.copytree(made.folder, "output/good")
    return RunFolder(Path("output/good"))


@pytest.mark.parametrize("command", ON_FINISHED)
@pytest.mark.parametrize("name", ["../../outside", "/outside", "..", "a\nb", "a/b", ""])
def test_a_crafted_architecture_is_refused(run, tree, command, name):
    forge(run.origin, lambda record: record["config"]["architectures"][0].update(name=name))
    before = state(tree)
    assert "architectures.0.name" in refused(*COMMANDS[command], "good")
    assert state(tree) == before


@pytest.mark.parametrize("command", ["cluster", "evaluate", "report"])
@pytest.mark.parametrize("name", ["evaluation", "clusters", "members/small-s0-f9", "run2.json", ".lock"])
def test_links_out_of_the_run_are_not_followed(run, tree, command, name):
    """Making `evaluation/` anew would delete every table and picture in the folder that the link leads to."""
    link = run.folder / name
    link.unlink(missing_ok=True)
    link.symlink_to((tree / "outside").resolve() / ("" if "." not in name else "precious.csv"))
    before = state(tree)
    expected = "a link stands where a file" if name == ".lock" else "a link out of the run's folder"
    assert expected in refused(*COMMANDS[command], "good")
    assert state(tree) == before


def test_a_pipe_in_a_run_is_named_instead_of_waited_for(run, tree):
    os.mkfifo(run.folder / "metrics.json")
    assert "neither a file nor a folder" in refused(*COMMANDS["evaluate"], "good")


def test_a_link_within_the_run_is_welcome(run):
    (run.folder / "members/again").symlink_to("small-s0-f0")
    with run.locked():
        pass


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["/dev/zero", "../../../outside/precious.csv", "..", ".", "nowhere", "a/b"])
def test_a_members_record_names_its_own_files_alone(run, name):
    """An endless file would be read for ever, another one would be held to be part of the member."""
    folder = run.folder / "members/small-s0-f0"
    assert records.is_whole(folder)
    record = json.loads((folder / "member.json").read_text())
    record["sha256"][name] = "0"
    (folder / "member.json").write_text(json.dumps(record))
    assert not records.is_whole(folder)


def test_names_that_the_system_refuses_are_refused_in_a_line(tree):
    assert "choose a shorter name" in refused("predict", "x" * 5000)
    Path("loop").symlink_to("loop")
    for name in ("loop", "loop/x", "\x1b[31m.png", "~nobody-of-that-name"):
        assert call("predict", name, "--output", "output", folder=Path.cwd()).exit_code in (1, 2)
    assert "no such file or folder" in refused("validate", "x.csv", "--data", "~nobody-of-that-name")


def test_arrays_that_unpack_to_more_than_their_file_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(10_000_000))
    with pytest.raises(ValueError, match="would unpack to"):
        arrays.read(path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, np.uint8), np.zeros((3, 1)), np.array([1.0, np.nan]), np.array([np.inf]), np.array(1.0),
        np.array(["a"]), np.array([], np.float32).reshape(0, 2), np.zeros(2, [("a", float)]), np.zeros(2, complex),
    ],
)  # fmt: skip
def test_arrays_of_another_form_are_refused(tmp_path, array):
    np.savez(tmp_path / "a.npz", a=array)
    with pytest.raises(ValueError, match="missing or damaged"):
        arrays.read(tmp_path / "a.npz", a="f1")


@given(content=st.binary(max_size=60), cut=st.floats(0, 1), share=st.floats(0, 1, exclude_max=True))
def test_any_arrays_are_read_or_refused(tmp_path, content, cut, share):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(5.0), b=np.array("text"))
    whole = bytearray(path.read_bytes())
    at = int(share * len(whole))
    whole[at : at + len(content)] = content
    path.write_bytes(whole[: max(1, int(cut * len(whole)))] if cut < 0.3 else whole)
    try:
        found = arrays.read(path, a="f1")
    except ValueError:
        return
    assert np.isfinite(found["a"]).all()


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda of: st.one_of(st.lists(of, max_size=3), st.dictionaries(st.text(max_size=5), of, max_size=3)),
    max_leaves=6,
)
RECORD = {"config": Config().model_dump(mode="json")}


@given(content=st.one_of(st.binary(), json_values.map(json.dumps).map(str.encode)))
def test_any_record_of_a_run_is_read_or_refused(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UserError, match=r"run\.json") as error:
        RunFolder(tmp_path).recorded_config()
    assert "\n" not in str(error.value)


@given(key=st.sampled_from(config.known_keys()), value=json_values)
def test_any_value_in_the_record_of_a_run_is_taken_or_refused(tmp_path, key, value):
    record = json.loads(json.dumps(RECORD))
    *parents, last = key.split(".")
    node = record["config"]
    for parent in parents:
        node = node[parent]
    node[last] = value
    (tmp_path / "run.json").write_text(json.dumps(record))
    try:
        settings = RunFolder(tmp_path).recorded_config()
    except UserError as error:
        assert "\n" not in str(error)
        return
    assert len(runs.members(settings)) <= config.MOST_MEMBERS
