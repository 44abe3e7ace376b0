"""What all tests share: order, cores and no network; a trained run; the browser."""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import pytest
from hypothesis import HealthCheck, settings

from browser import PATH

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from digits.runs import Run

# There are as many tests at a time as cores. Threads and workers that a test does not ask for only wait for each other,
# and each worker imports TensorFlow anew. NumPy reads this as it is imported, so nothing above may import it.
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # what joblib.cpu_count() says, here and in every command
os.environ.setdefault("OMP_NUM_THREADS", "1")
# TensorFlow sets 1 as it is imported, and the commands that a test then starts would log more than their one line.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A background job ignores Ctrl-C, and so would every command that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, so that what passed passes again; `pytest --hypothesis-profile=wide` looks further.
slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile("steady", derandomize=True, deadline=None, database=None, suppress_health_check=slow)
settings.register_profile("wide", max_examples=5_000, deadline=None, suppress_health_check=slow)
settings.load_profile("steady")

LONGEST = ("test_kernel", "test_cli", "test_tune", "test_explorer", "test_export", "test_bench", "test_end_to_end")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that no core waits for another at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def asked(tmp_path_factory) -> Path:
    """Where it is written what anything asks the network for, from here on; see offline/sitecustomize.py."""
    file, folder = tmp_path_factory.mktemp("offline") / "asked.txt", Path(__file__).parent / "offline"
    os.environ["ASKED"] = str(file)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    importlib.import_module("offline.sitecustomize")
    return file


@pytest.fixture(autouse=True)
def nothing_is_asked_of_the_network(asked) -> Iterator[None]:
    yield
    text = asked.read_text() if asked.exists() else ""
    asked.unlink(missing_ok=True)  # so that the tests after this one are judged by what they do
    assert text == ""


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id) -> Path:
    """A folder that all processes of this call of pytest share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def trained_run(asked, shared_folder) -> Run:
    """A finished run of two small networks on the demo set, to read only; `printed.txt` beside it is what it printed.

    It is trained once in a call of pytest, two networks at a time, without a network.
    """
    from command import TINY, succeed
    from digits.data.demo import demo
    from digits.runs import Run, RunFolder

    output = shared_folder / "output"
    with filelock.FileLock(shared_folder / "output.lock"):
        if not (output / "printed.txt").exists():
            shutil.rmtree(output, ignore_errors=True)
            text = succeed("submit", "--output", output, "--run", "trained", "--workers", "2", *TINY, alone=True)
            (output / "printed.txt").write_text(text)
    folder = RunFolder.named(output, "trained")
    return Run(folder.folder, folder.recorded_config(), demo())


@pytest.fixture
def trained_run_copy(trained_run, tmp_path) -> Run:
    """A copy of it, to write to, and of the folder of all runs."""
    shutil.copytree(trained_run.folder.parent, tmp_path / "output")
    return dataclasses.replace(trained_run, folder=tmp_path / "output" / trained_run.folder.name)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox", "--use-gl=swiftshader"])
        yield opened
        opened.close()
