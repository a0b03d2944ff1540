"""Which sessions are announced on this network: the Python API of ``rtpverify discover``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from rtpverify.live.loop import run, stopped_by_signals
from rtpverify.live.sap_listener import SapListener
from rtpverify.report.printable import printable
from rtpverify.rtp.sap import Announcement, SessionDirectory
from rtpverify.rtp.sdp import Media
from rtpverify.sources.open_receiver import Backend

SCHEMA = "rtpverify.discover/1"
TICK_SECONDS = 0.05


def discover(
    duration_seconds: float,
    *,
    interface: str | None = None,
    backend: Backend | None = None,
    on_found: Callable[[Announcement], None] = lambda _: None,
) -> SessionDirectory:
    """Listen for announcements until the duration is over, or Ctrl-C or SIGTERM comes.

    Parameters
    ----------
    duration_seconds
        How long to listen.
    interface
        Name or address of the interface to listen on; None leaves the choice to the routing table.
    backend
        How packets are received; None: as this system does best.
    on_found
        Called with each session that is new or has changed.

    Returns
    -------
    SessionDirectory
        What was announced.

    Raises
    ------
    RequestError
        Where no announcements can be received.
    """

    async def main() -> SessionDirectory:
        stop = asyncio.Event()
        with stopped_by_signals(stop), SapListener(interface, backend) as listener:
            loop = asyncio.get_running_loop()
            end = loop.time() + duration_seconds
            while loop.time() < end and not stop.is_set():
                await asyncio.sleep(min(TICK_SECONDS, max(0.0, end - loop.time())))
                for announcement in listener.drain():
                    on_found(announcement)
            return listener.directory

    return run(main())


def as_dict(directory: SessionDirectory) -> dict[str, Any]:
    """Return what is announced in the published JSON form.

    Parameters
    ----------
    directory
        What was announced.

    Returns
    -------
    dict[str, Any]
        Values of JSON's types.
    """
    return {
        "schema": SCHEMA,
        "sessions": [_session(announcement) for announcement in directory.sessions.values()],
        "discarded": dict(directory.discarded),
        "mistakes": list(directory.mistakes),
    }


def _session(announcement: Announcement) -> dict[str, Any]:
    return {
        "name": announcement.name,
        "origin": announcement.message.origin,
        "identifier": f"0x{announcement.message.identifier:04x}",
        "authenticated": announcement.message.authenticated,
        "duplicates": [list(group) for group in announcement.description.duplicates],
        "media": [_medium(medium) for medium in announcement.description.audio],
        "warnings": announcement.description.warnings,
        "sdp": announcement.message.text,
    }


def _medium(medium: Media) -> dict[str, Any]:
    return {
        "mid": medium.mid,
        "destination": medium.destination,
        "senders": list(medium.senders),
        "encodings": {str(number): str(encoding) for number, encoding in medium.encodings.items()},
        "undecodable": None if medium.is_decodable else medium.why_undecodable(),
        "ptime_ms": medium.ptime_ms,
    }


def render_json(directory: SessionDirectory) -> str:
    """Return the JSON text, with a line end.

    Parameters
    ----------
    directory
        What was announced.

    Returns
    -------
    str
        JSON.
    """
    return json.dumps(as_dict(directory), indent=2, ensure_ascii=False) + "\n"


def lines(directory: SessionDirectory) -> list[str]:
    """Return what is printed: a line for each session, indented ones for its media, and what was ignored.

    Parameters
    ----------
    directory
        What was announced.

    Returns
    -------
    list[str]
        Lines without newlines.
    """
    told = []
    for announcement in directory.sessions.values():
        told.append(f"{printable(announcement.name) or '(no name)'}  announced by {announcement.message.origin}")
        for medium in announcement.description.audio:
            encodings = ", ".join(f"{encoding} ({number})" for number, encoding in medium.encodings.items())
            source = f" from {', '.join(medium.senders)}" if medium.senders else ""
            told.append(f"  {medium.destination}{source}  {encodings or printable(medium.why_undecodable())}")
        told += [f"  warning: {printable(warning)}" for warning in announcement.description.warnings]
    told += [f"ignored: {printable(mistake)}" for mistake in directory.mistakes]
    reasons = ", ".join(f"{count} {reason}" for reason, count in directory.discarded.items())
    return told + ([f"{sum(directory.discarded.values())} packets ignored: {reasons}"] if reasons else [])
