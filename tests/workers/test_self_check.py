"""The self-check of an accelerator, on a processor: what it takes for working, and what it does where a way fails."""

import pytest

from digits import config
from digits.workers import self_check
from digits.workers.self_check import PROCESSOR, WAYS

SETTINGS = config.parse({"architectures": ["mlp"], "training": {"batch_size": 16}}, "test")


@pytest.mark.slow
def test_a_machine_that_computes_passes_as_it_is(capsys):
    assert self_check.find_way(SETTINGS, (28, 28, 1), 10) is WAYS[0]
    assert capsys.readouterr().out.startswith("Checking the GPU")


def test_early_stopping_and_plateaus_need_no_rows_there():
    watching = {"early_stopping": {"patience": 1}, "schedule": {"name": "plateau"}, "batch_size": 4}
    settings = config.parse({"architectures": ["mlp"], "training": watching}, "test")
    self_check.check(settings, (8, 8, 3), 3)


@pytest.mark.slow
def test_what_fails_is_a_line_and_the_processor_is_the_last_way(capsys):
    broken = config.parse({"architectures": ["poolfree"]}, "test")  # too deep for images of eight pixels
    assert self_check.find_way(broken, (8, 8, 3), 10) is PROCESSOR
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.rpartition("; trying ")[2] for line in lines] == [way.name for way in WAYS[1:]]
    assert all("architecture 'poolfree' on 8x8 images" in line for line in lines)


def test_a_process_that_crashes_is_a_line(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert self_check._problem(WAYS[0], SETTINGS, (28, 28, 1), 10) == "its process was killed by signal 11"


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_way_changes_the_precision_alone(way):
    settings = way.settings(SETTINGS)
    assert settings.training.precision == (way.precision or "auto")
    assert config.replaced(settings, {"training.precision": "auto"}, "test") == SETTINGS
