"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """What was wrong, where, and what to do, in one line.

    The command line prints it without a traceback and ends with status 2; every other exception is a
    bug and keeps its traceback.
    """
