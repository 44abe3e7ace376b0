"""The licences of all that the requirements files name, as a table: `make licences` (needs uv, and asks the registry).

What is installed at its locked version is read from its own metadata. What is not (another Python, another system,
Kaggle's image) pip is asked about; it fetches the metadata alone where the registry has them apart.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests/licences.csv"
FOLDER = "configs/requirements"
CUDA = (f"{FOLDER}/cuda.txt", f"{FOLDER}/jax-cuda.txt")
ENVIRONMENTS = ("requirements.txt", f"{FOLDER}/jax.txt", *CUDA)  # each is complete
ADDITIONS = (f"{FOLDER}/explore.txt", f"{FOLDER}/dev.txt")  # installed on top of any environment
LOCKS = (*ENVIRONMENTS, *ADDITIONS)
OTHERS = (f"{FOLDER}/kaggle-image.txt", f"{FOLDER}/bench.txt")  # no locks: what they leave open is another's to choose
COLUMNS = ("package", "version", "licence", "file", "needed_by", "remark")

# NVIDIA's licence for its CUDA libraries; it is no SPDX licence, and not free. LicenseRef- is SPDX's word for such.
NVIDIA = "LicenseRef-NVIDIA-Proprietary"
# Licences as package metadata name them, and the SPDX identifier of each. `BSD` is two licences: their text decides.
NAMES = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "NVIDIA Proprietary Software": NVIDIA,
    "Python Software Foundation License": "PSF-2.0",
}
SPDX = {
    *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "MPL-2.0 AND MIT", "PSF-2.0"),
    NVIDIA,
}
# Looked up by hand, where the metadata say nothing, or not which.
BY_HAND = {"atheris": "Apache-2.0", "colorama": "BSD-3-Clause", "namex": "Apache-2.0"}
REMARKS = {
    "albucore": "the last release under MIT, as albumentations",
    "albumentations": "the last release of the MIT project; its successor, albumentationsx, is AGPL and not used",
    "atheris": "for the fuzzer alone; the LICENSE file of its sources is Apache-2.0; holds libFuzzer (LLVM)",
    "certifi": "Mozilla's list of authorities, unchanged",
    "greenlet": "for playwright",
    "grpcio": "holds Eigen parts under MPL-2.0",
    "hypothesis": "for the tests alone",
    "jaxlib": "holds Eigen parts under MPL-2.0",
    "libclang": "LLVM's own library: Apache-2.0 WITH LLVM-exception",
    "matplotlib": "matplotlib's own licence, made from PSF's; holds FreeType (FTL) and DejaVu fonts",
    "ml-dtypes": "holds Eigen parts under MPL-2.0",
    "namex": "the metadata name none; the LICENSE file is Apache-2.0",
    "numpy": "its wheels hold OpenBLAS (BSD-3-Clause), libgfortran (GPL-3.0-or-later WITH GCC-exception-3.1) and "
    "libquadmath (LGPL-2.1-or-later), linked dynamically",
    "onnxruntime": "reports to its makers unless told not to, which src/digits/stages/predict/exported.py does",
    "opencv-python-headless": "its wheels hold FFmpeg (LGPL-2.1, as shared libraries; those for macOS also libgmp, "
    "libidn2 and libunistring, LGPL-3.0), OpenSSL, and what numpy's do; no Qt",
    "pillow": "the historical PIL licence (HPND family); its wheels hold FreeType (FTL), liblzma (public domain) and "
    "others as permissive",
    "playwright": "for the tests alone; holds Node.js (MIT); drives the system's browser and fetches none",
    "pyarrow": "its third-party notices name permissive licences only",
    "scipy": "its wheels hold what numpy's do",
    "setuptools": "vendors autocommand (LGPL-3.0), which nothing here imports",
    "tensorflow": "holds Eigen (MPL-2.0) and others, listed in its THIRD_PARTY_NOTICES.txt",
    "torch": "for `make bench` alone, where somebody installed it",
    "tqdm": "imported, unchanged",
}  # fmt: skip
NVIDIA_REMARK = "NVIDIA's, only in the CUDA locks; installed only where a GPU was found"


@dataclass(frozen=True)
class Line:
    """A requirement: version is empty where the file leaves it open; hashes and needed_by where it has none."""

    file: str
    package: str
    version: str
    specifier: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]


def lines(file: str) -> Iterator[Line]:
    """The requirements of a file, with what uv wrote beside them."""
    text = (ROOT / file).read_text()
    for found in re.finditer(r"^([A-Za-z0-9][\w.-]*)(.*(?:\n[ \t].*)*)", text, re.MULTILINE):
        package, rest = found[1].lower(), found[2]
        specifier = rest.partition("\n")[0].partition("#")[0].strip(" \\")
        pinned = re.match(r"==([^\s;*]+)(?:\s*;|$)", specifier)
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})(?!\S)", rest))
        via = re.sub(r"\s*#(?:\s+via)?", "", rest.partition("# via")[2])
        via = re.sub(r"-c \S+", "", via)  # a constraint needs nothing
        needed_by = tuple(sorted({re.sub(r"^-r .*", "this project", of) for of in re.findall(r"-r \S+|\S+", via)}))
        yield Line(file, package, pinned[1] if pinned else "", specifier, hashes, needed_by or ("this project",))


def main() -> None:
    """Write the table: first the environments, then what explores, tests, and stands for Kaggle's image."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for file in (*LOCKS, *OTHERS):
        listed = {name for name, _ in rows}
        new = [
            of
            for of in lines(file)
            if (of.package, of.version) not in rows and (of.version or of.package not in listed)
        ]
        known = {of: installed(of.package, of.version) for of in new}
        asked = ask([of for of in new if not known[of]])
        for of in new:
            version, licence = known[of] or asked[of.package]
            remark = REMARKS.get(of.package, NVIDIA_REMARK if licence == NVIDIA else "")
            needed_by = ", ".join(of.needed_by)
            row = (of.package, version, licence, file, needed_by, remark)
            rows[of.package, version] = dict(zip(COLUMNS, row, strict=True))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())
    print(f"{TABLE.relative_to(ROOT)}: {len(rows)} packages")


def installed(package: str, version: str) -> tuple[str, str] | None:
    """Version and licence of what is installed here; None where it is not, or at another version."""
    try:
        found = distribution(package)
    except PackageNotFoundError:
        return None
    if version and found.version != version:
        return None
    files = [file for file in found.files or () if re.match(r"(?i)licen[sc]e|copying", file.name)]
    texts = [file.locate().read_text(errors="replace") for file in files if ".dist-info" in str(file)]
    of = found.metadata
    named = (of.get("License-Expression"), of.get("License"), of.get_all("Classifier") or [])
    return found.version, spdx(package, *named, text="\n".join(texts))


def ask(missing: list[Line]) -> dict[str, tuple[str, str]]:
    """Version and licence by package, of the registry, through pip, for a Python that has wheels of all of them."""
    if not missing:
        return {}
    requirements = [f"{of.package}{of.specifier.partition(';')[0].strip()}" for of in missing]
    with tempfile.TemporaryDirectory() as nowhere:
        options = ["--dry-run", "--no-deps", "--ignore-installed", "--ignore-requires-python", "--only-binary=:all:"]
        options += ["--python-version", "3.12", "--target", nowhere, "--report", "-"]
        command = ["uv", "tool", "run", "-q", "pip", "install", "-q", *options, *requirements]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        raise SystemExit(f"error: asked about {' '.join(requirements)}: {said.stderr.strip().splitlines()[-1]}")
    answers = {}
    for answer in json.loads(said.stdout)["install"]:
        of = answer["metadata"]
        name = re.sub(r"[-_.]+", "-", of["name"]).lower()
        named = (of.get("license_expression"), of.get("license"), of.get("classifier", []))
        answers[name] = of["version"], spdx(name, *named, text="")
    return answers


def spdx(package: str, expression: str | None, licence: str | None, classifiers: list[str], text: str) -> str:
    """The SPDX expression of a package by its metadata; text: of its licence files.

    Raises:
        SystemExit: they do not say it in words that are known here.
    """
    if expression:
        return expression
    if package in BY_HAND:
        return BY_HAND[package]
    field = (licence or "").strip()
    groups = [name.rpartition(" :: ")[2] for name in classifiers if name.startswith("License ::")]
    for name in (field, field.partition("\n")[0].strip(), *groups):
        name = re.sub(r" \([^()]*\)$", "", name)
        if name in SPDX or name in NAMES:
            return NAMES.get(name, name)
    text = f"{field} {text}"
    if "BSD" in f"{field} {groups}" and "binary form" in text:
        return "BSD-3-Clause" if re.search(r"(?i)neither\s+the\s+names?", text) else "BSD-2-Clause"
    raise SystemExit(f"error: {package}: what licence is {field[:60]!r}, {groups}? Look, and say it in {__file__}")


if __name__ == "__main__":
    sys.exit(main())
