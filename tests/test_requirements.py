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
# NVIDIA's libraries: not free, only in the CUDA locks; installed only where a GPU was found.
NVIDIA = {
    *("nvidia-cublas-cu12", "nvidia-cuda-cccl-cu12", "nvidia-cuda-cupti-cu12", "nvidia-cuda-nvcc-cu12"),
    *("nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12", "nvidia-cufft-cu12"),
    *("nvidia-curand-cu12", "nvidia-cusolver-cu12", "nvidia-cusparse-cu12", "nvidia-nccl-cu12"),
    *("nvidia-nvjitlink-cu12", "nvidia-nvshmem-cu12"),
}
TENSORFLOW_ALONE = {"tensorflow", "tf2onnx", "onnx"}
TABLE = list(csv.DictReader(licences.TABLE.open(encoding="utf-8", newline="")))
LOCKED = [line for lock in licences.LOCKS for line in licences.lines(lock)]
IN = {lock: {line.package for line in licences.lines(lock)} for lock in licences.LOCKS}


@pytest.mark.parametrize("lock", licences.LOCKS)
def test_every_line_of_a_lock_is_pinned_with_hashes(lock):
    lines = list(licences.lines(lock))
    text = (ROOT / lock).read_text()
    assert len(lines) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)) > 30
    assert [line.package for line in lines if not line.version or not line.hashes] == []
    assert sum(len(line.hashes) for line in lines) == text.count("--hash")


def test_the_locks_agree_with_each_other():
    """What explores and tests is installed on top of any environment, and must not change it."""
    versions = {}
    for lock in licences.LOCKS:
        pinned: dict[str, set[str]] = {}  # several versions where they depend on Python's
        for line in licences.lines(lock):
            pinned.setdefault(line.package, set()).add(line.version)
        for package, found in pinned.items():
            assert versions.setdefault(package, found) == found, f"{package} in {lock}"


@pytest.mark.parametrize("lock", licences.LOCKS)
def test_tensorflow_is_where_it_is_the_backend_and_nowhere_else(lock):
    found = IN[lock] & TENSORFLOW_ALONE
    assert found == (TENSORFLOW_ALONE if lock in ("requirements.txt", f"{licences.FOLDER}/cuda.txt") else set())


def test_every_environment_has_one_backend_for_keras_and_the_tests_have_both():
    backends = [IN[lock] & {"tensorflow", "jax"} for lock in licences.ENVIRONMENTS]
    assert backends == [{"tensorflow"}, {"jax"}, {"tensorflow"}, {"jax"}]
    assert "jax" in IN[f"{licences.FOLDER}/dev.txt"]


@pytest.mark.parametrize(("cpu", "cuda"), [*zip(licences.ENVIRONMENTS[:2], licences.CUDA, strict=True)])
def test_a_cuda_environment_is_the_same_and_more(cpu, cuda):
    """So that one without CUDA becomes one with CUDA where it is."""
    assert IN[cpu] < IN[cuda]


@pytest.mark.parametrize(("cpu", "cuda"), [("tensorflow", "cuda"), ("jax", "jax-cuda")])
def test_both_builds_of_a_backend_have_the_same_ranges(cpu, cuda):
    cpu_lines, cuda_lines = (licences.lines(f"{licences.FOLDER}/{name}.in") for name in (cpu, cuda))
    ranges = {line.package: re.sub(r"^\[.*\]", "", line.specifier) for line in cpu_lines}
    assert ranges == {line.package: re.sub(r"^\[.*\]", "", line.specifier) for line in cuda_lines}


@pytest.mark.parametrize("lock", licences.LOCKS)
def test_a_lock_names_no_index_and_no_folder_of_the_machine_that_made_it(lock):
    text = (ROOT / lock).read_text()
    assert re.findall(r"(?m)^-.*|.*(?:-index|find-links|://).*", text) == []
    assert set(re.findall(r"(?m)-[rco] (\S+)", text)) <= {
        *(file.relative_to(ROOT).as_posix() for file in (ROOT / licences.FOLDER).glob("*")),
        *("requirements.in", "requirements.txt"),
    }


def test_every_install_of_a_lock_checks_the_hashes():
    installer = (ROOT / licences.FOLDER / "install.sh").read_text()
    installs = re.findall(r"\bpip install\b.*", installer)
    assert len(installs) == 2
    assert all('$hashes -r "$requirements"' in line for line in installs)
    without = [line for line in installer.splitlines() if "hashes=" in line and "hashes=--require-hashes" not in line]
    assert [line.split(")")[0].strip() for line in without] == ["kaggle-image"]
    recipes = (ROOT / "Makefile").read_text().replace("$(REQUIREMENTS)", licences.FOLDER)
    assert set(re.findall(r"C\w+_LOCK := (\w\S+)", recipes)) == set(licences.ENVIRONMENTS)


def test_the_table_holds_every_package_of_every_lock_and_no_other():
    listed = {(row["package"], row["version"]) for row in TABLE}
    assert {(line.package, line.version) for line in LOCKED} <= listed, "run `make licences`"
    others = [line for file in licences.OTHERS for line in licences.lines(file)]
    assert {(line.package, line.version) for line in others if line.version} <= listed, "run `make licences`"
    assert {line.package for line in others} <= {row["package"] for row in TABLE}, "run `make licences`"
    assert {row["package"] for row in TABLE} == {line.package for line in (*LOCKED, *others)}, "run `make licences`"
    assert len(listed) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row['package']}-{row['version']}")
def test_every_licence_is_permissive_or_weak_copyleft_or_nvidias(row):
    expression = canonicalize_license_expression(row["licence"])
    assert expression == row["licence"]
    allowed = PERMISSIVE | WEAK_COPYLEFT | ({licences.NVIDIA} if row["package"] in NVIDIA else set())
    assert set(re.split(r" (?:AND|OR) ", expression)) <= allowed


def test_nvidias_libraries_are_in_the_cuda_locks_alone():
    assert {row["package"] for row in TABLE if row["licence"] == licences.NVIDIA} == NVIDIA
    assert set.union(*(IN[lock] for lock in licences.CUDA)) >= NVIDIA
    for lock in set(licences.LOCKS) - set(licences.CUDA):
        assert IN[lock].isdisjoint(NVIDIA), lock


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
