"""What is fuzzed: functions that take any bytes, with bytes to begin with and words to mix in.

A target raises nothing but what is a bug: where it reads a file of a user, `UserError` is an answer.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from digits import config, data, runs
from digits.config import Config
from digits.data import Source, submission
from digits.errors import UserError
from digits.stages.predict import ink, pictures
from digits.stages.tune import space

MEMORY = Path("/dev/shm")


class Target(NamedTuple):
    """try_: takes any bytes. seeds: to begin with. words: to mix in. longest: bytes that are tried."""

    try_: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: list[bytes]
    longest: int


@cache
def folder() -> Path:
    """A folder of this process, in memory where there is such a thing."""
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))


@contextlib.contextmanager
def refusals():
    """Lets a refusal pass that is one line."""
    try:
        yield
    except UserError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than a line: {error}") from error


# --- tables: the first byte says whether the rest is train.csv, test.csv, or a zip or tar of both -------------

TRAIN = b"label,pixel0,pixel1,pixel2,pixel3\n1,0,1,2,255\n2,4,5,6,7\n"
TEST = b"pixel0,pixel1,pixel2,pixel3\n9,9,9,9\n"
ARCHIVES = {b"z": "some.zip", b"a": "some.tar", b"g": "some.tar.gz"}
FORMS = [  # of train.csv
    TRAIN.replace(b"\n", b"\r\n"),
    TRAIN.replace(b"\n", b"\r"),
    b"\xef\xbb\xbf" + TRAIN,
    TRAIN.replace(b"1", b'"1"'),
    TRAIN.replace(b",", b";"),
    b"label,1x1,1x2,2x1,2x2\n1.0,0,1,2,255\n2e0,4,5,6,7\n",
    b",Class,id,pixel1,pixel2,pixel3,pixel4\n0,1,1,0,1,2,255\n1,2,2,4,5,6,7\n",
    b"1,0,1,2,255\n2,4,5,6,7\n",
]


def try_table(content: bytes) -> None:
    kind, rest = content[:1], content[1:]
    tables = folder() / "tables"
    tables.mkdir(exist_ok=True)
    if kind in ARCHIVES:
        path = tables / ARCHIVES[kind]
        path.write_bytes(rest)
    else:
        path = tables / "both"
        path.mkdir(exist_ok=True)
        (path / "train.csv").write_bytes(TRAIN if kind == b"t" else rest)
        (path / "test.csv").write_bytes(rest if kind == b"t" else TEST)
    with refusals():
        read = data.read(Source(path, ""), folder() / "cache")
        height, width, channels = read.shape
        if height != width or channels not in (1, 3) or len(read.train_images) != len(read.train_labels):
            raise AssertionError(f"{read.train_images.shape} images, {len(read.train_labels)} labels")
    if not {path.name for path in tables.iterdir()} <= {*ARCHIVES.values(), "both"}:
        raise AssertionError(f"wrote {[str(path) for path in tables.rglob('*')]}")


def tables() -> list[bytes]:
    packed = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("digits/train.csv", TRAIN)
            archive.writestr("digits/test.csv", TEST)
        packed.append(b"z" + file.getvalue())
    tar = b""
    for name, content in (("some_train.csv", TRAIN), ("some_test.csv", TEST)):
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar += member.tobuf() + content.ljust(tarfile.BLOCKSIZE, b"\0")
    packed += [b"a" + tar, b"g" + gzip.compress(tar)]
    return [*(b"c" + form for form in (TRAIN, *FORMS, b"")), b"t" + TEST, b"tid," + TEST, *packed]


# --- configs: the first byte says whether the rest is a config, an override, a space or a run.json -----------


def try_config(content: bytes) -> None:
    kind, rest = content[:1], content[1:]
    path = folder() / "some.yaml"
    with refusals():
        if kind == b"o":
            config.revise(Config(), [rest.decode("utf-8", "replace")], "of the test")
        elif kind == b"s":
            path.write_bytes(rest)
            space.load(path, Config(), []).own_values()
        elif kind == b"j":
            (folder() / "run.json").write_bytes(rest)
            runs.members(runs.RunFolder(folder()).recorded_config())
        else:
            path.write_bytes(rest)
            found = config.load(path)
            config.parse(json.loads(json.dumps(found.model_dump(mode="json"))), "of itself")


def configs() -> list[bytes]:
    record = json.dumps({"config": Config().model_dump(mode="json")}).encode()
    files = [
        b"seed: 1\ntraining: {epochs: 3, optimizer: {learning_rate: 1e-3}}\narchitectures: [{net: mlp, name: x}]\n",
        b"a: &a [x, x]\nb: [*a, *a]\n",
        b"tune: {tuner: random, hours: 1.5}\ncluster: {space: pixels-pca-tsne}\nfolds:\n  count: 3\n  limit: ~\n",
    ]
    spaces = [
        b"set: {training: {epochs: 2}}\nsearch: {training.optimizer.learning_rate: {float: [0.001, 0.1], log: true}}\n",
        b"search: {tta: {choice: [none, shifts]}, augmentation.pack: {int: [1, 9], step: 2}}\n",
    ]
    overrides = [b"training.epochs=3", b"architectures.0.options={dropout: 0.1}"]
    kinds = {b"f": files, b"s": spaces, b"o": overrides, b"j": [record]}
    return [kind + seed for kind, seeds in kinds.items() for seed in seeds]


# --- pictures -----------------------------------------------------------------------------------------------


def try_picture(content: bytes) -> None:
    with refusals():
        picture = pictures.read(io.BytesIO(content))
        digits = ink.to_digits(picture, 28)
        if digits.shape[1:] != (28, 28) or digits.dtype != np.uint8:
            raise AssertionError(f"digits {digits.shape} {digits.dtype}")


def drawings() -> list[bytes]:
    drawn = np.full((24, 18), 255, np.uint8)
    drawn[4:20, 8:11] = 10
    modes = {"PNG": "1 L LA P RGB RGBA", "JPEG": "L RGB CMYK", "GIF": "P", "BMP": "1 RGB", "WEBP": "RGB RGBA"}
    modes |= {"TIFF": "1 L RGB CMYK I F", "AVIF": "RGB RGBA"}
    seeds = []
    for kind, names in modes.items():
        for mode in names.split():
            file = io.BytesIO()
            Image.fromarray(drawn).convert(mode).save(file, kind)
            seeds.append(file.getvalue())
    return seeds


# --- submissions --------------------------------------------------------------------------------------------

CLASSES = np.arange(10)


def try_submission(content: bytes) -> None:
    path = folder() / "some.csv"
    path.write_bytes(content)
    with refusals():
        verdict = submission.check(path, 3, CLASSES)
        if verdict.valid and not content.startswith(submission.ZIP):
            header, *plain = content.decode("utf-8-sig").replace('"', "").split()
            expected = [f"{row},{label}" for row, label in enumerate(verdict.labels, start=1)]
            if header != "ImageId,Label" or sorted(plain) != sorted(expected):
                raise AssertionError(f"valid, but {plain}")


def submissions() -> list[bytes]:
    lines = b"ImageId,Label\n1,7\n2,0\n3,9\n"
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("some.csv", lines)
    others = [lines.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + lines, b'"ImageId","Label"\n"1",7\n2,0\n3,9\n', b""]
    return [lines, *others, b"ImageId,Label\n", b"ImageId,Label\n2,0\n1,7\n3,9\n", zipped.getvalue()]


TARGETS = {
    "table": Target(
        try_table,
        tables,
        [b"label", b"pixel0", b"1x1", b"id", b"PK\x03\x04", b"PK\x01\x02", b"ustar", b"train.csv", b"../"],
        4096,
    ),
    "config": Target(
        try_config,
        configs,
        [
            *(key.rpartition(".")[2].encode() for key in config.known_keys()),
            b"!!int",
            b"!!timestamp",
            b"!!binary",
            b".nan",
        ],
        4096,
    ),
    "picture": Target(
        try_picture, drawings, [b"IHDR", b"IDAT", b"tRNS", b"PLTE", b"Exif\0\0", b"VP8X", b"GIF89a"], 4096
    ),
    "submission": Target(try_submission, submissions, [b"ImageId,Label", b"1.0", b"nan", b"\r\n", b"PK\x01\x02"], 1024),
}
