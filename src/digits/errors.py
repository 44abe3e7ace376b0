"""The error of a user, words for what a machine refuses, and safe quotes of text that is not ours."""

from __future__ import annotations

import errno
import functools
import re
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MEMORY = "give fewer WORKERS=, or more memory (a GPU's: GPU=0); the same command resumes"
GPU = "the same command resumes, on the processor with GPU=0"
BACKEND_ERRORS = {
    *("InternalError", "UnknownError", "AbortedError", "FailedPreconditionError", "NotFoundError"),
    *("UnimplementedError", "JaxRuntimeError", "XlaRuntimeError", "RuntimeError"),
}
GPU_MESSAGES = re.compile("cuda|cudnn|cublas|gpu|dnn library|no algorithm worked", re.IGNORECASE)
REFUSALS = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some space, then run the same command again",
    errno.ENOMEM: MEMORY,
    errno.EFBIG: "raise the limit on file sizes, then run the same command again",
    errno.EROFS: "make it writable, or choose another folder with --output",
    errno.EACCES: "make it writable, or choose another folder with --output",
    errno.EPERM: "make it writable, or choose another folder with --output",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.EISDIR: "a folder stands where a file is needed",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link stands where a file or folder is needed",
}
LONGEST = 300  # characters of a quote


class UserError(Exception):
    """What was wrong, where, and what to do, in one line.

    The command line prints it without a traceback and ends with status 2; every other exception is a bug and keeps its
    traceback.
    """


def plain(error: BaseException) -> str | None:
    """Explain a user's mistake, a disk that refuses or too little memory; None for every other error, a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, BrokenExecutor):
        reason = "a worker process was killed, most likely because the memory did not suffice"
        return f"{reason}{f' ({shown(str(error))})' if str(error) else ''}; {MEMORY}"
    if isinstance(error, MemoryError) or _is_memory(error):
        return f"the memory does not suffice: {str(error)[:200] or 'none is left'}; {MEMORY}"
    if type(error).__name__ in BACKEND_ERRORS and GPU_MESSAGES.search(str(error)):
        return f"the GPU failed: {shown(str(error))}; {GPU}"
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        return f"{error.strerror}; {REFUSALS[errno.ENOSPC]}"
    if isinstance(error, OSError) and error.errno in REFUSALS:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; {REFUSALS[error.errno]}"
    return None


def one_line_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Decorate a command: a user's mistake, a disk that refuses or too little memory end in one line and status 2.

    A bug keeps its traceback.
    """

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            print("\ninterrupted; the same command resumes", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            line = plain(error)
            if line is None:
                raise
            print(f"error: {one_line(line)}", file=sys.stderr)
        sys.exit(2)

    return guarded


def _is_memory(error: BaseException) -> bool:
    """Memory ran out in a backend, while a library was loaded or a thread started, or in C code that gave no reason."""
    backend = type(error).__name__ == "ResourceExhaustedError" or (
        type(error).__name__ in BACKEND_ERRORS and "RESOURCE_EXHAUSTED" in str(error)
    )
    loading = isinstance(error, ImportError) and re.search("allocate memory|map segment", str(error))
    thread = isinstance(error, RuntimeError) and str(error) == "can't start new thread"
    wordless = isinstance(error, SystemError) and re.search("without (setting an )?exception", str(error))
    return backend or bool(loading or thread or wordless)


def printable(text: str) -> str:
    """Escape what cannot be printed: the name of a file can hold codes that command a terminal."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def one_line(text: str) -> str:
    """Put text in one line of printable characters."""
    return printable(" ".join(text.split()))


def shown(text: str) -> str:
    """Quote the beginning of a text that is not ours, in one line."""
    line = one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
