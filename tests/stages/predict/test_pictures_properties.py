"""Any file is a picture or refused in a line; any picture gives digits, in little memory and time."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from command import measured
from digits.errors import UserError
from digits.stages.predict import ink, pictures

SIDE = 28
GIGABYTE = 2**30
DRAWN = np.full((40, 30), 255, np.uint8)
DRAWN[5:35, 13:17] = 10
MODES = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "JPEG": ("L", "RGB", "CMYK"), "BMP": ("1", "L", "RGB")}
MODES |= {"GIF": ("L", "P"), "WEBP": ("RGB", "RGBA"), "AVIF": ("L", "RGB", "RGBA")}
MODES |= {"TIFF": ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I", "F", "LAB")}
KINDS = [(kind, mode) for kind, modes in MODES.items() for mode in modes]


def saved(kind: str, mode: str, drawn: np.ndarray = DRAWN, **options: object) -> bytes:
    picture = Image.fromarray(drawn)
    if mode == "I;16":
        picture = Image.fromarray(drawn.astype(np.uint16) * 257)
    elif mode == "LAB":
        picture = Image.merge("LAB", [picture, picture, picture])
    else:
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def read(content: bytes) -> np.ndarray | None:
    """The picture of a file; None where it was refused in a line."""
    try:
        picture = pictures.read(io.BytesIO(content))
    except UserError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 300
        return None
    assert picture.dtype == np.uint8
    assert picture.ndim == 2
    return picture


@pytest.mark.parametrize(("kind", "mode"), KINDS)
def test_every_mode_of_every_kind_is_read(kind, mode):
    picture = read(saved(kind, mode))
    assert picture.shape == DRAWN.shape
    assert ink.to_digit(picture, SIDE) is not None


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A picture's file with some bytes changed, cut off or repeated."""
    content = bytearray(saved(*draw(st.sampled_from(KINDS))))
    for _ in range(draw(st.integers(1, 4))):
        at = (
            draw(st.integers(0, len(content) - 1))
            if draw(st.booleans())
            else draw(st.integers(0, min(60, len(content) - 1)))
        )
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
        if not content:
            break
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 5)) == 0 else content)


@given(content=st.one_of(st.binary(), damaged()))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_any_file_is_a_picture_or_refused(content):
    picture = read(content)
    if picture is not None and picture.size < 10_000:
        ink.to_digits(picture, SIDE)


@given(
    picture=arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 90), st.integers(1, 90)),
        elements=st.one_of(st.sampled_from([0, 255]), st.integers(0, 255)),
        fill=st.sampled_from([0, 128, 255]),
    ),
    side=st.integers(1, 40),
)
@example(picture=np.zeros((1, 1), np.uint8), side=1)
def test_any_picture_gives_digits(picture, side):
    digits = ink.to_digits(picture, side)
    assert digits.shape[1:] == (side, side)
    assert digits.dtype == np.uint8
    whole = ink.to_digit(picture, side)
    assert (whole is None) == (len(digits) == 0)


def dotted(step: int) -> np.ndarray:
    picture = np.full((400, 400), 255, np.uint8)
    picture[::step, ::step] = 0
    return picture


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.arange(1_000_000, dtype=np.uint32)[None].astype(np.uint8), id="one long line"),
        pytest.param(np.arange(1_000_000, dtype=np.uint32)[:, None].astype(np.uint8), id="one high line"),
        pytest.param(dotted(3), id="17,000 dots"),
    ],
)
def test_no_picture_takes_minutes(picture):
    ink.to_digits(picture, SIDE)


def png(width: int, height: int, colour: int, compressed: bytes) -> bytes:
    """A PNG that says so, whatever its pixels are."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [(0, 5, "no picture"), (2**31 - 1, 2**31 - 1, "too many"), (40_000, 1_000, "too long"), (9_000, 9_000, "too many")],
)
def test_absurd_sizes_are_refused_before_anything_is_unpacked(width, height, said):
    with pytest.raises(UserError, match=said):
        pictures.read(io.BytesIO(png(width, height, 6, b"")))


BOMB = """
import sys
from concurrent.futures import ThreadPoolExecutor
from digits.stages.predict import ink, pictures
from digits.stages.predict.stage import MOST_READERS

def look(_):
    picture = pictures.read(open(sys.argv[1], "rb"))
    ink.to_digits(picture, 28)
    return picture.shape

with ThreadPoolExecutor(MOST_READERS) as readers:
    (shape,) = set(readers.map(look, range(MOST_READERS)))
print(*shape)
"""


@pytest.mark.slow
@pytest.mark.parametrize("colour", [6, 4], ids=["RGBA", "LA"])
def test_the_largest_pictures_are_read_within_a_gigabyte(tmp_path, colour):
    """In a process of its own, as many at a time as `predict` reads: each 64 million pixels, half transparent, out of a
    file of some kilobytes.
    """
    squeezed = zlib.compressobj(1)
    line = b"\0" + (b"\x10\x20\x30\x80" if colour == 6 else b"\x10\x80") * 8_000
    content = b"".join(squeezed.compress(line) for _ in range(8_000)) + squeezed.flush()
    (tmp_path / "large.png").write_bytes(png(8_000, 8_000, colour, content))
    _is_read_within_a_gigabyte(tmp_path / "large.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [("WEBP", {"lossless": True, "method": 0}), ("AVIF", {"speed": 10, "quality": 90, "subsampling": "4:4:4"})],
)
def test_the_largest_pictures_of_other_formats_are_read_within_a_gigabyte(kind, options, tmp_path):
    """Half as many pixels, whose decoder takes four times the memory."""
    side = int(pictures.MOST_OF[kind] ** 0.5)
    large = Image.new("RGBA", (side, side), (16, 32, 48, 128))
    large.save(tmp_path / "large", kind, **options)
    _is_read_within_a_gigabyte(tmp_path / "large")
    file = io.BytesIO()
    large.resize((side + 1, side + 1)).save(file, kind, **options)
    with pytest.raises(UserError, match="pixels are too many; 32,000,000 are allowed"):
        pictures.read(io.BytesIO(file.getvalue()))


def _is_read_within_a_gigabyte(path):
    said, peak = measured(BOMB, path)
    height, width = map(int, said.split())
    assert height * width <= pictures.KEPT_PIXELS
    assert peak < GIGABYTE


@pytest.mark.parametrize("kind", ["EPS", "PPM", "ICO", "TGA", "PDF"])
def test_what_no_camera_writes_is_not_opened(kind):
    """Pillow hands EPS to Ghostscript, a program that can read and write files."""
    file = io.BytesIO()
    Image.fromarray(DRAWN).save(file, kind)
    with pytest.raises(UserError, match="of no known kind"):
        pictures.read(io.BytesIO(file.getvalue()))


def test_a_large_picture_comes_smaller_and_shows_the_same(tmp_path):
    large = np.kron(DRAWN, np.ones((80, 80), np.uint8))
    small = read(saved("PNG", "L"))
    for kind, mode in (("PNG", "L"), ("PNG", "P"), ("PNG", "1"), ("PNG", "I;16"), ("JPEG", "RGB"), ("WEBP", "RGBA")):
        picture = read(saved(kind, mode, large))
        assert picture.size <= pictures.KEPT_PIXELS
        one, other = (ink.to_digit(of, SIDE).astype(float).ravel() for of in (picture, small))
        assert np.corrcoef(one, other)[0, 1] > 0.9, (kind, mode)


def test_a_turned_large_picture_is_turned_too():
    tag = Image.Exif()
    tag[0x0112] = 6
    large = np.kron(np.rot90(DRAWN), np.ones((80, 80), np.uint8))
    picture = read(saved("JPEG", "L", large, exif=tag.tobytes()))
    assert picture.shape[0] > picture.shape[1]


def test_a_pipe_in_a_folder_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    found, others = pictures.find([tmp_path])
    assert found == []
    assert {path.name for path in others} == {"pipe.png", "loop.png"}


def test_a_file_without_an_end_is_refused():
    with open("/dev/zero", "rb") as endless, pytest.raises(UserError, match="is too large"):  # noqa: PTH123
        pictures.read(endless)
