"""Kaggle's own command, and what it means when it fails."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from digits.competition import COMPETITION
from digits.errors import UserError

SECONDS = 600  # that a command may take
# What the command prints, and what it means. The network comes first: a proxy's refusal carries a 403 of its own.
PROBLEMS = {
    ("max retries", "failed to resolve", "connection", "timed out", "unreachable", "proxy"): (
        "Kaggle cannot be reached; check the network and run `{again}` again"
    ),
    ("401", "unauthorized", "unauthenticated", "authentication required", "kaggle.json", "credential"): (
        "no valid Kaggle credentials; get a token at https://www.kaggle.com/settings/api, save it as "
        "~/.kaggle/access_token and run `{again}` again"
    ),
    ("403", "forbidden", "accept"): (
        f"Kaggle refused; accept the rules at {COMPETITION.url}/rules and run `{{again}}` again"
    ),
}


def run(*arguments: str, again: str, otherwise: str = "then try again") -> str:
    """Show the command, run it, and return what it printed.

    Args:
        arguments: of the command.
        again: the Make command to run again once a problem is solved.
        otherwise: what to do where the command is not installed.

    Raises:
        UserError: it is not installed, or it failed; says what to do.
    """
    command = shutil.which("kaggle") or shutil.which("kaggle", path=str(Path(sys.executable).parent))
    if command is None:
        raise UserError(f"the `kaggle` command is not installed; `pip install kaggle`, {otherwise}")
    print(shlex.join(["kaggle", *arguments]), flush=True)
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run([command, *arguments], **options, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(f"`kaggle` did not finish in {SECONDS} s; check the network and run `{again}` again") from None
    except OSError as error:
        raise UserError(f"{command}: cannot be run: {error.strerror or error}") from None
    if done.returncode:
        raise UserError(_explain(arguments, done.stdout, again))
    return done.stdout.strip()


def _explain(arguments: tuple[str, ...], output: str, again: str) -> str:
    """Explain why a command failed that printed this."""
    for signs, meaning in PROBLEMS.items():
        if any(sign in output.lower() for sign in signs):
            return meaning.format(again=again)
    last = (output.strip() or "it printed nothing").splitlines()[-1].strip()
    return f"`kaggle {' '.join(arguments[:2])}` failed: {last}"
