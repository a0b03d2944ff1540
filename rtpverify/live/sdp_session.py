"""From a session description to where its streams arrive and what is expected there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rtpverify.engine.expectation import StreamSpec
from rtpverify.errors import ConfigurationError, SourceError
from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.sdp import Media, SessionDescription
from rtpverify.rtp.sdp_formats import Announced
from rtpverify.rtp.sdp_reader import parse_sdp, sdp_text
from rtpverify.sources.live.endpoint import SCHEME, Endpoint, join_address, parse_endpoint
from rtpverify.sources.small_file import read_small
from rtpverify.transport.redundancy import MAX_LEGS, LegEnds


@dataclass(frozen=True, slots=True)
class Session:
    """The audio of a session description, at least one medium.

    Attributes
    ----------
    place
        File or origin of the description, for messages.
    media
        In order; those of one group are themselves here.
    duplicates
        Groups of media that carry the same (``group:DUP``), each of at least two.
    warnings
        What of the description could not be read, one line each.
    """

    place: str
    media: Sequence[Media]
    duplicates: Sequence[Sequence[Media]] = ()
    warnings: Sequence[str] = ()

    def streams(self, base: StreamSpec, *, rtcp: bool = False) -> list[tuple[list[Endpoint], StreamSpec]]:
        """Return where each of its streams arrives, and ``base`` with what the description adds to it.

        A stream arrives at one endpoint, or at one for each of its legs; with ``rtcp``, RTCP does so too.

        Parameters
        ----------
        base
            What is expected of each.
        rtcp
            Whether RTCP is received too.

        Returns
        -------
        list[tuple[list[Endpoint], StreamSpec]]
            Endpoints and expectation of each stream.

        Raises
        ------
        ConfigurationError
            For a medium with more legs than can be followed.
        """
        streams: list[tuple[list[Endpoint], StreamSpec]] = []
        base = replace(base, warnings=tuple(self.warnings))
        for medium in self.media:
            group = next((group for group in self.duplicates if medium in group), None)
            announced = Announced(f"{self.place}:{medium.line}", medium)
            if group is None and not medium.duplicate_ssrcs:
                for endpoint in self._endpoints(medium, rtcp):
                    spec = replace(spec_at(endpoint, base), encodings=medium.encodings, announced=announced)
                    streams.append(([endpoint], spec))
            elif group is None or medium is group[0]:
                endpoints = [endpoint for leg in group or [medium] for endpoint in self._endpoints(leg, rtcp)]
                ssrcs = tuple(medium.duplicate_ssrcs)
                legs = tuple(_legs(endpoints, ssrcs))
                if len(legs) > MAX_LEGS:
                    raise ConfigurationError(f"{announced.place}: has {len(legs)} legs, more than {MAX_LEGS}")
                spec = replace(base, legs=legs, duplicate_ssrcs=ssrcs, encodings=medium.encodings, announced=announced)
                streams.append((endpoints, spec))
        return streams

    def _endpoints(self, medium: Media, rtcp: bool) -> list[Endpoint]:
        """Return where a medium arrives, from each sender allowed."""
        place = f"{self.place}:{medium.line}"
        endpoints = []
        for sender in medium.senders or (None,):
            at = f"{join_address(sender, 0).rpartition(':')[0]}@" if sender else ""
            endpoint = parse_endpoint(f"{SCHEME}{at}{medium.destination}", place)
            endpoints.append(endpoint.with_rtcp(medium.rtcp_port) if rtcp else endpoint)
        return endpoints

    def encodings_at(self, endpoint: Endpoint) -> dict[int, Encoding]:
        """Return the encodings of what arrives at an address, or of every medium where none is sent there.

        Parameters
        ----------
        endpoint
            Where packets are sent to.

        Returns
        -------
        dict[int, Encoding]
            By payload type.
        """
        encodings: dict[int, Encoding] = {}
        for medium in [one for one in self.media if one.destination == endpoint.destination] or self.media:
            encodings |= medium.encodings
        return encodings

    def announced_at(self, endpoint: Endpoint) -> Announced | None:
        """Return what is announced for an address; of a description of one medium, that one.

        Parameters
        ----------
        endpoint
            Where packets are sent to.

        Returns
        -------
        Announced or None
            None where nothing is.
        """
        media = [one for one in self.media if one.destination == endpoint.destination] or self.media
        return Announced(f"{self.place}:{media[0].line}", media[0]) if len(media) == 1 else None


def is_session(path: str | Path) -> bool:
    """Return whether a file is a session description: by its name (``.sdp``), or by how it starts, whatever its name.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        Whether it is.
    """
    path = Path(path)
    if path.suffix.lower() == ".sdp":
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    return re.match(rb"(\xef\xbb\xbf)?\s*v=0\s", start) is not None


def read_session(path: Path, *, is_patient: bool = False) -> Session:
    """Read a session description; ``is_patient``: from a pipe, too (:mod:`rtpverify.sources.small_file`).

    Parameters
    ----------
    path
        The file.
    is_patient
        Whether it may come from a pipe.

    Returns
    -------
    Session
        The session.

    Raises
    ------
    SourceError
        Where the file cannot be read.
    ConfigurationError
        Where it is none, or describes no audio that can be received.
    RequestError
        Where it cannot be read, or describes no audio that can be received.
    """
    try:
        text = sdp_text(read_small(path, is_patient=is_patient))
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    return session_of(parse_sdp(text, str(path)), str(path))


def _legs(endpoints: Sequence[Endpoint], groups: Sequence[Sequence[int]]) -> Iterator[LegEnds]:
    """Yield a leg for each endpoint, and there for each SSRC of those that carry the same."""
    for endpoint in endpoints:
        for copy in range(max(map(len, groups), default=1)):
            ssrc = groups[0][copy] if len(groups) == 1 else None
            yield LegEnds(endpoint.destination, endpoint.sender, ssrc, copy)


def session_of(description: SessionDescription, place: str) -> Session:
    """Return the audio of a description; ``place`` is its file or origin.

    Parameters
    ----------
    description
        The description.
    place
        Its file or origin.

    Returns
    -------
    Session
        The session.

    Raises
    ------
    ConfigurationError
        Where it describes no audio that can be received.
    """
    media = description.audio
    if not media:
        reasons = [reason for medium in description.media if (reason := medium.unusable)]
        if not reasons:
            raise ConfigurationError(f"{place}: describes no audio, but {', '.join(dict.fromkeys(description.others))}")
        more = f" (and {len(reasons) - 1} more audio media that cannot be received)" if len(reasons) > 1 else ""
        raise ConfigurationError(reasons[0] + more)
    groups = [[medium for medium in media if medium.mid in mids] for mids in description.duplicates]
    return Session(place, media, [group for group in groups if len(group) > 1], description.warnings)


def spec_at(endpoint: Endpoint, base: StreamSpec, session: Session | None = None) -> StreamSpec:
    """Return ``base`` for what arrives at an address; a description may show its encodings, and what it announces.

    Parameters
    ----------
    endpoint
        Where packets are sent to.
    base
        What is expected anyway.
    session
        What is announced; None: nothing.

    Returns
    -------
    StreamSpec
        What is expected there.
    """
    encodings = session.encodings_at(endpoint) if session else {}
    announced = session.announced_at(endpoint) if session else None
    return replace(
        base,
        destination=endpoint.destination,
        sender=endpoint.sender,
        encodings=encodings,
        announced=announced,
        warnings=tuple(session.warnings) if session else base.warnings,
    )
