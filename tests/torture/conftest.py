"""The reference that every fault must end in, and the counts that `make torture` ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from driver import EARLIER, STAGES, Place, finish, write_data


@pytest.fixture(scope="session")
def reference(shared_folder: Path) -> Place:
    """The results of every stage, with nothing gone wrong."""
    place = Place(shared_folder / "reference", shared_folder / "data")
    with filelock.FileLock(shared_folder / "reference.lock"):
        if not (shared_folder / "seconds.json").exists():
            write_data(place.data)
            place.output.mkdir()
            (place.output / "submission.csv").write_text(EARLIER)
            seconds = {stage: finish(place, stage).seconds for stage in STAGES}
            (shared_folder / "seconds.json").write_text(json.dumps(seconds))
    return place


@pytest.fixture(scope="session")
def durations(reference: Place, shared_folder: Path) -> dict[str, float]:
    """How long each stage took in the reference, in seconds."""
    return json.loads((shared_folder / "seconds.json").read_text())


@pytest.fixture
def place(reference: Place, tmp_path: Path) -> Place:
    """A copy of the reference to spoil."""
    return reference.copy(tmp_path / "output")


@pytest.fixture
def empty(reference: Place, tmp_path: Path) -> Place:
    """A folder of runs with an earlier submission and nothing else."""
    output = tmp_path / "output"
    output.mkdir()
    (output / "submission.csv").write_text(EARLIER)
    return Place(output, reference.data)


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Counts kills and faults; they are shown of tests that passed."""

    def count(**counts: int) -> None:
        for name, number in counts.items():
            record_property(name, number)

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = {"kills": 0, "faults": 0}
    for report in terminalreporter.getreports("passed"):
        for name, number in report.user_properties:
            if name in counts:
                counts[name] += int(number)
    if not any(counts.values()):
        return
    lost = len(terminalreporter.getreports("failed")) + len(terminalreporter.getreports("error"))
    verdict = f"{lost} tests failed" if lost else "nothing lost"
    terminalreporter.write_line(f"{counts['kills']} kills survived, {counts['faults']} faults tried, {verdict}")
