"""Read picture files of any kind, within limits."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from digits.errors import UserError

MOST_BYTES = 2**27  # of a file
MOST_PIXELS = 64_000_000  # of a picture that is opened at all: a phone's are a third of it
MOST_OF = {"WEBP": 32_000_000, "AVIF": 32_000_000}  # by format: their decoders take 16 bytes for each
MOST_SIDE = 30_000  # pixels of a side: OpenCV counts some in 16 bits
KEPT_PIXELS = 4_000_000  # of a picture once it is read: far more than `ink` needs
STRIP = 64  # rows of the smaller picture that a large one is made smaller by at a time
LARGE_ONE = threading.Lock()  # held while the pixels of a larger picture are in memory: several would fill it
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")  # Pillow knows others that run programs, such as EPS
HEIF = "HEIF"  # the format of HEIC files; their decoders are under the LGPL and the GPL, so they do not come along
HEIF_DECODERS = ("pillow_heif", "pi_heif")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
REDUCIBLE = {"1": "L", "P": "RGBA", "PA": "RGBA", "I;16": "I", "I;16B": "I", "I;16L": "I", "I;16N": "I"}
SUFFIXES = {  # of what is taken from a folder
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif",
}  # fmt: skip


def find(named: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files that people name with the pictures in the folders that they name, and what else is in these folders.

    Each path is there once. What is hidden is left out: Macs leave a `._name.png` beside `name.png` on other disks.
    """
    pictures, others = {}, {}
    for given in named:
        for path in _inside(given) if given.is_dir() else [given]:
            # a pipe that is called like a picture would never end
            taken = path == given or (path.suffix.lower() in SUFFIXES and path.is_file())
            (pictures if taken else others)[path] = None
    return list(pictures), [path for path in others if path not in pictures]


def _inside(folder: Path) -> list[Path]:
    """Everything below a folder that is not hidden, but folders."""
    inside = (path for path in folder.rglob("*") if not path.is_dir())
    return sorted(path for path in inside if not any(part[0] == "." for part in path.relative_to(folder).parts))


def read(file: BinaryIO) -> np.ndarray:
    """A picture file in the shades of grey that show its ink best: uint8 (height, width). See `read_colours`."""
    return grey(read_colours(file))


def read_colours(file: BinaryIO) -> np.ndarray:
    """A picture file in RGB, turned as its tag says: uint8 (height, width, 3).

    A picture of more than `KEPT_PIXELS` is made smaller.

    Raises:
        UserError: it is no picture that can be read, or too large, or holds several.
    """
    content = file.read(MOST_BYTES + 1)
    if not content:
        raise UserError("the file is empty")
    if len(content) > MOST_BYTES:
        raise UserError(f"a file of more than {MOST_BYTES:,} bytes is too large; save the picture smaller")
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as picture:
            _check(picture)
            factor = _times_too_large(picture)
            picture.draft(None, (picture.width // factor, picture.height // factor))  # a JPEG is decoded smaller
            with LARGE_ONE if _times_too_large(picture) > 1 else contextlib.nullcontext():
                small = _eight_bits(_smaller(picture))
                small.getexif().update(picture.getexif())
                if small is not picture:
                    picture.close()  # frees its pixels
            upright = _on_paper(ImageOps.exif_transpose(small).convert("RGBA"))
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"its pixels are too many; {MOST_PIXELS:,} are allowed") from None
    except UnidentifiedImageError:
        if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS and HEIF not in _formats():
            raise UserError(
                "a HEIC picture; save it as JPEG or PNG (on an iPhone: Settings, Camera, Formats, Most Compatible), or "
                "install pillow-heif into .venv"
            ) from None
        raise UserError("no picture that can be read (of no known kind)") from None
    except Exception as error:  # Pillow raises a dozen kinds, for files that are cut off or made to harm
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"no picture that can be read ({reason})") from None
    return np.asarray(upright)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Formats that are read: HEIF where its decoder is installed."""
    for name in HEIF_DECODERS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name).register_heif_opener()
            return (*FORMATS, HEIF)
    return FORMATS


def _check(picture: Image.Image) -> None:
    most = MOST_OF.get(picture.format, MOST_PIXELS)
    if picture.width * picture.height > most:
        raise UserError(f"{picture.width}x{picture.height} pixels are too many; {most:,} are allowed")
    if max(picture.size) > MOST_SIDE:
        raise UserError(f"{picture.width}x{picture.height} pixels are too long a picture; cut it to {MOST_SIDE:,}")
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # an MPO is a phone's JPEG with a second view
        raise UserError(f"holds {frames} pictures (an animation, or pages); save one of them by itself")


def _smaller(picture: Image.Image) -> Image.Image:
    """Shrink a large picture by whole numbers, so that what follows takes little memory; leave others as they are."""
    if _times_too_large(picture) < 2:
        return picture
    picture.load()
    if picture.width * picture.height > MOST_PIXELS:  # what the frames of a GIF can make of its size
        _check(picture)
    mode = REDUCIBLE.get(picture.mode, picture.mode)
    factor = _times_too_large(picture)
    across, down = min(factor, picture.width), min(factor, picture.height)
    small = Image.new(mode, (math.ceil(picture.width / across), math.ceil(picture.height / down)))
    small.info = picture.info.copy()
    for top in range(0, picture.height, STRIP * down):  # in strips, since Pillow makes copies in other modes
        strip = picture.crop((0, top, picture.width, min(top + STRIP * down, picture.height)))
        small.paste(strip.convert(mode).reduce((across, down)), (0, top // down))
    return small


def _times_too_large(picture: Image.Image) -> int:
    """Whole number by which either side is to shrink."""
    return max(1, math.ceil(math.sqrt(picture.width * picture.height / KEPT_PIXELS)))


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale a picture of 16 or 32 bits a pixel to eight, from its darkest to its lightest; leave others as they are."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture, np.float64)
    if not np.isfinite(values).all():
        raise UserError("holds pixels that are no numbers")
    low, high = values.min(), values.max()
    return Image.fromarray((255 * (values - low) / max(high - low, 1)).astype(np.uint8))


def _on_paper(rgba: Image.Image) -> Image.Image:
    """Put paper on which the rest can be seen behind transparent parts: RGB."""
    opaque, *colours = (np.asarray(rgba.getchannel(name), np.float32) for name in "ARGB")
    if opaque.min() < 255:
        brightness = np.mean([np.vdot(colour, opaque) for colour in colours])
        paper = "black" if brightness > 127.5 * opaque.sum() else "white"
        rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, paper), rgba)
    return rgba.convert("RGB")


def grey(rgb: np.ndarray) -> np.ndarray:
    """Colours uint8 (height, width, 3) along the line on which they differ most: uint8 (height, width).

    So red ink on green paper is seen too.
    """
    small = cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.float32)
    spread, axes = np.linalg.eigh(np.cov(small.T))
    usual = small @ np.float32([0.299, 0.587, 0.114])
    if 3 * usual.var() > 0.5 * spread[-1]:  # light and dark: the usual grey shows it all
        return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    axis = axes[:, -1] * np.sign(axes[:, -1].sum() or 1)
    line = rgb @ axis.astype(np.float32)
    low, high = line.min(), line.max()
    return ((line - low) * (255 / max(high - low, 255))).astype(np.uint8)


def resized(rgb: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A picture uint8 (height, width, 3) in the shape of training images in colour: uint8 (1, *shape)."""
    return cv2.resize(rgb, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)[None]


def thumbnail(picture: np.ndarray, longest: int) -> np.ndarray:
    """A small copy of a picture uint8 (height, width, ...), its longer side of that many pixels at most."""
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
