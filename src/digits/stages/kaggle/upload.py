"""Push the kernel to Kaggle, and submit a run's predictions, with Kaggle's own command."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from digits.competition import COMPETITION
from digits.config import differences
from digits.data import submission
from digits.errors import UserError
from digits.files import arrays, records
from digits.progress import console
from digits.runs import RunFolder
from digits.stages.kaggle import command as kaggle_command

SECONDS = 300.0  # that a command may take
EXPLICIT = {  # what Kaggle would otherwise decide by itself, or has decided differently over the years
    "language": "python",
    "kernel_type": "script",
    "enable_tpu": False,
    "enable_internet": False,
    "competition_sources": [COMPETITION.name],
}


def push(metadata: Path) -> None:
    """Upload the kernel and have Kaggle run it.

    Raises:
        UserError: the metadata still lack the user's name, or say otherwise than the kernel needs; or Kaggle's command
            is missing or failed.
    """
    said = _read(metadata)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*/[a-z0-9-]{5,}", said["id"]):
        raise UserError(f"{metadata}: id '{said['id']}' is no name/kernel; write your Kaggle user name for YOUR-NAME")
    slug = re.sub(r"[^a-z0-9]+", "-", said["title"].lower()).strip("-")
    if said["id"].partition("/")[2] != slug:
        raise UserError(f"{metadata}: Kaggle makes the id from the title; the id of this one ends in /{slug}")
    wrong = differences({key: said.get(key) for key in EXPLICIT}, EXPLICIT)
    if wrong:
        raise UserError(f"{metadata}: the kernel needs it otherwise: {', '.join(wrong)}")
    if not (metadata.parent / said["code_file"]).exists():
        raise UserError(f"{metadata}: there is no {said['code_file']}; write it: make kernel")
    told = _run("kernels", "push", "-p", str(metadata.parent), again="`make push`")
    if "error" in told.lower():  # the command ends well even so
        raise UserError(f"`kaggle kernels push`: {told.strip().splitlines()[-1]}")
    console().print(
        f"{told.strip()}\nNext: make submit-kaggle, or submit the kernel's output on its page", soft_wrap=True
    )


def _read(metadata: Path) -> dict[str, Any]:
    try:
        said = json.loads(metadata.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{metadata}: cannot be read: {error}") from None
    if not isinstance(said, dict) or not all(isinstance(said.get(key), str) for key in ("id", "title", "code_file")):
        raise UserError(f"{metadata}: needs an id, a title and a code_file")
    return said


def submit(run: RunFolder) -> None:
    """Submit a run's predictions, with a message that says what they are.

    Raises:
        UserError: the run is not finished, not on the competition's data, or its submission is not valid; or Kaggle's
            command is missing or failed.
    """
    figures = records.read_json(run.metrics, members=int, oof_accuracy=float, predicted_score=float)
    made_on = records.read_twice(run.origin, data=dict)["data"]["name"]
    if made_on != COMPETITION.name:
        raise UserError(f"run {run.folder} was made from the data {made_on}; Kaggle scores {COMPETITION.name}")
    try:
        test = arrays.read_probabilities(run.test)
    except ValueError as error:
        raise UserError(f"{error}; make the run anew: make submit RUN={run.folder.name}") from None
    verdict = submission.check(run.submission, len(test["probabilities"]), test["classes"])
    chosen = test["classes"][test["probabilities"].argmax(axis=1)]
    if verdict.valid:
        submission.compare(verdict, chosen, run.folder.name, own=True)
    if not verdict.valid:
        raise UserError(f"{run.submission}: not valid: {verdict.problems[0]}; make it anew: make submit")
    message = (
        f"{run.folder.name}: {figures['members']} members, OOF {figures['oof_accuracy']:.5f}, "
        f"predicted {figures['predicted_score']:.5f}"
    )
    arguments = ("competitions", "submit", "-c", COMPETITION.name, "-f", str(run.submission), "-m", message)
    console().print(_run(*arguments, again="`make submit-kaggle`").strip(), soft_wrap=True)


def _run(*arguments: str, again: str) -> str:
    """Show the command, and run it."""
    kaggle_command.path("then try again")
    print(shlex.join(["kaggle", *arguments]), flush=True)
    return kaggle_command.run(*arguments, seconds=SECONDS, again=again)
