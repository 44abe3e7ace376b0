"""Damaged files: found out, named, and rebuilt or refused; never used. What wrote them mends them."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from driver import RUN, Place, assert_same, begin, end, execute, finish, kill, line_of
from faults import DAMAGES


class Target(NamedTuple):
    """Files that are damaged, below the folder of all runs; who reads them, and who writes them anew."""

    files: str
    reader: str
    writer: str


MEMBER = f"{RUN}/members/*"
TARGETS = [
    Target("cache/*.npy", "evaluate", "evaluate"),
    Target(f"{MEMBER}/member.json", "submit", "submit"),
    Target(f"{MEMBER}/model.keras", "submit", "submit"),
    Target(f"{MEMBER}/oof.npz", "evaluate", "submit"),
    Target(f"{MEMBER}/oof.npz", "cluster", "submit"),
    Target(f"{MEMBER}/history.csv", "evaluate", "submit"),
    Target(f"{MEMBER}/test.npz", "export", "submit"),
    Target(f"{RUN}/run.json", "evaluate", "submit"),
    Target(f"{RUN}/.run.json", "submit", "submit"),
    Target(f"{RUN}/oof.npz", "cluster", "submit"),
    Target(f"{RUN}/metrics.json", "report", "submit"),
    Target(f"{RUN}/metrics.json", "export", "submit"),
    Target(f"{RUN}/clusters/metrics.json", "report", "cluster"),
    Target(f"{RUN}/clusters/*.csv", "report", "cluster"),
    Target(f"{RUN}/clusters/m*.png", "report", "cluster"),
    Target(f"{RUN}/clusters/features.npz", "report", "cluster"),
    Target(f"{RUN}/evaluation/metrics.json", "report", "evaluate"),
    Target(f"{RUN}/evaluation/*.png", "report", "evaluate"),
    Target("eda/*/metrics.json", "report", "eda"),
    Target(f"{RUN}/ensemble.onnx", "predict", "export"),
    Target(f"tune/{RUN}/search.json", "tune", "tune"),
    Target(f"tune/{RUN}/leaderboard.csv", "report", "tune"),
]
TRIALS = f"tune/{RUN}/trials/**/[ot]r*.json"  # oracle.json, and trial.json of every trial


def cases() -> list[object]:
    """Every target with a byte flipped, and with one of the other damages in turn."""
    others = list(DAMAGES)[1:]
    damages = [("flip", others[number % len(others)]) for number in range(len(TARGETS))]
    return [
        pytest.param(target, damage, id=f"{target.files}-{target.reader}-{damage}")
        for target, both in zip(TARGETS, damages, strict=True)
        for damage in both
    ]


def chosen(place: Place, pattern: str, draw: random.Random) -> Path:
    return draw.choice(sorted(path for path in place.output.glob(pattern) if path.stat().st_size > 2))


@pytest.mark.torture
@pytest.mark.parametrize(("target", "damage"), cases())
def test_it_is_rebuilt_or_refused_by_name_and_never_used(target, damage, place, reference, tally):
    draw = random.Random(f"{target} {damage}")
    path = chosen(place, target.files, draw)
    DAMAGES[damage](path, draw)
    done = execute(place, target.reader)
    if done.status:
        assert is_named(path, line_of(done))
    elif not is_named(path, done.err):
        assert_same(place, reference, target.reader)
    if path.is_dir():  # what it was replaced by is for its owner to remove
        shutil.rmtree(path)
    finish(place, target.writer)
    assert_same(place, reference, target.writer)
    tally(faults=1)


def is_named(path: Path, words: str) -> bool:
    """Whether the words name the file, its member, or its folder where that is not the whole run."""
    names = [path.name, *([path.parent.name] if "members" in path.parts else [])]
    names += [str(path.parent)] if path.parent.name != RUN or "tune" in path.parts else []
    return any(name in words for name in names)


@pytest.mark.torture
@pytest.mark.parametrize("damage", ["flip", "truncate", "folder"])
def test_a_damaged_checkpoint_costs_its_epochs_and_nothing_else(damage, empty, reference, tally):
    draw = random.Random(damage)
    unfinished = f"{RUN}/members/.*/.checkpoint.npz"
    process = begin(*empty.arguments("submit"))
    while not list(empty.output.glob(unfinished)):
        assert process.poll() is None
    kill(process.pid, "group", draw)
    end(process)
    DAMAGES[damage](chosen(empty, unfinished, draw), draw)
    done = execute(empty, "submit")
    if damage == "folder":
        path = next(path for path in empty.output.glob(unfinished) if path.is_dir())
        assert done.status == 2
        assert "Traceback" not in done.err
        assert f"error: {path}: Is a directory; a folder stands" in done.err.splitlines()[-1]
        path.rmdir()
        done = execute(empty, "submit")
    assert done.status == 0, done.said
    assert_same(empty, reference, "submit")
    tally(kills=1, faults=1)


@pytest.mark.torture
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_trials_of_a_search_are_refused_by_name(damage, place, tally):
    draw = random.Random(damage)
    path = chosen(place, TRIALS, draw)
    DAMAGES[damage](path, draw)
    line = line_of(execute(place, "tune", "--trials", "5"))
    assert f"tune/{RUN}" in line
    tally(faults=1)


@pytest.mark.torture
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_submission_is_not_valid(damage, place, tally):
    path = place.run / "submission.csv"
    draw = random.Random(damage)
    if damage == "digit":  # of a label: the ids are judged without the run
        lines = path.read_text().splitlines()
        lines[7] = f"7,{(int(lines[7][-1]) + 1) % 10}"
        path.write_text("\n".join(lines) + "\n")
    else:
        DAMAGES[damage](path, draw)
    done = end(begin("validate", path, "--data", place.data, "--run", RUN, "--output", place.output))
    assert done.status == 2
    assert str(path) in done.said
    assert "Traceback" not in done.said
    tally(faults=1)


@pytest.mark.torture
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_test_probabilities_judge_no_submission(damage, place, tally):
    path = place.run / "test.npz"
    DAMAGES[damage](path, random.Random(damage))
    arguments = ("validate", place.run / "submission.csv", "--data", place.data, "--run", RUN, "--output", place.output)
    line = line_of(end(begin(*arguments)))
    assert "damaged" in line
    assert RUN in line
    tally(faults=1)
