"""Whatever a table looks like, it is read as it was meant or refused in a line; both parsers say the same."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from command import measured
from digits.competition import COMPETITION
from digits.data import csv, find, table
from digits.data.layout import Layout
from digits.data.source import Source, Table, locate
from digits.errors import UserError

NAMES = ("label", "pixel0", "pixel1", "pixel2", "pixel3")
GIGABYTE = 2**30
TEST = b"pixel0,pixel1,pixel2,pixel3\n0,1,2,3\n"
READ = """
import sys
from pathlib import Path
from digits.data import find, read
from digits.errors import UserError
try:
    print(len(read(find(sys.argv[1]), Path(sys.argv[2])).train_labels))
except UserError as error:
    print("error:", error)
"""


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A train.csv as some tool could write it, with the pixels and labels that it holds."""
    rows = draw(st.integers(2, 6))
    pixels = np.array(
        draw(st.lists(st.lists(st.integers(0, 255), min_size=4, max_size=4), min_size=rows, max_size=rows))
    )
    labels = np.array(draw(st.lists(st.integers(0, 2**32 - 1), min_size=rows, max_size=rows)))
    assume(len(set(labels.tolist())) > 1)
    end = draw(st.sampled_from(["\n", "\r\n"]))
    place = draw(st.integers(0, 4))
    quote = draw(st.sampled_from(["never", "header", "all", "some"]))
    pad = draw(st.sampled_from(["", " ", "\t"]))
    zeros = draw(st.sampled_from(["", "00"]))

    def line(cells: list[str], is_header: bool) -> str:
        cells = [*cells[1 : place + 1], cells[0], *cells[place + 1 :]]
        if quote == "all" or (quote == "header" and is_header):
            cells = [f'"{cell}"' for cell in cells]
        elif quote == "some":
            cells = [f'"{cell}"' if number % 2 else cell for number, cell in enumerate(cells)]
        elif not is_header:
            cells = [f"{pad}{zeros}{cell}{pad}" for cell in cells]
        return ",".join(cells)

    lines = [line(list(NAMES), True)]
    for label, row in zip(labels.tolist(), pixels.tolist(), strict=True):
        lines += [""] * draw(st.integers(0, 1)) + [line([str(label), *map(str, row)], False)]
    text = end.join(lines) + draw(st.sampled_from(["", end, end + end]))
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode(), pixels.reshape(-1, 2, 2, 1), labels


def write(folder: Path, train: bytes, test: bytes = TEST) -> Source:
    folder.mkdir(exist_ok=True)
    (folder / "train.csv").write_bytes(train)
    (folder / "test.csv").write_bytes(test)
    return Source(folder, "")


@given(given_table=written())
def test_a_valid_table_is_read_whoever_wrote_it(tmp_path, given_table):
    train, pixels, labels = given_table
    found = table.read(write(tmp_path / "in", train), tmp_path / "cache")
    np.testing.assert_array_equal(found.train_images, pixels)
    np.testing.assert_array_equal(found.train_labels, labels)


cells = st.one_of(
    st.integers(0, 255).map(str),
    st.sampled_from(
        ["", " ", "-1", "256", "1.0", "1e2", "nan", "NA", "null", "0x1", "+1", "1_0", "٣", '"1"', '"', "\0", "x"]
    ),
    st.text(max_size=3),
)
rows = st.lists(st.lists(cells, min_size=4, max_size=6).map(",".join), min_size=1, max_size=4)


@given(rows=rows, end=st.sampled_from(["\n", "\r\n", "\r"]))
@example(rows=["1,2,3,4,5", "2,+1,3,4,5"], end="\n")
@example(rows=["1,2,3,4,5", "2, 1,3,4,5"], end="\n")
@example(rows=["1,2,3,4,5", "2,\0,3,4,5"], end="\n")
@example(rows=["1,2,3,4,5", "2,3,4,5,6"], end="\r")
@example(rows=["1.0,2,3,4,5", ".0,3,4,5,6", "1.,3,4,5,6"], end="\n")
@example(rows=["1.5,2,3,4,5"], end="\n")
@example(rows=["nan,2,3,4,5"], end="\n")
@example(rows=["-0,2,3,4,5"], end="\n")
@example(rows=["1e0,2,3,4,5"], end="\n")
def test_what_the_fast_parser_reads_the_careful_one_reads_too(tmp_path, rows, end):
    (tmp_path / "train.csv").write_bytes((",".join(NAMES) + "\n" + end.join(rows)).encode("utf-8", "surrogatepass"))
    layout = Layout.read(Table(tmp_path / "train.csv"))
    fast = csv.parse_fast(layout)
    if fast is None:  # the careful parser has the last word then
        return
    for one, other in zip(fast, csv.parse_carefully(layout), strict=True):
        np.testing.assert_array_equal(one, other)


@given(header=st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=5)), max_size=7).map(",".join), rows=rows)
def test_any_header_is_read_or_refused(tmp_path, header, rows):
    content = "\n".join([header, *rows]).encode("utf-8", "surrogatepass")
    refused(write(tmp_path / "in", content), tmp_path / "cache")
    refused(write(tmp_path / "in", b"label,pixel0\n0,1\n1,2\n", content), tmp_path / "cache")


def refused(source: Source, cache: Path) -> str | None:
    """What is said of tables that are not read; None of those that are."""
    try:
        table.read(source, cache)
    except UserError as error:
        assert "\n" not in str(error)
        return str(error)
    return None


member_names = st.one_of(
    st.sampled_from(
        ["train.csv", "test.csv", "a/train.csv", "../train.csv", "/test.csv", "C:\\x", "train.csv.zip", "", "a\nb"]
    ),
    st.text(max_size=6),
)


@given(
    members=st.lists(
        st.tuples(member_names, st.sampled_from([TEST, b"", b"PK", b"label,pixel0\n0,1\n1,1\n"])), max_size=5
    )
)
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_any_zip_is_read_or_refused_and_nothing_is_unpacked(tmp_path, members):
    archive = tmp_path / "some.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(zipfile.ZipInfo(name.replace("\ud800", "")) if name else zipfile.ZipInfo("x"), content)
    refused(Source(archive, ""), tmp_path / "cache")
    assert {path.name for path in tmp_path.iterdir()} <= {"some.zip", "cache"}
    assert not list(tmp_path.rglob("train.csv"))


def test_members_that_stand_twice_or_lead_elsewhere(tmp_path):
    archive = tmp_path / "some.zip"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(archive, "w") as packed:
        for name in ("train.csv", "train.csv", "test.csv"):
            packed.writestr(name, TEST)
    with pytest.raises(UserError, match=r"holds 2 train\.csv"):
        locate(archive)
    with zipfile.ZipFile(archive, "w") as packed:
        link = zipfile.ZipInfo("train.csv")
        link.external_attr = 0o120777 << 16  # a symbolic link, as `zip -y` stores it
        packed.writestr(link, "/etc/passwd")
        packed.writestr("test.csv", TEST)
    assert "train.csv: '/etc/passwd' is neither" in refused(Source(archive, ""), tmp_path / "cache")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("inner/train.csv.zip", archive.read_bytes() if archive.exists() else b"")
    with pytest.raises(UserError, match=r"holds no train\.csv"):
        locate(archive)


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x", "~", "a\0b", "x" * 300, "x/" * 3000, "\ud800", "\x1b[2J"])
def test_any_name_of_a_source_is_a_line(name):
    with pytest.raises(UserError):
        find(name)


@pytest.mark.parametrize("kind", ["blank lines", "quoted blank", "one endless line", "labels only"])
def test_a_bomb_is_refused_or_read_within_a_gigabyte(tmp_path, kind):
    """In a process of its own, which may take no more: 60 MB of table out of some kilobytes of zip."""
    head = b"label,pixel0\n"
    block = {
        "blank lines": b"\n",
        "quoted blank": b'"0",0\n' + b"\n" * 9,
        "one endless line": b"0,",
        "labels only": b"1,0\n",
    }
    train = tmp_path / f"{COMPETITION.name}.zip"
    with zipfile.ZipFile(train, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("test.csv", b"pixel0\n1\n")
        with packed.open("train.csv", "w", force_zip64=True) as member:
            member.write(head + b"0,0\n")
            for _ in range(60):
                member.write(block[kind] * (2**20 // len(block[kind])))
    said, peak = measured(READ, train, tmp_path / "cache")
    assert peak < GIGABYTE
    assert said.startswith("error: ") == (kind != "labels only")
