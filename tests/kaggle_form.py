"""Small competitions in Kaggle's form, for the tests."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np


def write_competition(
    folder: Path, train_pixels: np.ndarray, train_labels: np.ndarray, test_pixels: np.ndarray
) -> Path:
    """Write train.csv and test.csv as Kaggle does and return the folder.

    train_pixels: whole numbers (n, ...); train_labels: whole numbers (n,); test_pixels: as train_pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    train_pixels, test_pixels = (pixels.reshape(len(pixels), -1) for pixels in (train_pixels, test_pixels))
    header = [f"pixel{index}" for index in range(train_pixels.shape[1])]
    _write_csv(folder / "train.csv", ["label", *header], np.column_stack([train_labels, train_pixels]))
    _write_csv(folder / "test.csv", header, test_pixels)
    return folder


def make_zip(folder: Path, archive: Path, names: tuple[str, ...] = ("train.csv", "test.csv")) -> Path:
    """Pack the named files of a folder, as Kaggle's download does, and return the zip's path."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            packed.write(folder / name, name)
    return archive


def _write_csv(path: Path, header: list[str], rows: np.ndarray) -> None:
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows.tolist())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
