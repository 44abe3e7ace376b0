"""Submit a run's predictions to Kaggle, wait for their public score, and record it."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from digits.competition import COMPETITION
from digits.errors import UserError, one_line
from digits.files import records
from digits.progress import duration
from digits.runs import RunFolder
from digits.stages.kaggle import command

SECONDS = 900  # until the score is there, at most
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0  # seconds between two looks at Kaggle's list
MADE = "Submission ref:"  # how a line of `kaggle competitions submit --wait` begins once the submission is made
NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Submission:
    """A run's predictions and the competition that they are for.

    competition: its name in the address of its page. checksum: SHA-256 of the run's submission.
    """

    run: RunFolder
    competition: str
    checksum: str

    @property
    def mark(self) -> str:
        """End of the message that goes with them, by which they are found in Kaggle's list of submissions."""
        return f"file {self.checksum[:8]}"

    @property
    def again(self) -> str:
        """Make command that submits them, or only looks for their score where Kaggle has them."""
        other = f" COMPETITION={self.competition}" if self.competition != COMPETITION.name else ""
        return f"make submit-kaggle RUN={self.run.folder.name}{other}"


def submit(run: RunFolder, competition: str, message: str) -> None:
    """Submit a run's predictions unless Kaggle has them already, wait for their public score, and record it.

    run: with a valid submission. competition: its name in the address of its page. message: what the predictions are.

    Raises:
        UserError: Kaggle's command is missing or failed, Kaggle could not score the file, or another process is working
            on the run when the score is there.
    """
    submission = Submission(run, competition, records.checksum(run.submission))
    made = _look(submission)[0] in ("pending", "complete")
    if made:
        print("Kaggle has these predictions already")
    until, score = time.monotonic() + SECONDS, None
    try:
        for line in () if made else _send(submission, message):
            made = made or line.startswith(MADE)  # before it is seen, and Ctrl-C pressed
            print(line, flush=True)
        made = True
        score = _wait(submission, until)
    except KeyboardInterrupt:
        if not made:
            raise
    if score is None:
        print(f"\nThe submission is made, and has no score yet. To look for it later: {submission.again}")
    else:
        _record(submission, score)


def _send(submission: Submission, message: str) -> Iterator[str]:
    """Submit the file, and wait for its score where the command can; yield the lines that the command prints."""
    file = str(submission.run.submission)
    arguments = ["competitions", "submit", "-c", submission.competition, "-f", file]
    arguments += ["-m", f"{message}, {submission.mark}", *_wait_option()]
    command.show(*arguments)
    made = False
    try:
        for line in command.lines(*arguments, again=submission.again, seconds=command.SECONDS + SECONDS):
            made = made or line.startswith(MADE)
            yield line
    except UserError:
        if not made:  # otherwise only the waiting failed, and the list says why
            raise


def _wait_option() -> list[str]:
    """Option that makes the command wait for the score; earlier versions have none."""
    try:
        usage = list(command.lines("competitions", "submit", "--help", again=""))
    except UserError:  # which the submission itself will report
        usage = []
    return ["--wait", str(SECONDS)] if any("--wait" in line for line in usage) else []


def _wait(submission: Submission, until: float) -> float | None:
    """Public score once it is there; None where it is not by `until`, a time of `time.monotonic`, or will never be."""
    started, pause = time.monotonic(), FIRST_PAUSE
    while True:
        try:
            status, score = _look(submission)
        except UserError as error:  # a network that fails for a moment changes nothing about the submission
            status, score = one_line(str(error)), ""
        if status == "error":
            page = command.page(submission.competition)
            raise UserError(f"Kaggle could not score {submission.run.submission}; {page}/submissions says why")
        if status == "complete" or time.monotonic() + pause > until:
            return float(score) if NUMBER.fullmatch(score) else None
        waited = duration(time.monotonic() - started)
        print(f"Waiting for the score, {waited} so far ({status}); Ctrl-C ends the waiting alone", flush=True)
        time.sleep(pause)
        pause = min(1.5 * pause, LONGEST_PAUSE)


def _look(submission: Submission) -> tuple[str, str]:
    """Status of the predictions in Kaggle's list of submissions, and their public score as it stands there.

    The status is `pending`, `complete`, `error` or `not listed`.
    """
    arguments = ("competitions", "submissions", "-c", submission.competition, "--csv")
    lines = list(command.lines(*arguments, again=submission.again))
    header = next((number for number, line in enumerate(lines) if "publicScore" in line), len(lines))
    rows = [row for row in csv.DictReader(lines[header:]) if str(row.get("description")).endswith(submission.mark)]
    if not rows:
        return "not listed", ""
    newest = max(rows, key=lambda row: str(row.get("date")))
    return str(newest.get("status")).rpartition(".")[2].lower(), str(newest.get("publicScore"))


def _record(submission: Submission, score: float) -> None:
    """Write the score into the run's metrics, beside the predicted one."""
    run = submission.run
    print(f"Public score: {score:.5f}", flush=True)
    with run.locked():
        if records.checksum(run.submission) != submission.checksum:
            raise UserError(f"run {run.folder} has other predictions by now; the score was not recorded")
        metrics = records.read_json(run.metrics, predicted_score=float)
        records.write_json(run.metrics, metrics | {"kaggle_score": score, "kaggle_submission": submission.checksum})
    print(f"Predicted: {metrics['predicted_score']:.5f}. Both are in {run.metrics}")
