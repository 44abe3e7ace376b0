"""Push the kernel to Kaggle, and submit a run's predictions, with Kaggle's own command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from digits.competition import COMPETITION
from digits.config import differences
from digits.data import DEMO, submission
from digits.errors import UserError
from digits.files import records
from digits.runs import RunFolder
from digits.stages.kaggle import command, scoring

NEEDED = {  # what Kaggle would otherwise decide by itself, or has decided differently over the years
    "language": "python",
    "kernel_type": "script",
    "enable_tpu": False,
    "enable_internet": False,
    "competition_sources": [COMPETITION.name],
}


def push(path: Path) -> None:
    """Upload the kernel and have Kaggle run it.

    path: of the kernel's metadata.

    Raises:
        UserError: the metadata lack the user's name, or are not what the kernel needs; or Kaggle's command is missing
            or failed.
    """
    metadata = _read(path)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*/[a-z0-9-]{5,}", metadata["id"]):
        raise UserError(f"{path}: id '{metadata['id']}' is no name/kernel; write your Kaggle user name for YOUR-NAME")
    slug = re.sub(r"[^a-z0-9]+", "-", metadata["title"].lower()).strip("-")
    if metadata["id"].partition("/")[2] != slug:
        raise UserError(f"{path}: Kaggle makes the id from the title; the id of this one ends in /{slug}")
    wrong = differences({key: metadata.get(key) for key in NEEDED}, NEEDED)
    if wrong:
        raise UserError(f"{path}: the kernel needs it otherwise: {', '.join(wrong)}")
    if not (path.parent / metadata["code_file"]).exists():
        raise UserError(f"{path}: there is no {metadata['code_file']}; write it: make kernel")
    output = command.run("kernels", "push", "-p", str(path.parent), again="make push")
    print(output)
    if "not valid competition sources" in output:  # the command ends well even so
        raise UserError(
            f"the kernel is pushed, but without the competition {COMPETITION.name}, so it will find no data; accept "
            f"the rules at {COMPETITION.url}/rules and run `make push` again"
        )
    print("Next: make submit-kaggle, or submit the kernel's output on its page")


def _read(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    texts = ("id", "title", "code_file")
    if not isinstance(metadata, dict) or not all(isinstance(metadata.get(key), str) for key in texts):
        raise UserError(f"{path}: needs an id, a title and a code_file")
    return metadata


def submit(run: RunFolder, competition: str = COMPETITION.name) -> None:
    """Submit a run's predictions to a competition, with a message that describes them, and record their score.

    Raises:
        UserError: the run is not finished, of other test rows than the competition's, or its submission is not valid;
            or Kaggle's command is missing or failed.
    """
    metrics = records.read_json(run.metrics, members=int, oof_accuracy=float, predicted_score=float)
    name = records.read_twice(run.origin, data=dict)["data"]["name"]
    test = run.probabilities(run.test)
    rows = len(test["probabilities"])
    _check_competition(competition, name, rows)
    verdict = submission.check(run.submission, rows, test["classes"], test.get("ids"))
    if verdict.valid:
        predicted = test["classes"][test["probabilities"].argmax(axis=1)]
        submission.compare_own(verdict, predicted, run.folder.name)
    if not verdict.valid:
        raise UserError(f"{run.submission}: not valid: {verdict.problems[0]}; make it anew: make submit")
    message = (
        f"{run.folder.name}: {metrics['members']} members, OOF {metrics['oof_accuracy']:.5f}, "
        f"predicted {metrics['predicted_score']:.5f}"
    )
    scoring.submit(run, competition, message)


def _check_competition(competition: str, data: str, rows: int) -> None:
    """Check that predictions of so many test rows of these data are for the competition.

    Of another competition than this project's only its user knows that.
    """
    if data == DEMO or (competition == COMPETITION.name and not COMPETITION.asks_for(data, rows)):
        raise UserError(
            f"the run was made from the data {data} and predicts {rows:,} rows, which {competition} does not ask for; "
            "if another competition does, give its name on Kaggle: COMPETITION="
        )
