"""What Kaggle's command prints when it fails, as its versions 1.0 to 2.2.5 print it, and what that means."""

import os
import stat
import sys

import pytest

from digits.errors import UserError
from digits.stages.kaggle import command

KEY = "Warning: Your Kaggle API key is readable by other users on this system! To fix this, you can run 'chmod 600 x'"
FILE = "Warning: kaggle.json is readable by others, which puts your credentials at risk (see status 401)"
OLD = "Warning: Looks like you're using an outdated API Version, please consider updating (server 1.6.7 / client 1.6.6)"
BAR = "  0%|          | 0.00/15.3M [00:00<?, ?B/s]\r  3%|2         | 401k/15.3M [00:00<00:00, 401kB/s]"
HEADERS = (
    "HTTP response headers: HTTPHeaderDict({'Content-Length': '401', 'Access-Control-Allow-Credentials': 'true', "
    "'Vary': 'Accept-Encoding', 'Connection': 'close'})"
)
URL = "for url: https://api.kaggle.com/v1/competitions.CompetitionApiService/CreateSubmission"
HINT = """

You don't have access to this resource.
If this is a competition, you may need to accept its rules first at
  https://www.kaggle.com/competitions/<competition>/rules"""
SIGN_IN = """Authentication required to call the Kaggle API.

First, you will need a Kaggle account. You can sign up at
  https://www.kaggle.com/account/login

  Option B: API token file
    Save the token to ~/.kaggle/access_token"""
DAY = "Submission not allowed: Your team has used its daily Submission allowance (5) today, please try again tomorrow"
CREDENTIALS, RULES, AGAIN = "no valid Kaggle credentials", "accept the rules at", "after midnight UTC"


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """Install a `kaggle` command that prints a text and ends with a status."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def install(text: str, status: int = 1, more: str = "") -> None:
        path = tmp_path / "kaggle"
        lines = [f"#!{os.path.realpath(sys.executable)}", "import sys, time", f"print({text!r}, flush=True)", more]
        path.write_text("\n".join([*lines, f"sys.exit({status})"]))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return install


def complaint(*arguments: str, **options: float) -> str:
    arguments = arguments or ("competitions", "submit", "-c", "digit-recognizer")
    with pytest.raises(UserError) as caught:
        list(command.lines(*arguments, again="make this", **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (f"{KEY}\n{OLD}\n403 - You cannot submit until you accept the competition rules", RULES),
        (f"{FILE}\n403 - Forbidden - Permission 'competitions.participate' was denied", RULES),
        (f"{FILE}\n403 Client Error: Forbidden {URL}{HINT}", RULES),
        (f"You must accept this competition's rules before you can continue.{HINT}", RULES),
        (f'ApiException: (403)\nReason: Forbidden\n{HEADERS}\nHTTP response body: {{"code":403}}', RULES),
        (f'ApiException: (404)\nReason: Not Found\n{HEADERS}\nHTTP response body: b""', "does not find it"),
        (f"{KEY}\n{BAR}\n400 - Bad Request", AGAIN),
        (f"{BAR}400 - Bad Request - {DAY}", "daily Submission allowance (5) today"),
        (f"{FILE}\n{BAR}\n400 Client Error: Bad Request {URL}", AGAIN),
        (f"{FILE}\n{DAY} (5.1 hours from now).", AGAIN),
        ("401 Client Error: Unauthorized for url: https://api.kaggle.com/v1/x", CREDENTIALS),
        ("401 - Unauthorized", CREDENTIALS),
        (SIGN_IN, CREDENTIALS),
        ("OSError: Could not find kaggle.json. Make sure it's located in ~/.kaggle.", CREDENTIALS),
        (f"404 Client Error: Not Found {URL}\n\nThe resource was not found. Check the spelling", "404 Client Error"),
        (f"429 Client Error: Too Many Requests {URL}\n\nYou have been rate limited.", "wait some minutes"),
        (f"503 Server Error: Service Unavailable {URL}\n\nPlease try again later.", "Kaggle itself failed"),
        (f"Request failed: 401 Client Error. Will retry in 2 seconds\n403 Client Error: Forbidden {URL}", RULES),
        ('  File "/usr/lib/kaggle/rest.py", line 403, in request\nKeyError: 0', "failed: KeyError: 0"),
        (f"{KEY}\n{BAR}\nValueError: Invalid folder: x", "`kaggle competitions submit` failed: ValueError: Invalid"),
        ("ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403 Forbidden'))", "network"),
        (f"requests.exceptions.ConnectionError: ('Connection aborted.', OSError(104))\n{KEY}", "network"),
        (KEY, "it printed nothing"),
        ("", "it printed nothing"),
    ],
)
def test_a_failure_is_judged_by_its_last_error(kaggle, text, meaning):
    kaggle(text)
    assert meaning in complaint()


@pytest.mark.parametrize(
    "text",
    [
        "Could not find competition - please verify that you entered the correct competition ID",
        "Could not submit to competition",
        "Kernel push error: Maximum batch GPU session count of 2 reached.",
    ],
)
def test_a_failure_that_ends_well_is_one(kaggle, text):
    kaggle(f"{KEY}\n{text}", status=0)
    assert text in complaint()


def test_the_rules_are_those_of_the_competition_that_was_asked_for(kaggle):
    kaggle("403 - Forbidden")
    assert "https://www.kaggle.com/competitions/titanic/rules" in complaint("competitions", "submit", "-c", "titanic")
    assert "https://www.kaggle.com/competitions/digit-recognizer/rules" in complaint("kernels", "push")


def test_what_it_prints_comes_line_by_line_without_progress_bars(kaggle):
    kaggle(f"{BAR}\nSuccessfully submitted\n", status=0, more="time.sleep(600)")
    printed = command.lines("x", again="make this")
    assert next(printed) == "Successfully submitted"
    printed.close()  # which ends it


def test_a_command_that_hangs_is_ended(kaggle):
    kaggle("", more="time.sleep(600)")
    assert "did not finish in 1 s" in complaint(seconds=1)


def test_words_that_are_no_text_and_codes_of_a_terminal_are_shown_safely(kaggle):
    kaggle("", more=r"sys.stdout.buffer.write(b'\xff\x1b[31m 403 - Forbidden\x07')")
    assert complaint().isprintable()
