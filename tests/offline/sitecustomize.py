"""Python without a network: what any test, or any command that a test runs, asks it for is refused and written down.

conftest.py puts this folder on the path of every command. Libraries that ask behind one's back mostly do not mind that
nobody answers, so the file $ASKED keeps what was asked; a test fails that left something there. Sockets opened in C
are not seen here.

HIDDEN names a package that is as good as not installed.
"""

import errno
import importlib.machinery
import os
import socket
import sys
from pathlib import Path

HERE = ("", "localhost", "0.0.0.0", "::", "::1", socket.gethostname())
connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def _is_here(host):
    host = host.decode() if isinstance(host, bytes) else host or ""
    return host in HERE or host.startswith("127.")


def _refuse(what):
    with Path(os.environ["ASKED"]).open("a") as asked:
        asked.write(f"{what}, by {' '.join(' '.join(sys.orig_argv).split())}\n")
    raise OSError(errno.ENETUNREACH, f"a test asked the network for {what}")


def _connecting(through):
    def connecting(self, address):
        # A datagram socket that is connected has sent nothing; that is how one learns one's own address.
        outward = self.family in (socket.AF_INET, socket.AF_INET6) and self.type != socket.SOCK_DGRAM
        if outward and not _is_here(address[0]):
            _refuse(f"{address[0]}:{address[1]}")
        return through(self, address)

    return connecting


def _resolving(host, *arguments, **options):
    if not _is_here(host):
        _refuse(host)
    return getaddrinfo(host, *arguments, **options)


if "ASKED" in os.environ:
    socket.socket.connect, socket.socket.connect_ex = _connecting(connect), _connecting(connect_ex)
    socket.getaddrinfo = _resolving


def _without(hidden):
    found = importlib.machinery.PathFinder.find_spec
    return staticmethod(lambda name, path=None, target=None: None if name == hidden else found(name, path, target))


if "HIDDEN" in os.environ:
    importlib.machinery.PathFinder.find_spec = _without(os.environ["HIDDEN"])
