"""Files that are whole or absent."""

import errno
import resource

import numpy as np
import pytest

from digits.files.atomic import replacing


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new folder" / "x.csv"
    with replacing(path) as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_the_earlier_file_stays_after_an_error(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("earlier")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_to_be_full_even_where_numpy_does_not_say_it(tmp_path):
    """A limit on the size of files stands for the disk; NumPy tells of a short write without its reason."""
    path = tmp_path / "x.npy"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(OSError) as caught, replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.zeros(2**16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
