"""The cache of parsed rows serves what the files hold."""

import os
import resource
import threading

import numpy as np
import pytest

from digits.data import cache as row_cache
from digits.data import read, table
from digits.data.source import Source
from digits.errors import UserError
from kaggle_form import write_competition

PIXELS = np.random.default_rng(0).integers(0, 256, (14, 3, 3, 1), dtype=np.uint8)
LABELS = np.array([3, 5, 8, 3, 5, 8, 3, 5, 8, 3])


@pytest.fixture
def source(tmp_path):
    return made(tmp_path / "made")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def made(folder, test_pixels=PIXELS[10:]):
    return Source(write_competition(folder, PIXELS[:10], LABELS, test_pixels), "")


def identity(dataset):
    """Fingerprints hold types and shapes too."""
    return dataset.name, dataset.fingerprint, dataset.test_fingerprint


def test_the_second_read_comes_from_the_cache(source, cache, monkeypatch):
    first = read(source, cache)
    monkeypatch.setattr(table, "_parse", None)
    assert identity(read(source, cache)) == identity(first)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[:-20], id="truncated"),
        pytest.param(lambda content: content[:-1] + bytes([content[-1] ^ 1]), id="flipped bit"),
        pytest.param(lambda content: b"\x93NUMPY" + bytes(len(content)), id="bad header"),
        pytest.param(lambda content: content.replace(b"(10, 3, 3, 1)", b"(99999999, 3, 3, 1)"), id="huge shape"),
        pytest.param(lambda content: content.replace(b"|u1", b"|i1"), id="other type"),
        pytest.param(lambda content: content.replace(b"|u1", b"|O8"), id="objects"),
    ],
)
def test_a_damaged_entry_is_rebuilt(source, cache, damage):
    first = read(source, cache)
    (entry,) = cache.iterdir()
    whole = entry.read_bytes()
    assert damage(whole) != whole
    entry.write_bytes(damage(whole))
    assert identity(read(source, cache)) == identity(first)
    assert entry.read_bytes() == whole


def test_a_changed_source_is_read_anew(source, cache):
    first = read(source, cache)
    file = source.path / "test.csv"
    status = file.stat()
    made(source.path, PIXELS[10:] // 2)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    second = read(source, cache)
    np.testing.assert_array_equal(second.test_images, PIXELS[10:] // 2)
    assert second.fingerprint == first.fingerprint
    assert second.test_fingerprint != first.test_fingerprint


def test_a_source_that_breaks_is_not_served_from_the_cache(source, cache):
    read(source, cache)
    (source.path / "train.csv").write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        read(source, cache)


def test_the_cache_keeps_a_bounded_number_of_entries(tmp_path, cache):
    cache.mkdir()
    left_behind, in_use = cache / ".tmp-1-old.npy", cache / ".tmp-2-new.npy"
    left_behind.touch()
    in_use.touch()
    os.utime(left_behind, (0, 0))
    for number in range(row_cache.ENTRIES + 2):
        read(made(tmp_path / str(number)), cache)
    assert len(list(cache.glob("[!.]*.npy"))) == row_cache.ENTRIES
    assert in_use.exists() and not left_behind.exists()


def test_concurrent_readers_get_the_same(source, cache):
    found = []
    readers = [threading.Thread(target=lambda: found.append(identity(read(source, cache)))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_an_ordinary_error(source, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(OSError):
        read(source, blocked / "cache")


def test_a_full_disk_is_an_ordinary_error_and_leaves_nothing(source, cache):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # no file may grow beyond 100 bytes
    try:
        with pytest.raises(OSError, match="too large"):
            read(source, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(cache.iterdir()) == []
