"""The one exception that stands for a user's mistake, and how text that is not ours is repeated in it."""

LONGEST = 300  # characters of what is not ours


class UserError(Exception):
    """What was wrong, where, and what to do, in one line.

    The command line prints it without a traceback and ends with status 2; every other exception is a
    bug and keeps its traceback.
    """


def printable(text: str) -> str:
    """Text with escapes for what cannot be printed: a file's name can hold codes that command a terminal."""
    return text if text.isprintable() else "".join(of if of.isprintable() else ascii(of)[1:-1] for of in text)


def one_line(text: str) -> str:
    """Text in one line of printable characters."""
    return printable(" ".join(text.split()))


def shown(text: str) -> str:
    """The beginning of a text that is not ours, in one line."""
    line = one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
