"""A valid submission stays valid, every corruption is a problem, and nothing ends in a traceback."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from digits.data import submission
from digits.errors import UserError

CLASSES = np.array([0, 1, 2, 7, 2**32 - 1])
labels = st.lists(st.sampled_from(CLASSES.tolist()), min_size=1, max_size=12)


def lines_of(chosen: list[int]) -> list[str]:
    return ["ImageId,Label", *(f"{number},{label}" for number, label in enumerate(chosen, start=1))]


def in_zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("some.csv", content)
    return file.getvalue()


def judged(folder: Path, content: bytes, rows: int) -> submission.Verdict | None:
    """None where it is no CSV, which is told in a line."""
    (folder / "some.csv").write_bytes(content)
    try:
        return submission.check(folder / "some.csv", rows, CLASSES)
    except UserError as error:
        assert "\n" not in str(error)
        return None


@given(
    chosen=labels,
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.integers(0, 3),
    bom=st.booleans(),
    quoted=st.booleans(),
    shuffled=st.booleans(),
    zipped=st.booleans(),
)
def test_a_valid_file_is_valid_however_it_is_written(tmp_path, chosen, end, last, bom, quoted, shuffled, zipped):
    lines = lines_of(chosen)
    if shuffled:
        lines = [lines[0], *reversed(lines[1:])]
    if quoted:
        lines = [",".join(f'"{cell}"' for cell in line.split(",")) for line in lines]
    content = (b"\xef\xbb\xbf" if bom else b"") + (end.join(lines) + last * end).encode()
    content = in_zip(content) if zipped else content
    verdict = judged(tmp_path, content, len(chosen))
    assert verdict.valid, verdict.problems
    assert verdict.labels.tolist() == chosen


@given(chosen=labels)
def test_what_is_written_is_valid(tmp_path, chosen):
    submission.write(tmp_path / "own.csv", (np.array(chosen)[:, None] == CLASSES).astype(float), CLASSES)
    assert submission.check(tmp_path / "own.csv", len(chosen), CLASSES).labels.tolist() == chosen


@st.composite
def corrupted(draw: st.DrawFn) -> tuple[list[str], int]:
    """Lines that are no submission of so many rows any more."""
    chosen = draw(labels)
    lines = lines_of(chosen)
    at = draw(st.integers(1, len(chosen)))
    number, label = lines[at].split(",")
    kind = draw(st.sampled_from(["drop", "repeat", "label", "id", "cells", "header", "blank", "more"]))
    if kind == "drop":
        del lines[at]
    elif kind == "repeat":
        lines.insert(at, lines[at])
    elif kind == "label":
        written = draw(
            st.one_of(
                st.sampled_from(["", " 1", "1 ", "1.0", "01", "+1", "nan", "3", "-1", "1e0"]), st.text(max_size=4)
            )
        )
        assume(written not in {str(of) for of in CLASSES} and not set(written) & set('",\r\n'))
        lines[at] = f"{number},{written}"
    elif kind == "id":
        written = draw(
            st.one_of(st.integers().map(str), st.sampled_from(["", "1.0", " 1", "01", "x", "\uff11", "9" * 5000]))
        )
        assume(written != number)
        lines[at] = f"{written},{label}"
    elif kind == "cells":
        lines[at] = draw(st.sampled_from([number, f"{number},{label},", f"{number},{label},0", f",{number},{label}"]))
    elif kind == "header":
        lines[0] = draw(st.sampled_from(["", "ImageId", "ImageID,Label", "Label,ImageId", " ImageId,Label", "1,2"]))
    elif kind == "blank":
        lines.insert(at, "")
    else:
        lines.append(f"{len(chosen) + 1},{label}")
    return lines, len(chosen)


@given(made=corrupted())
def test_every_corruption_is_a_problem(tmp_path, made):
    lines, rows = made
    verdict = judged(tmp_path, ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"), rows)
    assert verdict is None or verdict.problems


@given(content=st.one_of(st.binary(), st.text('0123456789,."\r\n x').map(str.encode)), rows=st.integers(0, 9))
@example(content=b"ImageId,Label\n" + b'"' + b"x" * 200_000, rows=3)
@example(content=b"ImageId,Label\n1,\xff\n", rows=1)
@example(content=b"ImageId,Label\n1,1e999\n", rows=1)
def test_any_bytes_are_judged(tmp_path, content, rows):
    verdict = judged(tmp_path, content, rows)
    assert (
        verdict is None
        or verdict.problems
        or content.decode("utf-8-sig").split()[0].replace('"', "") == "ImageId,Label"
    )


@given(chosen=labels, place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_changed_byte_never_changes_a_label_unseen(tmp_path, chosen, place, byte):
    """What is found valid reads as the file says, and never as another row's label."""
    content = bytearray(("\n".join(lines_of(chosen)) + "\n").encode())
    content[int(place * len(content))] = byte
    verdict = judged(tmp_path, bytes(content), len(chosen))
    if verdict is not None and verdict.valid:
        changed = sum(one != other for one, other in zip(verdict.labels.tolist(), chosen, strict=True))
        assert changed <= 1


@given(
    chosen=labels,
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_a_damaged_zip_is_read_or_refused(tmp_path, chosen, changes):
    content = bytearray(in_zip(("\n".join(lines_of(chosen)) + "\n").encode()))
    for place, byte in changes:
        content[int(place * len(content))] = byte
    verdict = judged(tmp_path, bytes(content), len(chosen))
    assert verdict is None or not verdict.valid or verdict.labels.tolist() == chosen


def test_an_endless_file_is_refused_after_its_beginning():
    with pytest.raises(UserError, match="is no submission but a file of more than"):
        submission.check(Path("/dev/zero"), 3, CLASSES)
