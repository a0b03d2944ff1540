"""What the daemon keeps per configured stream, whatever identities the stream takes on the wire.

A sender that restarts comes back as another stream of the verifier under the same name. Counters go on where they
were; measurements are those of the identity heard last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rtpverify.daemon.metrics import PACKET_COUNTERS, StreamSnapshot, countable_events
from rtpverify.result import StreamResult
from rtpverify.spec import StreamSpec
from rtpverify.stream import Stream
from rtpverify.verifier import StreamEvent

UP_NS = 1_000_000_000
"""A stream is up while its last packet is younger than this."""


class StreamState:
    """One configured stream, followed from the event loop; figures are as of the last :meth:`refresh`.

    Attributes
    ----------
    up
        Whether packets arrive.
    result
        Of the identity heard last; None before the first packet.
    snapshot
        What a scrape may see; replaced as a whole, never changed.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.name = spec.name
        self.up = False
        self.result: StreamResult | None = None
        self._streams: list[Stream] = []
        self._highest: list[Counter[str]] = []
        self._events = Counter(countable_events(spec.reference))
        self.snapshot = self._take()

    def add(self, stream: Stream) -> None:
        """Take in an identity that bears this name."""
        self._streams.append(stream)
        self._highest.append(Counter())

    def count(self, told: StreamEvent) -> None:
        """Count an event the first time it is told."""
        if told.is_new:
            self._events[str(told.event.kind), str(told.event.cause)] += 1
            self.snapshot = replace(self.snapshot, events=dict(self._events))

    def refresh(self, result_of: Callable[[Stream], StreamResult], now_ns: int) -> bool:
        """Measure anew by ``result_of``, replace ``snapshot``, and return whether the stream went up or down."""
        latest_ns = -1
        for stream, highest in zip(self._streams, self._highest, strict=True):
            result = result_of(stream)
            for name in PACKET_COUNTERS:
                # A count of the core may be corrected; a counter of the metrics never falls.
                highest[name] = max(highest[name], getattr(result.transport, f"packets_{name}"))
            if stream.last_arrival_ns > latest_ns:
                latest_ns, self.result = stream.last_arrival_ns, result
        was_up, self.up = self.up, now_ns - latest_ns < UP_NS
        self.snapshot = self._take()
        return was_up != self.up

    def summary(self) -> dict[str, Any]:
        """Return what a log line tells; channels stand in lists."""
        fields: dict[str, Any] = {"stream": self.name, "state": self._word()}
        result = self.result
        if result is None:
            return fields
        fields |= {
            "verdict": str(result.verdict),
            "received": self.snapshot.packets["received"],
            "lost": self.snapshot.packets["lost"],
            "events": sum(self._events.values()),
        }
        if result.signal:
            fields |= {
                "level_dbfs": [_rounded(signal.level_dbfs, 2) for signal in result.signal],
                "frequency_hz": [_rounded(signal.frequency_hz, 4) for signal in result.signal],
                "residual_dbfs": [_rounded(signal.residual_dbfs, 1) for signal in result.signal],
            }
        if result.inconclusive:
            fields["inconclusive"] = result.inconclusive
        return fields

    def _word(self) -> str:
        if self.up:
            return "up"
        return "down" if self.result else "waiting"

    def _take(self) -> StreamSnapshot:
        result = self.result
        transport = result.transport if result else None
        return StreamSnapshot(
            name=self.name,
            up=self.up,
            packets={name: sum(highest[name] for highest in self._highest) for name in PACKET_COUNTERS},
            events=dict(self._events),
            jitter_seconds=transport.jitter_seconds if transport else None,
            clock_drift_ppm=transport.clock_drift_ppm if transport else None,
            signal=tuple(result.signal) if result else (),
        )


def _rounded(value: float | None, digits: int) -> float | None:
    """Round what was measured."""
    return None if value is None else round(float(value), digits)
