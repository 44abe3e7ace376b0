"""JSON objects with their checksums, and sealed folders."""

import numpy as np
import pytest

from digits.errors import UserError
from digits.files import arrays, records


@pytest.mark.parametrize("content", ["", "{", "[1]", "\0"])
def test_damaged_json_is_one_line(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match="damaged; delete"):
        records.read_json(tmp_path / "run.json")


def test_json_with_any_byte_changed_is_refused_or_reads_the_same(tmp_path):
    """It may read the same where the checksum itself is no longer to be found."""
    path, values = tmp_path / "metrics.json", {"seconds": {"train": 1.5}, "accuracy": 0.98765, "name": "x"}
    records.write_json(path, values)
    assert records.read_json(path) == values
    whole, unnoticed = path.read_bytes(), 0
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        try:
            found = records.read_json(path)
        except UserError as error:
            assert str(path) in str(error)
        else:
            unnoticed += 1
            assert {name: found[name] for name in values} == values
    assert unnoticed < 20


def test_json_of_an_earlier_version_is_read(tmp_path):
    (tmp_path / "metrics.json").write_text('{"accuracy": 0.5}')
    assert records.read_json(tmp_path / "metrics.json", accuracy=float) == {"accuracy": 0.5}


class TestSealing:
    @pytest.fixture
    def member(self, tmp_path):
        folder = tmp_path / ".m"
        folder.mkdir()
        arrays.write(folder / "oof.npz", a=np.arange(3))
        (folder / ".checkpoint.npz").write_text("not part of it")
        records.seal(folder, {"seconds": 1.0})
        return folder

    def test_a_sealed_member_is_whole_until_a_byte_changes(self, member, tmp_path):
        records.publish(member, tmp_path / "m")
        assert records.is_whole(tmp_path / "m")
        path = tmp_path / "m" / "oof.npz"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        assert not records.is_whole(tmp_path / "m")

    def test_an_absent_file_or_record_is_not_whole(self, member):
        assert records.is_whole(member)
        (member / "oof.npz").unlink()
        assert not records.is_whole(member)
        (member / "member.json").unlink()
        assert not records.is_whole(member)

    def test_publishing_replaces_a_damaged_member(self, member, tmp_path):
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "rubbish").write_text("x")
        records.publish(member, tmp_path / "m")
        assert records.is_whole(tmp_path / "m")
        assert not (tmp_path / "m" / "rubbish").exists()


def test_a_sealed_folder_of_results_is_whole_until_a_byte_changes(tmp_path):
    (tmp_path / "rows.csv").write_text("row\n1\n")
    (tmp_path / "verdicts.csv").write_text("row\n2\n")
    records.seal(tmp_path, {"seconds": {"scores": 1.0}}, "metrics.json", beside=("verdicts.csv",))
    records.seal(tmp_path, {"seconds": {"scores": 1.0}}, "metrics.json", beside=("verdicts.csv",))
    (tmp_path / "verdicts.csv").write_text("row\n3\n")
    assert records.is_whole(tmp_path, "metrics.json")
    (tmp_path / "rows.csv").write_text("row\n2\n")
    assert not records.is_whole(tmp_path, "metrics.json")
