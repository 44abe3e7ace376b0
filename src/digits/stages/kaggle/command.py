"""Kaggle's own command, and what it means when it fails."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from digits.competition import COMPETITION
from digits.errors import UserError, shown

SECONDS = 600  # that a command may take
PROGRESS_BAR = re.compile(r"^.*?\d%\|.*?\]")  # what is printed next may follow on its line
# Lines that report no error, whatever numbers and words they hold.
ASIDE = re.compile(r"warning|warn\(|retrying|will retry|response headers|^\s*File \"", re.IGNORECASE)
STATUS = re.compile(r"(?<![\w./,=-])(400|401|403|404|429|50[0-4])(?![\w./%-])")  # of HTTP, as a word of its own
WORDS = {  # that the command prints instead of a status
    "400": r"submission not allowed",
    "401": r"authentication required|unauthori[sz]ed|unauthenticated|invalid credentials|could not find kaggle\.json",
    "403": r"don't have access to this resource|forbidden|accept .*rules",
    "404": r"could not find competition|resource was not found",
    "429": r"rate limited",
}
# A proxy's refusal carries a status of its own.
NETWORK = (
    r"max retries exceeded|failed to resolve|name resolution|connection ?error|connection (refused|aborted|reset)|"
    r"read timed out|unreachable|proxy"
)
ENDS_WELL = re.compile(r"^(could not (find|submit)|kernel push error)", re.IGNORECASE)  # a failure with status 0
MEANINGS = {
    "network": "Kaggle cannot be reached; check the network and run `{again}` again",
    "400": "Kaggle refused it: {line}; if today's submissions are used up, run `{again}` again after midnight UTC",
    "401": (
        "no valid Kaggle credentials; get a token at https://www.kaggle.com/settings/api, save it as "
        "~/.kaggle/access_token and run `{again}` again"
    ),
    "403": "Kaggle refused it: {line}; accept the rules at {page}/rules and run `{again}` again",
    "404": "Kaggle does not find it: {line}; see {page}",
    "429": "Kaggle was asked too often: {line}; wait some minutes and run `{again}` again",
    "500": "Kaggle itself failed: {line}; run `{again}` again later",
}


def run(*arguments: str, again: str, otherwise: str = "then try again") -> str:
    """Show the command, run it, and return what it printed.

    again: the Make command to run again once a problem is solved. otherwise: what to do where the command is not
    installed.

    Raises:
        UserError: it is not installed, or it failed; says what to do.
    """
    show(*arguments)
    return "\n".join(lines(*arguments, again=again, otherwise=otherwise))


def show(*arguments: str) -> None:
    """Print the command."""
    print(shlex.join(["kaggle", *arguments]), flush=True)


def lines(*arguments: str, again: str, otherwise: str = "then try again", seconds: float = SECONDS) -> Iterator[str]:
    """Run the command and yield its lines as it prints them, without progress bars.

    again, otherwise: as in `run`. seconds: that the command may take.

    Raises:
        UserError: as in `run`.
    """
    with _start(arguments, otherwise) as process:
        printed = []
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        try:
            for text in process.stdout:
                if line := PROGRESS_BAR.sub("", text).rstrip():
                    printed.append(line)
                    yield line
            process.wait()
        finally:
            timer.cancel()
            process.kill()  # whoever no longer listens has no use for it
    if process.returncode == -signal.SIGKILL:
        raise UserError(f"`kaggle` did not finish in {seconds:.0f} s; check the network and run `{again}` again")
    if process.returncode or any(map(ENDS_WELL.match, printed)):
        raise UserError(_explain(arguments, printed, again))


def page(competition: str) -> str:
    """Address of a competition."""
    return replace(COMPETITION, name=competition).url


def _start(arguments: Sequence[str], otherwise: str) -> subprocess.Popen[str]:
    command = shutil.which("kaggle") or shutil.which("kaggle", path=str(Path(sys.executable).parent))
    if command is None:
        raise UserError(f"the `kaggle` command is not installed; `pip install kaggle`, {otherwise}")
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}  # the command is a Python script
    try:
        return subprocess.Popen([command, *arguments], **options, text=True, errors="replace", env=environment)
    except OSError as error:
        raise UserError(f"{command}: cannot be run: {error.strerror or error}") from None


def _explain(arguments: Sequence[str], printed: Sequence[str], again: str) -> str:
    """Explain why a command failed that printed these lines."""
    errors = [line for line in printed if not ASIDE.search(line)]
    name = arguments[arguments.index("-c") + 1] if "-c" in arguments else COMPETITION.name
    for find in (_problem, _problem_in_words):
        for line in reversed(errors):  # the last one is the error, but for advice below it
            if problem := find(line):
                return MEANINGS[problem].format(line=shown(line.strip()), again=again, page=page(name))
    last = errors[-1].strip() if errors else "it printed nothing"
    return f"`kaggle {' '.join(arguments[:2])}` failed: {shown(last)}"


def _problem(line: str) -> str | None:
    """Problem, by its key in `MEANINGS`, that a line names by a status of HTTP or as one of the network."""
    if re.search(NETWORK, line, re.IGNORECASE):
        return "network"
    status = STATUS.search(line)
    return status and (status[1] if status[1] in MEANINGS else "500")


def _problem_in_words(line: str) -> str | None:
    return next((status for status, words in WORDS.items() if re.search(words, line, re.IGNORECASE)), None)
