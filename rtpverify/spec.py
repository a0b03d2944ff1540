"""What is expected of a stream: how to recognise it, how to decode it, what to hold it against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rtpverify.limits import Limits
from rtpverify.reference import Reference
from rtpverify.rtp.batch import Flow
from rtpverify.rtp.payload import Encoding, static_encoding


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
    """

    name: str = ""
    destination: str | None = None
    sender: str | None = None
    encoding: Encoding | None = None
    encodings: Mapping[int, Encoding] = field(default_factory=dict)
    reference: Reference = None
    limits: Limits = field(default_factory=Limits)

    def matches(self, flow: Flow) -> bool:
        """Tell whether packets of this flow belong here."""
        if self.destination is not None and flow.destination != self.destination:
            return False
        return self.sender is None or self.sender in (flow.sender, flow.sender.rpartition(":")[0].strip("[]"))

    def encoding_of(self, payload_type: int) -> Encoding | None:
        """Return how this payload type is decoded: SDP, then static table, then the one given for the rest."""
        return self.encodings.get(payload_type) or static_encoding(payload_type) or self.encoding
