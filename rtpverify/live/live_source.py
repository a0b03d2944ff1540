"""Live sources by their address: where packets come from, and what takes them in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rtpverify.live.sdp_session import is_session
from rtpverify.sources.joint_receiver import open_joint_receiver
from rtpverify.sources.live.endpoint import SCHEME, Endpoint
from rtpverify.sources.live.receiver import LiveInput
from rtpverify.sources.open_receiver import Backend
from rtpverify.sources.ring import tap
from rtpverify.sources.ring.tap import Tap


def is_live(source: str | Path) -> bool:
    """Return whether a source is an address, an interface, or a session description, and no capture or audio file.

    Parameters
    ----------
    source
        What the caller names.

    Returns
    -------
    bool
        Whether packets are to be received.
    """
    return str(source).startswith((SCHEME, tap.SCHEME)) or is_session(source)


def open_input(places: Sequence[Endpoint | Tap], backend: Backend | None) -> LiveInput:
    """Open what takes in the packets of endpoints, or of taps.

    Parameters
    ----------
    places
        Endpoints, or taps.
    backend
        What receives; None: what this system has.

    Returns
    -------
    LiveInput
        Open; to be closed by the caller.

    Raises
    ------
    SourceError
        Where a socket or ring cannot be opened; the message names it and the reason.
    """
    taps = [place for place in places if isinstance(place, Tap)]
    if taps:
        from rtpverify.sources.ring.receiver import TapReceiver

        return TapReceiver(taps)
    return open_joint_receiver([place for place in places if isinstance(place, Endpoint)], backend)
