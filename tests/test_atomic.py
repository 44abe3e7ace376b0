"""Files that are whole or absent."""

import pytest

from digits.atomic import replacing


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
