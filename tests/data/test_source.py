import gzip
import shutil
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from digits.competition import COMPETITION
from digits.data import archives
from digits.data.source import find, locate, name_of
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
    assert demo.path is None
    assert "make data" in demo.note and "DATA=" in demo.note and "\n" not in demo.note
    assert len(demo.note) <= 80

    shutil.copytree(competition, mount)
    assert find(None, root, mounts).path == mount

    make_zip(competition, root / COMPETITION.name / "digit-recognizer.zip")
    assert find(None, root, mounts).path == root / COMPETITION.name

    given = find(str(competition), root, mounts)
    assert given.path == competition
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
    assert "several archives" in complaint(locate, folder)
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
    monkeypatch.setattr(archives, "HARMLESS", 1000)
    assert "zip bomb" in complaint(locate, archive)
    monkeypatch.setattr(archives, "RATIO_LIMIT", 10**6)
    locate(archive)
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 10_000)
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


# --- other people's data sets --------------------------------------------------------------------------------


def packed_tar(folder, path, names, form="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, form) as archive:
        for name in names:
            archive.add(folder / name, f"digits/{name}")
    return path


def renamed(competition, folder, train, test):
    folder.mkdir(parents=True)
    for before, after in (("train.csv", train), ("test.csv", test)):
        shutil.copy(competition / before, folder / after)
    return folder


PAIRS = [
    ("mnist_train.csv", "mnist_test.csv", "mnist"),
    ("emnist-letters-train.csv", "emnist-letters-test.csv", "emnist-letters"),
    ("Sign MNIST_Train.CSV", "sign mnist_test.csv", "Sign-MNIST"),
    ("train.csv", "test.csv", "some-folder"),
]


@pytest.mark.parametrize(("train", "test", "name"), PAIRS)
def test_a_pair_of_tables_is_found_and_names_the_data_set(competition, tmp_path, train, test, name):
    folder = renamed(competition, tmp_path / "some folder", train, test)
    (folder / f"._{train}").write_text("of a Mac")
    (folder / "notes.csv").write_text("a,b")
    zipped, archive = tmp_path / "zipped", tmp_path / "some folder.zip"
    gzipped, tarred = tmp_path / "some-folder", tmp_path / "some folder.tar.gz"
    gzipped.mkdir()
    for table in (train, test):
        make_zip(folder, zipped / "some folder" / f"{table}.zip", (table,))
        (gzipped / f"{table}.gz").write_bytes(gzip.compress((folder / table).read_bytes()))
    make_zip(folder, archive, (train, test, f"._{train}"))
    packed_tar(folder, tarred, [f"._{train}", train, test])
    tgz = packed_tar(folder, tmp_path / "tgz/some folder.tgz", [test, train])
    tar = packed_tar(folder, tmp_path / "tar/some folder.tar", [test, train], "w")
    for path in (folder, zipped / "some folder", gzipped, archive, tarred, tgz, tar):
        tables = locate(path)
        assert contents(tables) == contents(locate(competition)), path
        assert name_of(path, tables) == name
    folder = tmp_path / "with a tar"
    shutil.copytree(tgz.parent, folder)
    assert contents(locate(folder)) == contents(locate(competition))


@pytest.mark.parametrize("name", ["_train.csv", "xtrain.csv", ".x_train.csv", "-" * 60_000 + "x.csv", "train.csv.bak"])
def test_other_names_are_no_tables(competition, tmp_path, name):
    archive = make_zip(competition, tmp_path / "some.zip", ("test.csv",))
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr(name, "")
    assert "has test.csv but no train.csv" in complaint(locate, archive)


def test_names_with_line_ends_are_quoted_in_one_line(competition, tmp_path):
    """Found by the fuzzer."""
    archive = tmp_path / "some.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a\nb\x1b[2J_train.csv", "1,2\n")
    assert "has a b\\x1b[2J_train.csv but no test.csv" in complaint(locate, archive)
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("a\nb\x1b[2J_test.csv", "")
    assert "\n" not in str(locate(archive)["train.csv"])
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as packed:
        for name in ("train.csv", "test.csv"):
            packed.writestr(f"a\nb_{name}", "")
    assert "unknown kind of zip compression" in complaint(locate, archive)


def test_kaggles_own_names_come_before_others(competition, tmp_path):
    folder = renamed(competition, tmp_path / "mixed", "mnist_train.csv", "mnist_test.csv")
    renamed(competition, tmp_path / "other", "a_train.csv", "b_test.csv")
    assert contents(locate(folder)) == contents(locate(competition))
    assert "has a_train.csv but no test.csv that goes with it" in complaint(locate, tmp_path / "other")
    for name in ("train.csv", "test.csv"):
        shutil.copy(competition / name, folder / name)
        (folder / f"mnist_{name}").write_text("not this one")
    assert contents(locate(folder)) == contents(locate(competition))


def test_several_pairs_are_not_guessed_between(competition, tmp_path):
    folder = renamed(competition, tmp_path / "two", "a_train.csv", "a_test.csv")
    for name in ("train.csv", "test.csv"):
        shutil.copy(competition / name, folder / f"b-{name}")
    for path in (folder, make_zip(folder, tmp_path / "two.zip", tuple(path.name for path in folder.iterdir()))):
        assert "holds 2 pairs of tables, such as 'a' and 'b'; give one alone" in complaint(locate, path)


def test_the_competition_is_known_by_its_name(competition, tmp_path):
    for path in (tmp_path / "digit-recognizer", tmp_path / "Digit-Recognizer (1)", tmp_path / "other/digit-recognizer"):
        shutil.copytree(competition, path)
        assert name_of(path, locate(path)) == COMPETITION.name
    archive = make_zip(competition, tmp_path / "downloads/digit-recognizer.zip")
    for path in (archive, archive.parent):
        assert name_of(path, locate(path)) == COMPETITION.name
    other = renamed(competition, tmp_path / "my-digit-recognizer", "mnist_train.csv", "mnist_test.csv")
    assert name_of(other, locate(other)) == "mnist"


def test_of_copies_at_several_depths_the_uppermost_is_taken(competition, tmp_path):
    """Sign-MNIST's archive has each table at the top, and again in a folder."""
    archive = tmp_path / "archive.zip"
    for name in ("train.csv", "test.csv"):
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr(f"sign_mnist_{name[:-4]}/sign_mnist_{name}", "a copy")
            packed.write(competition / name, f"sign_mnist_{name}")
    assert contents(locate(archive)) == contents(locate(competition))


@pytest.mark.parametrize(
    ("folder", "name"),
    [("demo", "demo-data"), ("...", "unnamed-data"), ("a\x1b[2Jb", "a-2Jb"), ("é" * 80, "é" * 60), ("-x", "x")],
)
def test_a_name_fits_a_folder_of_results(competition, tmp_path, folder, name):
    path = shutil.copytree(competition, tmp_path / folder)
    assert name_of(path, locate(path)) == name


def test_the_present_folder_has_a_name(competition, monkeypatch):
    monkeypatch.chdir(competition)
    assert name_of(Path(), locate(Path())) == "made"


def test_a_gzip_bomb_ends_early(competition, tmp_path, monkeypatch):
    folder = tmp_path / "bomb"
    folder.mkdir()
    for name in ("train.csv", "test.csv"):
        (folder / f"{name}.gz").write_bytes(gzip.compress(b"0," * 500_000))
    tarred = packed_tar(competition, tmp_path / "small.tar.gz", ["train.csv", "test.csv"])
    contents(locate(folder))  # harmless at its size
    monkeypatch.setattr(archives, "HARMLESS", 1000)
    assert "bomb?" in complaint(contents, locate(folder))
    monkeypatch.setattr(archives, "RATIO_LIMIT", 1)
    assert "bomb?" in complaint(locate, tarred)


def test_a_tar_with_an_endless_header_takes_no_memory(competition, tmp_path):
    tarred = tmp_path / "some.tar.gz"
    with gzip.open(tarred, "wb", compresslevel=1) as file:
        header = tarfile.TarInfo("././@PaxHeader")
        header.type, header.size = tarfile.XHDTYPE, 2**25
        file.write(header.tobuf() + bytes(2**25))
        for name in ("train.csv", "test.csv"):
            content = (competition / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.write(member.tobuf() + content.ljust(-(-len(content) // 512) * 512, b"\0"))
    tracemalloc.start()
    found = contents(locate(tarred))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == contents(locate(competition))
    assert peak < 2**20


def test_links_in_a_tar_are_no_tables(competition, tmp_path):
    tarred = tmp_path / "links.tar"
    with tarfile.open(tarred, "w") as archive:
        for kind, name in ((tarfile.SYMTYPE, "train.csv"), (tarfile.LNKTYPE, "test.csv")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
    assert "holds no train.csv" in complaint(locate, tarred)


@pytest.mark.parametrize("name", ["../train.csv", "/etc/passwd", "..\\up"])
def test_a_tar_with_an_unsafe_path_is_refused(competition, tmp_path, name):
    tarred = packed_tar(competition, tmp_path / "unsafe.tar", ["train.csv", "test.csv"], "w")
    with tarfile.open(tarred, "a") as archive:
        archive.addfile(tarfile.TarInfo(name))
    assert "unsafe path" in complaint(locate, tarred)


@pytest.mark.parametrize("form", ["w", "w:gz"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    kept=st.floats(0, 1),
)
@example(changes=[], kept=0)
@example(changes=[], kept=0.5)
def test_any_damage_to_a_tar_is_read_or_refused(competition, tmp_path, form, changes, kept):
    name = "damaged.tar" if form == "w" else "damaged.tar.gz"
    tarred = packed_tar(competition, tmp_path / name, ["train.csv", "test.csv"], form)
    content = bytearray(tarred.read_bytes())
    for place, byte in changes:
        content[int(place * len(content))] = byte
    tarred.write_bytes(content[: int(kept * len(content))])
    try:
        contents(locate(tarred))
    except UserError as error:
        assert "\n" not in str(error)


def test_a_cut_off_gzip_is_damaged(competition, tmp_path):
    folder = tmp_path / "cut"
    folder.mkdir()
    for name in ("train.csv", "test.csv"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((competition / name).read_bytes())[:-12])
    assert "truncated or damaged" in complaint(contents, locate(folder))
    (folder / "train.csv.gz").write_bytes(b"label,pixel0\n1,2\n")
    assert "truncated or damaged" in complaint(contents, locate(folder))
