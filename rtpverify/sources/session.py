"""From a session description to where its streams arrive and what is expected there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rtpverify.errors import ConfigurationError, SourceError
from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.sdp import Media, parse_sdp
from rtpverify.sources.endpoint import SCHEME, Endpoint, join_address, parse_endpoint
from rtpverify.spec import StreamSpec


@dataclass(frozen=True, slots=True)
class Session:
    """The audio of a session description, at least one medium."""

    path: Path
    media: Sequence[Media]

    def streams(self, base: StreamSpec) -> list[tuple[Endpoint, StreamSpec]]:
        """Return where each of its streams arrives, and ``base`` with what the description adds to it.

        Raises
        ------
        ConfigurationError
            For a medium without a usable address.
        """
        streams = []
        for medium in self.media:
            place = f"{self.path}:{medium.line}"
            if medium.connection is None:
                raise ConfigurationError(f"{place}: no c= line tells where this medium goes")
            for sender in medium.senders or (None,):
                at = f"{join_address(sender, 0).rpartition(':')[0]}@" if sender else ""
                endpoint = parse_endpoint(f"{SCHEME}{at}{medium.destination}", place)
                streams.append((endpoint, replace(spec_at(endpoint, base), encodings=medium.encodings)))
        return streams

    def encodings_at(self, endpoint: Endpoint) -> dict[int, Encoding]:
        """Return the encodings of what arrives at an address, or of every medium where none is sent there."""
        encodings: dict[int, Encoding] = {}
        for medium in [one for one in self.media if one.destination == endpoint.destination] or self.media:
            encodings |= medium.encodings
        return encodings


def read_session(path: Path) -> Session:
    """Read a session description.

    Raises
    ------
    SourceError
        Where the file cannot be read.
    ConfigurationError
        Where it is none, or describes no audio.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    media = parse_sdp(text, str(path)).audio
    if not media:
        raise ConfigurationError(f"{path}: describes no audio")
    return Session(path, media)


def spec_at(endpoint: Endpoint, base: StreamSpec, session: Session | None = None) -> StreamSpec:
    """Return ``base`` for what arrives at an address; a description may tell its encodings."""
    encodings = session.encodings_at(endpoint) if session else {}
    return replace(base, destination=endpoint.destination, sender=endpoint.sender, encodings=encodings)
