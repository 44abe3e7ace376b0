"""The run folder: atomic, locked, and never mixed with another config or other data."""

import dataclasses
import json
import multiprocessing

import numpy as np
import pytest

from digits import config, runs
from digits.config import Config
from digits.data.demo import demo
from digits.errors import UserError
from digits.files import arrays, records
from digits.runs import Member, Run

SMALL = config.parse({"architectures": ["small", "mlp"], "folds": {"count": 3}, "seeds": 2}, "test")


def test_members_are_architectures_times_seeds_times_folds():
    names = [member.name for member in runs.members(SMALL)]
    assert len(names) == len(set(names)) == 12
    assert names[:3] == ["small-s0-f0", "small-s0-f1", "small-s0-f2"]
    limited = config.parse({"folds": {"count": 5, "limit": 1}}, "test")
    assert runs.members(limited) == [Member("default", 0, 0), Member("strided", 0, 0)]


def test_a_run_of_another_backend_is_refused_and_named(tmp_path, monkeypatch):
    run = Run(tmp_path / "run")
    with run.locked():
        run.claim(SMALL, demo())
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        with pytest.raises(UserError, match=r"made otherwise: backend \(tensorflow -> jax\); choose another RUN="):
            run.claim(SMALL, demo())


def test_a_run_of_before_there_were_backends_was_of_tensorflow(tmp_path):
    run = Run(tmp_path / "run")
    with run.locked():
        run.claim(SMALL, demo())
        record = records.read_json(run.origin)
        del record["backend"]
        records.write_twice(run.origin, record)
        run.claim(SMALL, demo())
    assert records.read_json(run.origin)["backend"] == "tensorflow"


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
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
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


class TestClaim:
    @pytest.fixture
    def run(self, tmp_path) -> Run:
        run = Run(tmp_path / "r")
        run.claim(SMALL, demo())
        return run

    def test_records_what_made_the_run(self, run):
        record = json.loads((run.folder / "run.json").read_text())
        assert record["config"]["seeds"] == 2
        assert record["data"]["train"] == demo().fingerprint
        assert record["versions"]["numpy"] == np.__version__
        assert record["machine"]["cores"] >= 1

    def test_the_same_config_and_data_may_go_on(self, run):
        run.claim(SMALL, demo())

    def test_another_config_is_refused_by_key(self, run):
        other = SMALL.model_copy(update={"seeds": 3})
        with pytest.raises(UserError, match=r"config\.seeds \(2 -> 3\); choose another RUN="):
            run.claim(other, demo())

    def test_another_way_to_ensemble_is_welcome(self, run):
        run.claim(SMALL.model_copy(update={"ensemble": config.Ensemble(rule="vote")}), demo())

    def test_other_data_is_refused(self, run):
        data = demo()
        images = data.test_images.copy()
        images[0, 0, 0] ^= 1
        with pytest.raises(UserError, match=r"made otherwise: data\.test"):
            run.claim(SMALL, dataclasses.replace(data, test_images=images))

    def test_a_damaged_record_is_named(self, run):
        for name in ("run.json", ".run.json"):
            (run.folder / name).write_text("{")
        with pytest.raises(UserError, match=r"run\.json: damaged"):
            run.claim(Config(), demo())

    @pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), lambda path: path.unlink()])
    @pytest.mark.parametrize("name", ["run.json", ".run.json"])
    def test_a_damaged_record_is_mended_from_its_copy(self, run, name, damage):
        whole = (run.folder / name).read_bytes()
        damage(run.folder / name)
        assert run.config() == SMALL
        with pytest.raises(UserError, match="was made otherwise"):
            run.claim(Config(), demo())
        run.claim(SMALL, demo())
        assert (run.folder / name).read_bytes() == whole


def hold(folder, held, release):
    with Run(folder).locked():
        held.set()
        release.wait(60)


def test_a_second_process_on_one_run_is_refused(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(UserError, match="another process"), Run(tmp_path).locked():
            pass
    finally:
        release.set()
        other.join()
    with Run(tmp_path).locked():
        pass


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    leftover = tmp_path / "members" / ".small-s0-f0" / ".tmp-123-.checkpoint.npz"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    with Run(tmp_path).locked():
        assert not leftover.exists()


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
