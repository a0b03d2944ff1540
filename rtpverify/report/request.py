"""What was asked for, when and where: with it a report can be understood, and made again."""

from __future__ import annotations

import socket
from dataclasses import fields
from datetime import UTC, datetime

from rtpverify.limits import PROFILES, Limits
from rtpverify.result import Request
from rtpverify.version import __version__


def request_now(command: str, *, reference: str, encoding: str | None, profile: str, limits: Limits) -> Request:
    """Return a request that is made now, on this host.

    Parameters
    ----------
    command
        The command line.
    reference, encoding
        As given.
    profile, limits
        What is compared with; the request has the limits that are not the profile's.

    Returns
    -------
    Request
        With the time, the name of this host and the version.
    """
    usual = PROFILES[profile]
    own = {item.name: getattr(limits, item.name) for item in fields(Limits)}
    return Request(
        command=command,
        reference=reference,
        encoding=encoding,
        profile=profile,
        limits={name: value for name, value in own.items() if value != getattr(usual, name)},
        version=__version__,
        time=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        host=socket.gethostname(),
    )
