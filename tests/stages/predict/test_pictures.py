"""Somebody's own picture files."""

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

from digits.data.demo import demo
from digits.errors import UserError
from digits.stages.predict import pictures

DECODERS = [name for name in pictures.HEIF_DECODERS if importlib.util.find_spec(name)]
DRAWN = np.pad(np.kron(255 - demo().train_images[3, ..., 0], np.ones((4, 4), np.uint8)), 9, constant_values=255)


def file(picture: np.ndarray, kind: str = "PNG", **options: object) -> io.BytesIO:
    saved = io.BytesIO()
    Image.fromarray(picture).save(saved, kind, **options)
    saved.seek(0)
    return saved


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "AVIF"])
def test_every_common_kind(kind):
    assert alike(pictures.read(file(DRAWN, kind)), DRAWN) > 0.99


@pytest.mark.parametrize(("colour", "sign"), [(0, 1), (255, -1)], ids=["dark ink", "light ink"])
def test_transparent_paper_is_such_that_ink_shows(colour, sign):
    rgba = np.full((*DRAWN.shape, 4), colour, np.uint8)
    rgba[..., 3] = 255 - DRAWN
    assert sign * alike(pictures.read(file(rgba)), DRAWN) > 0.99


def test_colours_of_one_brightness_are_told_apart():
    ink, paper = np.array([200, 60, 60]), np.array([30, 133, 60])
    assert abs((ink - paper) @ [0.299, 0.587, 0.114]) < 10
    share = (255 - DRAWN[..., None].astype(float)) / 255
    picture = (paper + share * (ink - paper)).round().astype(np.uint8)
    assert abs(alike(pictures.read(file(picture)), DRAWN)) > 0.99


def test_sixteen_bits_a_pixel():
    assert alike(pictures.read(file(DRAWN.astype(np.uint16) * 257)), DRAWN) > 0.99


def test_a_rotation_tag_is_followed():
    tag = Image.Exif()
    tag[0x0112] = 6  # the camera was held upright
    wide = np.pad(DRAWN, ((0, 0), (0, 40)), constant_values=255)
    assert alike(pictures.read(file(np.rot90(wide), "JPEG", exif=tag.tobytes())), wide) > 0.9


@pytest.mark.parametrize("content", [b"no picture", file(DRAWN).getvalue()[:300], b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(UserError, match="no picture that can be read"):
        pictures.read(io.BytesIO(content))


@pytest.mark.skipif("pillow_heif" not in DECODERS, reason="it holds GPL libraries, so it does not come along")
def test_a_phones_own_format_is_read_where_its_decoder_is_installed():
    importlib.import_module("pillow_heif").register_heif_opener()  # which writes too
    assert alike(pictures.read(file(DRAWN, "HEIF")), DRAWN) > 0.99


def test_a_phones_own_format_and_a_film_are_told_apart():
    expected = "no picture that can be read" if DECODERS else "a HEIC picture; save it as JPEG or PNG"
    with pytest.raises(UserError, match=expected):
        pictures.read(io.BytesIO(b"\0\0\0\x18ftypheic" + bytes(40)))
    with pytest.raises(UserError, match="of no known kind"):
        pictures.read(io.BytesIO(b"\0\0\0\x18ftypqt  " + bytes(40)))


def test_an_empty_file_and_an_animation_are_named():
    with pytest.raises(UserError, match="the file is empty"):
        pictures.read(io.BytesIO())
    frames = [Image.fromarray(frame) for frame in (DRAWN, 255 - DRAWN)]
    animation = io.BytesIO()
    frames[0].save(animation, "GIF", save_all=True, append_images=frames[1:])
    animation.seek(0)
    with pytest.raises(UserError, match="holds 2 pictures"):
        pictures.read(animation)


def test_a_huge_picture_is_refused_before_it_is_opened():
    bomb = io.BytesIO()
    Image.new("1", (40_000, 40_000)).save(bomb, "PNG")  # some kilobytes of file
    bomb.seek(0)
    with pytest.raises(UserError, match="pixels are too many"):
        pictures.read(bomb)
    large = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(large, "PNG")  # nothing that Pillow itself would refuse
    large.seek(0)
    with pytest.raises(UserError, match="9000x9000 pixels are too many"):
        pictures.read(large)


def test_pictures_are_found_in_folders_once(tmp_path):
    (tmp_path / "scans" / "more").mkdir(parents=True)
    for name in ("scans/b.png", "scans/more/a.JPG", "scans/c.HEIC", "scans/notes.txt", "scans/IMG_1.MOV", "own.dat"):
        (tmp_path / name).touch()
    named = [tmp_path / "own.dat", tmp_path / "scans", tmp_path / "scans/b.png", tmp_path / "missing.png"]
    found, others = ([path.relative_to(tmp_path).as_posix() for path in paths] for paths in pictures.find(named))
    assert found == ["own.dat", "scans/b.png", "scans/c.HEIC", "scans/more/a.JPG", "missing.png"]
    assert others == ["scans/IMG_1.MOV", "scans/notes.txt"]
    assert pictures.find([tmp_path / "scans", tmp_path / "scans/notes.txt"])[1] == [tmp_path / "scans/IMG_1.MOV"]


def test_what_is_hidden_in_a_folder_is_left_out(tmp_path):
    (tmp_path / ".scans/.thumbnails").mkdir(parents=True)
    for name in ("._a.png", ".DS_Store", ".thumbnails/a.png", "a.png"):
        (tmp_path / ".scans" / name).touch()
    assert pictures.find([tmp_path / ".scans"]) == ([tmp_path / ".scans/a.png"], [])
    assert pictures.find([tmp_path / ".scans/._a.png"]) == ([tmp_path / ".scans/._a.png"], [])


def test_a_thumbnail_is_small():
    assert max(pictures.thumbnail(DRAWN, 50).shape) == 50
    assert pictures.thumbnail(DRAWN, 5000) is DRAWN
