"""Coverage-guided fuzzing of everything that reads a file: `python tests/fuzz/fuzz.py [TARGET ...] --seconds 60`.

Each target runs with atheris (libFuzzer) in a process of its own. An input may take 1 GB more than the process had
before, and 30 seconds. The process is a new one every half minute: what atheris 3.0 puts into the code keeps objects
for ever that are compared there.
What is found stays in the folder `--findings`, and becomes a test beside the others of its module once it is mended.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MEGABYTES = 1024  # of an input
MEGABYTES_OF_PROCESS = 3 * MEGABYTES
SECONDS_AN_INPUT = 30
SECONDS_A_PROCESS = 30
INSTRUMENTED = ["digits", "fuzz_targets", "yaml", "PIL", "zipfile", "csv", "json"]
WITHIN = "--within"  # begins the arguments of a process that fuzzes: target, corpus, libFuzzer's options
NAMES = ("table", "config", "picture", "submission")


def main() -> int:
    """Fuzz the targets in turn and print a table; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"by default {' '.join(NAMES)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--findings", type=Path, default=Path(tempfile.gettempdir()) / "findings")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(NAMES):
        parser.error(f"no target is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if importlib.util.find_spec("atheris") is None:
        print("error: atheris is not installed; it runs on Linux on x86-64 alone", file=sys.stderr)
        return 2
    arguments.findings.mkdir(parents=True, exist_ok=True)
    print(f"{'target':12}{'executions':>12}{'seconds':>9}{'coverage':>10}", flush=True)
    found = [_run(name, arguments.seconds, arguments.findings) for name in arguments.targets or NAMES]
    return int(any(found))


def _run(name: str, seconds: int, findings: Path) -> bool:
    """Fuzz a target and print a line of the table; whether something was found, which ends it."""
    began, executions, coverage = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as place:  # the inputs that reached something new, for the next process
        while not executions or time.monotonic() - began < seconds - 1:
            left = max(1, round(seconds - (time.monotonic() - began)))
            options = [
                f"-max_total_time={min(left, SECONDS_A_PROCESS)}", f"-rss_limit_mb={MEGABYTES_OF_PROCESS}",
                f"-timeout={SECONDS_AN_INPUT}", f"-artifact_prefix={findings}/{name}-", "-print_final_stats=1",
            ]  # fmt: skip
            command = [sys.executable, __file__, WITHIN, name, place, *options]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
            )
            ran = re.findall(r"stat::number_of_executed_units:\s+(\d+)", done.stdout)
            if done.returncode or not ran:
                print(f"{name:12} ended with status {done.returncode}:\n{done.stdout[-3000:]}", flush=True)
                return True
            executions += int(ran[0])
            coverage = max(map(int, re.findall(r"cov: (\d+)", done.stdout)))
    print(f"{name:12}{executions:12}{time.monotonic() - began:9.0f}{coverage:10}", flush=True)
    return False


def _fuzz(name: str, options: list[str]) -> None:
    """Fuzz a target in this process, for good. options: the folder of the corpus, then libFuzzer's."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz_targets import TARGETS
    target, corpus = TARGETS[name], Path(options[0])
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = corpus.with_name(f"{corpus.name}.words")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    options = [*options, f"-max_len={target.longest}", f"-dict={words}"]
    atheris.Setup([__file__, *options], lambda content: _try_within_memory(target.try_, content))
    atheris.Fuzz()


def _try_within_memory(try_: Callable[[bytes], None], content: bytes) -> None:
    """Try an input. Raises: AssertionError where it took more memory than one may."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
    before = _kilobytes("VmRSS")
    try_(content)
    taken = (_kilobytes("VmHWM") - before) / 1024
    if taken > MEGABYTES:
        raise AssertionError(f"took {taken:.0f} MB")


def _kilobytes(of: str) -> int:
    """Of this process's memory: VmRSS, what it holds, or VmHWM, its peak."""
    return int(re.search(rf"{of}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    if sys.argv[1:2] == [WITHIN]:
        _fuzz(sys.argv[2], sys.argv[3:])
    sys.exit(main())
