"""Coverage-guided fuzzing of everything that reads a file: `python tests/fuzz/fuzz.py [TARGET ...] --seconds 60`.

Each target runs in a process of its own with atheris (libFuzzer), which may take 1 GB, and 30 seconds for one input.
What is found stays in the folder `--findings`, and becomes a test beside the others of its module once it is mended.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MEGABYTES = 1024
SECONDS_AN_INPUT = 30
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
    print(f"{'target':12}{'executions':>12}{'seconds':>9}{'coverage':>10}{'peak MB':>9}{'findings':>10}", flush=True)
    found = [_run(name, arguments.seconds, arguments.findings) for name in arguments.targets or NAMES]
    return int(any(found))


def _run(name: str, seconds: int, findings: Path) -> int:
    """Fuzz a target in a process of its own and print a line of the table; how much was found."""
    before = set(findings.iterdir())
    with tempfile.TemporaryDirectory() as place:
        options = [
            f"-max_total_time={seconds}", f"-rss_limit_mb={MEGABYTES}", f"-timeout={SECONDS_AN_INPUT}",
            f"-artifact_prefix={findings}/{name}-", "-print_final_stats=1",
        ]  # fmt: skip
        command = [sys.executable, __file__, WITHIN, name, place, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    said = done.stdout
    stats = dict(re.findall(r"stat::(\w+):\s+(\d+)", said))
    taken = re.findall(r"Done \d+ runs in (\d+) second", said)
    coverage = re.findall(r"cov: (\d+)", said)
    new = sorted(set(findings.iterdir()) - before)
    shown = (stats.get("number_of_executed_units", "?"), *taken[:1], *coverage[-1:], stats.get("peak_rss_mb", "?"))
    if len(shown) < 4 or done.returncode:
        print(f"{name:12} ended with status {done.returncode}:\n{said[-3000:]}", flush=True)
        return max(1, len(new))
    print("{:12}{:>12}{:>9}{:>10}{:>9}{:>10}".format(name, *shown, len(new)), flush=True)
    return len(new)


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
    atheris.Setup([__file__, *options], target.try_)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    if sys.argv[1:2] == [WITHIN]:
        _fuzz(sys.argv[2], sys.argv[3:])
    sys.exit(main())
