"""A folder that one process at a time works on."""

import multiprocessing

import pytest

from digits.errors import UserError
from digits.files.lock import locked


def hold(folder, held, release):
    with locked(folder):
        held.set()
        release.wait(60)


def test_a_second_process_on_one_run_is_refused(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(UserError, match="another process"), locked(tmp_path):
            pass
    finally:
        release.set()
        other.join()
    with locked(tmp_path):
        pass


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    leftover = tmp_path / "members" / ".small-s0-f0" / ".tmp-123-.checkpoint.npz"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    with locked(tmp_path):
        assert not leftover.exists()
