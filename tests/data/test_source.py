import shutil
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from digits.competition import COMPETITION
from digits.data import source
from digits.data.source import find, locate
from digits.errors import UserError
from kaggle_form import make_zip, write_competition


@pytest.fixture
def competition(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10, 3, 3))
    return write_competition(tmp_path / "made", pixels[:6], np.arange(6) % 2, pixels[6:])


def contents(tables):
    found = {}
    for name, table in tables.items():
        with table.open() as stream:
            found[name] = stream.read()
    return found


def complaint(call, *arguments, **keywords):
    with pytest.raises(UserError) as caught:
        call(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_form_of_the_competition_gives_the_same_tables(competition, tmp_path):
    expected = {name: (competition / name).read_bytes() for name in ("train.csv", "test.csv")}
    archive = make_zip(competition, tmp_path / "zips" / "any-name.zip")
    single = tmp_path / "single"
    for name in expected:
        make_zip(competition, single / f"{name}.zip", (name,))
    nested = tmp_path / "nested.zip"
    with zipfile.ZipFile(nested, "w") as packed:
        packed.writestr("digits/", "")
        for name, text in expected.items():
            packed.writestr(f"digits/{name}", text)
    for path in (competition, archive, archive.parent, single, nested):
        assert contents(locate(path)) == expected


def test_sources_are_tried_in_order(competition, tmp_path):
    root, mount = tmp_path / "input", tmp_path / "mount"
    (root / COMPETITION.name).mkdir(parents=True)
    (root / COMPETITION.name / ".gitkeep").touch()
    mounts = (tmp_path / "absent", mount)

    demo = find(None, root, mounts)
    assert (demo.kind, demo.path) == ("demo", None)
    assert "make data" in demo.note and "DATA=" in demo.note and "\n" not in demo.note

    shutil.copytree(competition, mount)
    assert (find(None, root, mounts).kind, find(None, root, mounts).path) == ("kaggle", mount)

    make_zip(competition, root / COMPETITION.name / "digit-recognizer.zip")
    assert (find(None, root, mounts).kind, find(None, root, mounts).path) == ("input", root / COMPETITION.name)

    given = find(str(competition), root, mounts)
    assert (given.kind, given.path) == ("given", competition)
    assert str(competition) in given.note


def test_a_given_source_is_never_replaced(competition, tmp_path):
    root = tmp_path / "input"
    shutil.copytree(competition, root / COMPETITION.name)
    (tmp_path / "empty").mkdir()
    assert "no such file or folder" in complaint(find, str(tmp_path / "absent"), root, ())
    assert "no train.csv" in complaint(find, str(tmp_path / "empty"), root, ())
    assert "give the folder" in complaint(find, str(competition / "train.csv"), root, ())


@pytest.mark.parametrize(("absent", "present"), [("train.csv", "test.csv"), ("test.csv", "train.csv")])
def test_half_an_input_folder_is_an_error(competition, tmp_path, absent, present):
    root = tmp_path / "input"
    shutil.copytree(competition, root / COMPETITION.name)
    (root / COMPETITION.name / absent).unlink()
    assert f"has {present} but no {absent}" in complaint(find, None, root, ())


def test_several_zips_are_not_guessed_between(competition, tmp_path):
    folder = tmp_path / "zips"
    make_zip(competition, folder / "a.zip")
    make_zip(competition, folder / "b.zip")
    assert "several zips" in complaint(locate, folder)
    make_zip(competition, folder / "digit-recognizer.zip")
    assert contents(locate(folder)) == contents(locate(competition))


@pytest.mark.parametrize(
    "name", ["../train.csv", "/etc/passwd", "a/../../b", "..\\up", "\\\\host\\share\\x", "C:\\x", "C:x"]
)
def test_a_zip_with_an_unsafe_path_is_refused(competition, tmp_path, name):
    archive = make_zip(competition, tmp_path / "unsafe.zip")
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, "x")
    assert "unsafe path" in complaint(locate, archive)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("train.csv", b"0," * 500_000)
        packed.writestr("test.csv", b"0," * 500_000)
    locate(archive)  # harmless at its size
    monkeypatch.setattr(source, "HARMLESS", 1000)
    assert "zip bomb" in complaint(locate, archive)
    monkeypatch.setattr(source, "RATIO_LIMIT", 10**6)
    locate(archive)
    monkeypatch.setattr(source, "MEMBER_LIMIT", 10_000)
    assert "zip bomb" in complaint(locate, archive)


def test_a_zip_that_declares_less_than_it_holds_is_damaged(tmp_path):
    archive = tmp_path / "liar.zip"
    size = 1_000_000
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("train.csv", b"1" * size)
        packed.writestr("test.csv", b"1" * size)
    honest, lie = size.to_bytes(4, "little"), (1000).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(honest, lie))
    assert "damaged" in complaint(contents, locate(archive))


def test_damaged_zips_are_named(competition, tmp_path):
    whole = make_zip(competition, tmp_path / "whole.zip").read_bytes()
    archive = tmp_path / "damaged.zip"
    for content in (b"", b"no zip", whole[:-30], whole[: len(whole) // 2]):
        archive.write_bytes(content)
        assert "not a whole zip file" in complaint(locate, archive)
    archive.write_bytes(whole[:60] + bytes(byte ^ 255 for byte in whole[60:80]) + whole[80:])
    assert "truncated or damaged" in complaint(contents, locate(archive))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
@example(changes=[])
def test_any_damage_to_a_zip_is_read_or_refused(competition, tmp_path, changes):
    archive = make_zip(competition, tmp_path / "damaged.zip")
    content = bytearray(archive.read_bytes())
    for place, byte in changes:
        content[int(place * len(content))] = byte
    archive.write_bytes(content)
    try:
        contents(locate(archive))
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_kinds_of_compression_are_named(competition, tmp_path, method):
    archive = tmp_path / "other.zip"
    with zipfile.ZipFile(archive, "w", method) as packed:
        for name in ("train.csv", "test.csv"):
            packed.write(competition / name, name)
    assert "unknown kind of zip compression" in complaint(locate, archive)


def test_a_name_that_is_no_text_in_the_members_own_header(competition, tmp_path):
    """Found by the fuzzer: the directory has the name too, so that the zip is told to be damaged only on opening."""
    archive = make_zip(competition, tmp_path / "damaged.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(b"train.csv")] = 0xFF
    content[content.index(b"PK\x01\x02") + 9] |= 8  # says that names are UTF-8
    archive.write_bytes(content)
    assert "truncated or damaged" in complaint(contents, locate(archive))


def test_a_nameless_member_is_passed_over(competition, tmp_path):
    archive = make_zip(competition, tmp_path / "nameless.zip")
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("x", "")
    content = bytearray(archive.read_bytes())
    content[content.rindex(b"x")] = 0  # zipfile cuts names at a NUL
    archive.write_bytes(content)
    assert contents(locate(archive)) == contents(locate(competition))


def test_an_encrypted_or_incomplete_zip_is_named(competition, tmp_path):
    archive = make_zip(competition, tmp_path / "half.zip", ("train.csv",))
    assert "no test.csv" in complaint(locate, archive)
    archive = make_zip(competition, tmp_path / "locked.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of the first member in the directory
    archive.write_bytes(content)
    assert "encrypted" in complaint(locate, archive)
