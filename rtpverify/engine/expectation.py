"""What is expected of a stream: how to recognise it, how to decode it, what to compare it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Self

from rtpverify.errors import RequestError
from rtpverify.limits import Limits
from rtpverify.reference import Reference
from rtpverify.rtp.batch import Flow
from rtpverify.rtp.payload import Encoding, static_encoding, static_name
from rtpverify.rtp.sdp_formats import Announced
from rtpverify.transport.redundancy import LegEnds

DOWN_AFTER_SECONDS = MISSING_AFTER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """Expectation of one stream, or of every stream where the selectors are None.

    Attributes
    ----------
    name
        Bounded name in metrics, log and page.
    destination, sender
        ``address:port`` to match; ``sender`` may be an address alone.
    encodings
        Encoding by payload type (from an SDP); ``encoding`` holds for every other dynamic payload type.
    legs
        Paths that carry copies of the same packets, instead of ``destination`` and ``sender``.
    duplicate_ssrcs
        Groups of SSRCs that carry the same packets (``ssrc-group:DUP``), each known by its first; they are legs.
    redundant
        Packets of one SSRC are copies of each other, over whatever paths they come.
    announced
        What a session description says of it, to be compared with the packets.
    warnings
        What of that description could not be read.
    down_after_seconds
        How long a sender that leaves silence out may pause before it has ended.
    missing_after_seconds
        How long it may take until its first packet, where that is watched.
    finds_encoding
        Whether an encoding that nothing says is looked for even where the signal is compared with nothing.
    """

    name: str = ""
    destination: str | None = None
    sender: str | None = None
    encoding: Encoding | None = None
    encodings: Mapping[int, Encoding] = field(default_factory=dict)
    reference: Reference = None
    limits: Limits = field(default_factory=Limits)
    legs: tuple[LegEnds, ...] = ()
    duplicate_ssrcs: tuple[tuple[int, ...], ...] = ()
    redundant: bool = False
    announced: Announced | None = None
    warnings: tuple[str, ...] = ()
    down_after_seconds: float = DOWN_AFTER_SECONDS
    missing_after_seconds: float = MISSING_AFTER_SECONDS
    finds_encoding: bool = False

    @property
    def wants_encoding(self) -> bool:
        """Whether it is of use to find out how a stream is encoded."""
        return self.reference is not None or self.finds_encoding

    @property
    def place(self) -> str:
        """Where it is expected to arrive, for messages."""
        ends = dict.fromkeys(leg.destination for leg in self.legs) if self.legs else [self.destination]
        return " and ".join(end or "any address" for end in ends)

    @property
    def is_merged(self) -> bool:
        """Whether streams may have several legs."""
        return self.redundant or bool(self.legs)

    def matches(self, flow: Flow) -> bool:
        """Return whether packets of this flow belong here.

        Parameters
        ----------
        flow
            Its two ends.

        Returns
        -------
        bool
            Whether they are those that are expected.
        """
        ends = self.legs or (LegEnds(self.destination, self.sender),)
        return any(leg.matches(flow) for leg in ends)

    @property
    def is_configured(self) -> bool:
        """Whether this is a certain stream, by its name, its ends or its description, and not any that comes."""
        return bool(self.name or self.destination or self.sender or self.legs or self.announced)

    def describes(self, payload_type: int) -> bool:
        """Return whether packets of this payload type are expected: by a description, or at a configured place.

        Parameters
        ----------
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        bool
            Whether a packet of it may begin a stream.
        """
        given = self.encoding is not None and static_encoding(payload_type) is None
        return self.is_configured or payload_type in self.encodings or given

    def encoding_of(self, payload_type: int) -> Encoding | None:
        """Return how this payload type is decoded: SDP, then static table, then the one given for the rest.

        Parameters
        ----------
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        Encoding or None
            None where it cannot be decoded here.
        """
        if self.announced is not None and self.announced.medium.is_encrypted:
            return None
        return self.encodings.get(payload_type) or static_encoding(payload_type) or self.encoding

    def why_undecodable(self, payload_type: int) -> str:
        """Say why the audio of a payload type that has no encoding cannot be decoded.

        Parameters
        ----------
        payload_type
            RTP payload type, 0 to 127.

        Returns
        -------
        str
            A sentence for the result.
        """
        if self.announced is None:
            name = static_name(payload_type)
            return f"payload type {payload_type}: " + (f"{name} is not supported" if name else "encoding unknown")
        return f"{self.announced.place}: {self.announced.medium.why_undecodable(payload_type)}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Some of the streams: those that any of the criteria picks, and no payload type but these.

    Attributes
    ----------
    ssrcs
        SSRCs picked.
    ends
        Senders or destinations picked, as ``address:port`` or an address alone.
    payload_types
        Payload types let through; None lets all.
    """

    ssrcs: frozenset[int] = frozenset()
    ends: frozenset[str] = frozenset()
    payload_types: frozenset[int] | None = None

    @classmethod
    def parse(cls, texts: Sequence[str], place: str = "--stream") -> Self:
        """Read SSRCs (``0x5eed0001``) and addresses (``239.1.2.3``, ``239.1.2.3:5004``, ``[2001:db8::7]:5004``).

        Parameters
        ----------
        texts
            What the caller asks for.
        place
            What the texts are a value of, for the message of an error.

        Returns
        -------
        Self
            The selection.

        Raises
        ------
        RequestError
            Where a text is neither; the message starts with ``place`` and holds the text.
        """
        ssrcs, ends = set(), set()
        for text in texts:
            if text.lower().startswith("0x"):
                try:
                    ssrcs.add(int(text, 16))
                except ValueError:
                    ssrcs.add(-1)
                if not 0 <= max(ssrcs) <= 0xFFFFFFFF or min(ssrcs) < 0:
                    raise RequestError(f"{place}: {text!r} is not an SSRC of 32 bits")
            else:
                ends.add(_ends(text, place))
        return cls(frozenset(ssrcs), frozenset(ends))

    def matches(self, flow: Flow) -> bool:
        """Return whether packets of this flow are picked, whatever their SSRC.

        Parameters
        ----------
        flow
            Its two ends.

        Returns
        -------
        bool
            Whether one of them is asked for.
        """
        return self._picks(flow.sender, flow.destination)

    def picks(self, spec: StreamSpec) -> bool:
        """Return whether what is expected is picked before any packet says its SSRC.

        Parameters
        ----------
        spec
            What is expected of the stream.

        Returns
        -------
        bool
            False where it is not certain.
        """
        ends = spec.legs or (spec,)
        return self._picks(*(side for end in ends for side in (end.sender, end.destination) if side))

    def _picks(self, *sides: str) -> bool:
        return not self.ends.isdisjoint(end for side in sides for end in (side, side.rpartition(":")[0].strip("[]")))


def _ends(text: str, place: str) -> str:
    """Return an address, with its port where there is one, as flows spell it."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text, ""
    try:
        address = str(ip_address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        raise RequestError(f"{place}: {text!r} is not an SSRC (0x...), ADDRESS or ADDRESS:PORT") from None
    if not colon or not port:
        return address
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise RequestError(f"{place}: {text!r}: port {port!r} is not a number up to 65535")
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
