"""What is installed: pinned, with hashes, and under licences that everybody can live with."""

from __future__ import annotations

import csv
import re

import pytest
from packaging.licenses import canonicalize_license_expression

from command import ROOT
from tools import licences

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("HPND", "ISC", "MIT", "MIT-CMU", "PSF-2.0", "Unlicense", "Zlib"),
}
WEAK_COPYLEFT = {"MPL-2.0"}  # its files stay open, ours are ours
TABLE = list(csv.DictReader(licences.TABLE.open(encoding="utf-8", newline="")))
LOCKED = [line for lock in licences.LOCKS for line in licences.lines(lock)]


@pytest.mark.parametrize("lock", licences.LOCKS)
def test_every_line_of_a_lock_is_pinned_with_hashes(lock):
    lines = list(licences.lines(lock))
    text = (ROOT / lock).read_text()
    assert len(lines) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)) > 50
    assert [line.package for line in lines if not line.version or not line.hashes] == []
    assert sum(len(line.hashes) for line in lines) == text.count("--hash")


def test_the_locks_agree_with_each_other():
    """What explores and tests is installed on top of what runs, and must not change it."""
    smaller, *larger = ({(of.package, of.version) for of in licences.lines(lock)} for lock in licences.LOCKS)
    for lock in larger:
        assert smaller <= lock
        smaller = lock


def test_every_install_of_a_lock_checks_the_hashes():
    installs = re.findall(r".*\bpip install\b.*", (ROOT / "src/install.sh").read_text())
    assert len(installs) == 4
    for line in installs:
        assert ("--require-hashes" in line) == ("$lock" in line)
        assert ("--no-deps" in line) == ("$lock" not in line)  # this project itself: all it needs stands in the lock
    recipes = (ROOT / "Makefile").read_text()
    assert re.findall(r"install\.sh \S+ (\S+)", recipes) == list(licences.LOCKS)


def test_the_table_holds_every_package_of_every_lock_and_no_other():
    listed = {(row["package"], row["version"]) for row in TABLE}
    assert {(line.package, line.version) for line in LOCKED} <= listed, "run `make licences`"
    others = [line for file in licences.OTHERS for line in licences.lines(file)]
    assert {(line.package, line.version) for line in others if line.version} <= listed, "run `make licences`"
    assert {line.package for line in others} <= {row["package"] for row in TABLE}, "run `make licences`"
    assert {row["package"] for row in TABLE} == {line.package for line in (*LOCKED, *others)}, "run `make licences`"
    assert len(listed) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['package']}-{row['version']}")
def test_every_licence_is_permissive_or_weak_copyleft(row):
    expression = canonicalize_license_expression(row["licence"])
    assert expression == row["licence"]
    assert set(re.split(r" (?:AND|OR) ", expression)) <= PERMISSIVE | WEAK_COPYLEFT


def test_the_table_says_what_the_installed_packages_say():
    compared = 0
    for row in TABLE:
        found = licences.installed(row["package"], row["version"])
        if found:
            assert found == (row["version"], row["licence"]), "run `make licences`"
            compared += 1
    assert compared > 50


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("MIT AND PSF-2.0", "whatever", []), "MIT AND PSF-2.0"),
        ((None, "Apache 2.0", []), "Apache-2.0"),
        ((None, "MIT License\n\nCopyright", []), "MIT"),
        ((None, None, ["License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"]), None),
        ((None, "BSD", []), None),
        ((None, "GPLv3", ["License :: OSI Approved"]), None),
        ((None, "BSD\nin binary form ... Neither the name of", []), "BSD-3-Clause"),
        ((None, "BSD\nin binary form", []), "BSD-2-Clause"),
        ((None, None, []), None),
    ],
)
def test_a_licence_is_read_or_asked_for_and_never_guessed(said, expected):
    if expected:
        assert licences.spdx("package", *said, text="") == expected
    else:
        with pytest.raises(SystemExit, match="package: what licence is"):
            licences.spdx("package", *said, text="")
