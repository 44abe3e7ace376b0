"""Arrays in .npz files, without pickles: damage is found."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from digits.files.atomic import replacing


def write(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays as one .npz; the same arrays give the same bytes."""
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def read(path: Path, **expected: str) -> dict[str, np.ndarray]:
    """Read a .npz, without pickles.

    Args:
        path: of the file.
        expected: arrays that must be there: the letters of their possible kinds in NumPy (`i`, `f`, `U`) and their
            number of dimensions, such as `rows="i1"` or `classes="iU1"`.

    Raises:
        ValueError: it is missing or damaged, holds anything but plain arrays, lacks an expected one, or an expected
            one holds NaN or infinity.
    """
    try:
        content = path.read_bytes()
        _check_stored(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        for name, form in expected.items():
            values = arrays[name]
            fits = values.dtype.kind in form[:-1] and values.ndim == int(form[-1])
            if not fits or (values.dtype.kind == "f" and not np.isfinite(values).all()):
                raise ValueError(f"array '{name}' has another form")
    except MemoryError:
        raise
    except Exception as error:  # a damaged zip fails in a dozen ways, all of them this one
        raise ValueError(f"{path}: missing or damaged ({error})") from error
    return arrays


def read_probabilities(path: Path) -> dict[str, np.ndarray]:
    """Read a run's `test.npz`, or its `oof.npz`, which holds rows and labels too.

    A `test.npz` holds `ids` where the test table has some.

    Raises:
        ValueError: it is missing, damaged, or its arrays do not fit together.
    """
    more = {"rows": "i1", "labels": "iU1"} if path.name == "oof.npz" else {}
    arrays = read(path, probabilities="f2", classes="iU1", fingerprint="U0", **more)
    rows, classes = arrays["probabilities"].shape
    ids = arrays.get("ids", np.arange(rows))
    if ids.dtype.kind != "i" or ids.shape != (rows,):
        raise ValueError(f"{path}: damaged: its ids are not those of its rows")
    if not rows or classes != len(arrays["classes"]) or any(len(arrays[name]) != rows for name in more):
        raise ValueError(f"{path}: damaged: its arrays do not fit together")
    return arrays


def _check_stored(content: bytes) -> None:
    """Refuse arrays that unpack to more than their file, as ours are not compressed, or with another checksum."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > len(content):
            raise ValueError(f"it would unpack to {size:,} bytes")
        for member in archive.infolist():
            with archive.open(member) as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{member.filename} is cut off")
        damaged = archive.testzip()  # NumPy does not look at the checksum where a header asks for less than is there
        if damaged:
            raise ValueError(damaged)
