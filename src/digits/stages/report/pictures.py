"""Pictures within the page: figures of the stages, and images of the data."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from digits.errors import UserError, shown
from digits.runs import Run
from digits.stages.report.page import PageImage, PagePicture

DOTS = 200 / 96  # of a figure, in a pixel of the page
WIDEST = 1400  # dots of a figure in the page
MOST_PIXELS = 64_000_000  # of a picture that is opened: runs come from other people too
QUALITY = 82  # of WebP; text stays sharp
LARGEST_IMAGE = 64  # pixels of a side of an image of the data


def image(run: Run, row: str, *lines: str) -> PageImage:
    """A training image within the page, ink dark, no larger than is of use; row: its number."""
    if int(row) < 0:
        raise ValueError(f"there is no row {shown(row)}")
    pixels = run.dataset.train_images[int(row)]
    grey = pixels.shape[-1] == 1
    image = Image.fromarray(255 - pixels[..., 0] if grey else pixels)
    image.thumbnail((LARGEST_IMAGE, LARGEST_IMAGE))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return PageImage(_uri("png", file), lines)


def figures(folder: Path, names: Sequence[str], record: Mapping[str, Any]) -> list[PagePicture]:
    """Embed the named figures that are in the folder, whose record holds captions by file name."""
    captions = record.get("captions", {})
    files = [f"{name}.png" for name in names]
    return [_embedded(folder / file, captions[file]) for file in files if file in captions and (folder / file).exists()]


def _embedded(path: Path, caption: Mapping[str, str]) -> PagePicture:
    """A figure within the page, no finer than is of use.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError("it has too many pixels")
            rgb = picture.convert("RGB")
    except Exception as error:  # Pillow raises a dozen kinds, for files that are cut off or made to harm
        raise UserError(f"{path}: cannot be read ({shown(str(error))}); make it anew") from None
    size = round(rgb.width / DOTS), round(rgb.height / DOTS)
    if rgb.width > WIDEST:
        rgb = rgb.resize((WIDEST, round(rgb.height * WIDEST / rgb.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    rgb.save(file, "WEBP", quality=QUALITY, method=4)
    name = f"{path.parent.name}-{path.stem}"
    return PagePicture(name, _uri("webp", file), *size, caption["title"], caption["text"])


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode("ascii")
