"""A `kaggle` command that remembers what it was asked, and prints what Kaggle's own prints (versions 1.6 to 2.2.5)."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

PENDING, COMPLETE, ERROR = ("SubmissionStatus." + status for status in ("PENDING", "COMPLETE", "ERROR"))
OFFLINE = "offline"
BODY = """
import csv, json, pathlib, sys, time
memory = pathlib.Path(__file__).with_name("memory.json")
plan, wait, messages, looks, calls = json.loads(memory.read_text())
calls.append(sys.argv[1:])

def remember():
    memory.write_text(json.dumps([plan, wait, messages, looks, calls]))

print("Warning: Your Kaggle API key is readable by other users on this system! To fix this, you can run "
      "'chmod 600 /home/me/.kaggle/kaggle.json'")
if "--help" in sys.argv:
    print("usage: kaggle competitions submit [-h] [-f FILE] -m MESSAGE" + " [--wait [WAIT]]" * bool(wait))
elif sys.argv[2] == "submissions" and not messages:
    print("No submissions found")
elif sys.argv[2] == "submissions":
    status, score = plan[min(looks, len(plan) - 1)]
    looks += 1
    remember()
    if status == "offline":
        sys.exit("HTTPSConnectionPool(host='api.kaggle.com', port=443): Max retries exceeded with url: /v1")
    lines = csv.writer(sys.stdout)
    lines.writerow(["ref", "fileName", "date", "description", "status", "publicScore", "privateScore"])
    lines.writerow([9, "other.csv", "2026-11-28 10:00:00", "another, of\\ntwo lines", "complete", "0.5", ""])
    for number, message in enumerate(messages):
        lines.writerow([number, "submission.csv", f"2026-11-28 09:00:0{number}", message, status, score, ""])
elif sys.argv[2] == "submit":
    print("  0%|          | 0.00/208k [00:00<?, ?B/s]", end="\\r", file=sys.stderr)
    print("100%|##########| 208k/208k [00:01<00:00, 401kB/s]", file=sys.stderr)
    messages.append(sys.argv[sys.argv.index("-m") + 1])
    remember()
    if "--wait" in sys.argv:
        print("Submission ref: 57")
        time.sleep(600 * (wait == "hangs"))
        if wait == "fails":
            sys.exit("Timed out after 900s waiting for submission 57 to finish scoring.")
        print("Submission scored. Public score: 0.1")
    print("Successfully submitted to Digit Recognizer")
remember()
"""


def install(folder: Path, plan: Sequence[tuple[str, str]], wait: str = "", more: str = "") -> dict[str, str]:
    """Write the command into a folder; the environment in which it is found.

    Args:
        folder: made where it is missing.
        plan: status and public score of every submission at each look at their list; the last stays.
        wait: whether the command has `--wait`, and whether that `works`, `hangs` or `fails`.
        more: lines of Python for the end of each call that ends well.
    """
    folder.mkdir(exist_ok=True)
    (folder / "memory.json").write_text(json.dumps([plan, wait, [], 0, []]))
    command = folder / "kaggle"
    command.write_text(f"#!{os.path.realpath(sys.executable)}\n{BODY}{more}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


def calls(folder: Path) -> list[list[str]]:
    """Arguments of each call so far."""
    return json.loads((folder / "memory.json").read_text())[-1]


def change_plan(folder: Path, plan: Sequence[tuple[str, str]]) -> None:
    """Let the next look find something else."""
    memory = json.loads((folder / "memory.json").read_text())
    (folder / "memory.json").write_text(json.dumps([plan, *memory[1:3], 0, memory[4]]))
