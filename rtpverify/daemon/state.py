"""What the daemon keeps per configured stream, whatever identities the stream takes on the wire.

A sender that restarts comes back as another stream of the verifier under the same name. Counters go on where they
were; measurements are those of the identity heard last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rtpverify.daemon.metrics import PACKET_COUNTERS, StreamSnapshot, countable_events
from rtpverify.result import StreamResult
from rtpverify.spec import StreamSpec
from rtpverify.verifier import Stream, StreamEvent

UP_SECONDS = 1.0
"""A stream is up while its last packet is no older than this."""


class Ledger:
    """Adds up the counters of several bearers so that no total ever falls, whoever starts anew or goes away."""

    def __init__(self, names: Sequence[str]) -> None:
        self.totals: Counter[str] = Counter(dict.fromkeys(names, 0))
        self._highest: dict[int, tuple[object, Counter[str]]] = {}

    def update(self, counts: Sequence[tuple[object, Mapping[str, int]]]) -> None:
        """Take the present counts of every bearer there is; one that is no longer among them keeps its share."""
        present = {}
        for bearer, now in counts:
            _, highest = self._highest.get(id(bearer), (bearer, Counter()))
            for name, count in now.items():
                self.totals[name] += max(0, count - highest[name])
                highest[name] = max(count, highest[name])
            present[id(bearer)] = bearer, highest
        self._highest = present


class StreamState:
    """One configured stream, followed from the event loop.

    Attributes
    ----------
    up
        Whether packets arrive, as of the last call of :meth:`follow`.
    result
        Of the identity heard last, as of the last call of :meth:`refresh`; None before the first packet.
    snapshot
        What a scrape may see; replaced as a whole, never changed.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.name = spec.name
        self.up = False
        self.result: StreamResult | None = None
        self._streams: Sequence[Stream] = ()
        self._packets = Ledger(list(PACKET_COUNTERS))
        self._events = Counter(countable_events(spec.reference))
        self.snapshot = self._take()

    def count(self, told: StreamEvent) -> None:
        """Count an event the first time it is told."""
        if told.is_new:
            self._events[str(told.event.kind), str(told.event.cause)] += 1

    def follow(self, streams: Sequence[Stream], now_ns: int) -> bool:
        """Take the identities that bear this name; return whether the stream went up or down."""
        self._streams = streams
        last_ns = max((stream.last_arrival_ns or 0 for stream in streams), default=0)
        was_up, self.up = self.up, now_ns - last_ns < UP_SECONDS * 1e9
        return was_up != self.up

    def refresh(self) -> None:
        """Measure anew and replace ``result`` and ``snapshot``."""
        results = [(stream, stream.result()) for stream in self._streams]
        self._packets.update(
            [
                (stream, {name: getattr(result.transport, f"packets_{name}") for name in PACKET_COUNTERS})
                for stream, result in results
            ]
        )
        if results:
            self.result = max(results, key=lambda item: item[0].last_arrival_ns or 0)[1]
        self.snapshot = self._take()

    def _take(self) -> StreamSnapshot:
        result = self.result
        transport = result.transport if result else None
        return StreamSnapshot(
            name=self.name,
            up=self.up,
            packets=dict(self._packets.totals),
            events=dict(self._events),
            jitter_seconds=transport.jitter_seconds if transport else None,
            clock_drift_ppm=transport.clock_drift_ppm if transport else None,
            signal=tuple(result.signal) if result else (),
        )
