"""Kaggle's own command, and what it means when it fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from digits.competition import COMPETITION
from digits.errors import UserError

# What the command prints, and what it means. The network comes first: a proxy's refusal carries a 403 of its own.
PROBLEMS = (
    (
        ("max retries", "failed to resolve", "connection", "timed out", "unreachable", "proxy"),
        "Kaggle cannot be reached; check the network and run {again} again",
    ),
    (
        ("401", "unauthorized", "unauthenticated", "authentication required", "kaggle.json", "credential"),
        "no valid Kaggle credentials; get a token at https://www.kaggle.com/settings/api, save it as "
        "~/.kaggle/access_token and run {again} again",
    ),
    (
        ("403", "forbidden", "accept"),
        f"Kaggle refused; accept the rules at {COMPETITION.url}/rules and run {{again}} again",
    ),
)


def path(otherwise: str) -> str:
    """Where the command is.

    Raises:
        UserError: it is not installed; `otherwise` says what else one can do.
    """
    found = shutil.which("kaggle") or shutil.which("kaggle", path=str(Path(sys.executable).parent))
    if found is None:
        raise UserError(f"the `kaggle` command is not installed; `pip install kaggle`, {otherwise}")
    return found


def run(*arguments: str, seconds: float, again: str) -> str:
    """Run it and give what it printed.

    Args:
        arguments: of the command.
        seconds: that it may take.
        again: what to run again once the problem is solved.

    Raises:
        UserError: it is not installed, or it failed; says what to do.
    """
    command = path("then try again")
    try:
        done = subprocess.run(
            [command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"`kaggle` did not finish in {seconds:g} s; check the network and run {again} again") from None
    except OSError as error:
        raise UserError(f"{command}: cannot be run: {error.strerror or error}") from None
    if done.returncode:
        raise UserError(_meaning(arguments, done.stdout).format(again=again))
    return done.stdout


def _meaning(arguments: tuple[str, ...], output: str) -> str:
    """What a failed command's output comes down to."""
    for signs, meaning in PROBLEMS:
        if any(sign in output.lower() for sign in signs):
            return meaning
    last = (output.strip() or "it printed nothing").splitlines()[-1].strip()
    return f"`kaggle {' '.join(arguments[:2])}` failed: {last}".replace("{", "(").replace("}", ")")
