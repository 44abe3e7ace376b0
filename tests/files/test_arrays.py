"""Arrays of .npz files are read as they were written, or refused."""

import numpy as np
import pytest

from digits.files import arrays


def test_arrays_read_back_and_give_the_same_bytes_twice(tmp_path):
    written = {"a": np.arange(5), "b": np.array("text"), "c": np.eye(2, dtype=np.float32)}
    for name in ("one", "two"):
        arrays.write(tmp_path / f"{name}.npz", **written)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    back = arrays.read(tmp_path / "one.npz")
    assert back.keys() == written.keys()
    assert all(np.array_equal(back[name], written[name]) for name in written)


def test_damaged_arrays_and_pickles_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(ValueError, match="missing or damaged"):
        arrays.read(path)
    arrays.write(path, a=np.arange(1000))
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ValueError, match="missing or damaged"):
        arrays.read(path)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="missing or damaged"):
        arrays.read(path)


def test_arrays_whose_header_asks_for_less_than_is_there_are_refused(tmp_path):
    """NumPy alone would read half of the rows, and never come to the checksum."""
    path = tmp_path / "a.npz"
    arrays.write(path, a=np.arange(1000))
    path.write_bytes(path.read_bytes().replace(b"(1000,)", b"(0500,)"))
    with pytest.raises(ValueError, match="missing or damaged"):
        arrays.read(path)
