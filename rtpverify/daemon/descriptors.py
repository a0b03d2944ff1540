"""File descriptors: as many as the system grants, of which the HTTP server leaves the last to everything else.

The kernel gives a new descriptor the lowest number that is free. So a server that keeps none at or above
:func:`first_reserved` can take none of those above it from sockets that receive, from history, evidence and logs.
"""

from __future__ import annotations

import sys
from contextlib import suppress

if sys.platform != "win32":  # which has no such limit, nor numbers in order
    import resource

RESERVED = 256
"""Descriptors that are not the server's; of a low limit half of it."""
ENOUGH = 65_536
"""The limit is raised no further: programs that are started close all up to their limit one by one, some of them."""


def raise_limit() -> None:
    """Let this process open as many files as its hard limit allows, up to ``ENOUGH``.

    The soft limit is low by default for programs that use select(2), which cannot name descriptors above 1023.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # what is granted has to do
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def first_reserved() -> int:
    """Return the lowest descriptor that the HTTP server may not keep.

    Returns
    -------
    int
        Number of a file descriptor.
    """
    if sys.platform == "win32":
        return sys.maxsize
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit - min(RESERVED, limit // 2)
