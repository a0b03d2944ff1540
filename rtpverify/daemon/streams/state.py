"""What the daemon keeps per configured stream, whatever identities the stream takes on the wire.

A sender that restarts comes back as another stream of the verifier under the same name. Counters continue where they
were; measurements are those of the identity heard last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rtpverify.daemon.metrics.event_sizes import SIZES, sizes_of
from rtpverify.daemon.metrics.snapshot import (
    CHANNEL_COUNTERS,
    MEASURED_COUNTERS,
    OTHER_COUNTERS,
    PACKET_COUNTERS,
    Key,
    LegSnapshot,
    StreamSnapshot,
    countable_events,
)
from rtpverify.daemon.metrics.text import Exemplar
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.presence import AwaitedStream
from rtpverify.engine.stream import Stream
from rtpverify.engine.verifier import StreamEvent
from rtpverify.events import Event
from rtpverify.live.histogram import BucketCounter, BucketCounts
from rtpverify.result import Leg, Signal, StreamResult, Transport, Verdict
from rtpverify.transport.arrivals import DOWN_NS
from rtpverify.transport.timing import INTERVAL_EDGES_NS

MAX_OPEN = 1000
"""Events of one identity that are known to continue."""
INTERVAL_EDGES_SECONDS = tuple(edge / 1e9 for edge in INTERVAL_EDGES_NS)


class Measured(Protocol):
    """What knows of streams: the verifier."""

    def result_of(self, stream: Stream) -> StreamResult:
        """Return what was found of a stream so far.

        Parameters
        ----------
        stream
            The stream.
        """

    def last_arrival_ns(self, stream: Stream) -> int:
        """Return when the last packet of a stream arrived.

        Parameters
        ----------
        stream
            The stream.
        """

    def present(self, stream: Stream, measured: Sequence[Signal]) -> list[Signal]:
        """Return what each channel of a stream carries now, where this was measured so far.

        Parameters
        ----------
        stream
            The stream.
        measured
            The signal of its result.
        """

    def is_up(self, name: str) -> bool:
        """Return whether packets of the stream of a name arrive.

        Parameters
        ----------
        name
            Configured name.
        """


class _Counted:
    """What was counted of one stream of the verifier: the core may correct its counts, but these never fall."""

    def __init__(self) -> None:
        self.packets: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.channels: Counter[tuple[str, int]] = Counter()
        self.legs: list[Counter[str]] = []
        self.differing: int | None = None
        self.intervals = [0] * (len(INTERVAL_EDGES_SECONDS) + 1)
        self.interval_seconds = 0.0

    def take(self, result: StreamResult) -> None:
        """Take in what is counted by now."""
        transport = result.transport or Transport()
        _raise(self.packets, _packets(transport))
        _raise(self.counts, ((name, getattr(transport, name)) for name in OTHER_COUNTERS))
        measured = ((name, getattr(transport, name)) for name in MEASURED_COUNTERS)
        _raise(self.counts, ((name, count) for name, count in measured if count is not None))
        for signal in result.signal:
            counted = ((name, getattr(signal, name)) for name in CHANNEL_COUNTERS)
            _raise(self.channels, (((name, signal.channel), n) for name, n in counted if n is not None))
        self.legs += [Counter() for _ in result.legs[len(self.legs) :]]
        for counter, leg in zip(self.legs, result.legs, strict=False):
            _raise(counter, _packets(leg))
        if result.packets_differing is not None:
            self.differing = max(self.differing or 0, result.packets_differing)
        self._take_intervals(transport)

    def add(self, other: _Counted) -> None:
        """Add what was counted of another one."""
        self.packets.update(other.packets)
        self.counts.update(other.counts)
        self.channels.update(other.channels)
        self.legs += [Counter() for _ in other.legs[len(self.legs) :]]
        for counter, more in zip(self.legs, other.legs, strict=False):
            counter.update(more)
        if other.differing is not None:
            self.differing = (self.differing or 0) + other.differing
        self.intervals = [count + more for count, more in zip(self.intervals, other.intervals, strict=True)]
        self.interval_seconds += other.interval_seconds

    def _take_intervals(self, transport: Transport) -> None:
        below = dict(transport.interarrival_histogram)
        edges = (*INTERVAL_EDGES_SECONDS, None)
        self.intervals = [max(had, below.get(edge, 0)) for had, edge in zip(self.intervals, edges, strict=True)]
        if transport.mean_interval_seconds is not None:
            seconds = transport.mean_interval_seconds * sum(below.values())
            self.interval_seconds = max(self.interval_seconds, seconds)


class _Identity(_Counted):
    """One stream of the verifier."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream
        self.heard_ns = stream.first_arrival_ns
        """When its last packet arrived, as of the last refresh."""
        self.open: dict[str, Key] = {}
        """Kind and cause of the events that continue, by id."""


def _packets(counted: Transport | Leg) -> Iterable[tuple[str, int]]:
    """Return the packet counts of a stream or leg by the names of ``PACKET_COUNTERS``."""
    return [(name, getattr(counted, f"packets_{name}")) for name in PACKET_COUNTERS]


def _raise(counter: Counter[Any], counted: Iterable[tuple[Any, int]]) -> None:
    """Raise counters to what is counted, never lower them."""
    for name, count in counted:
        counter[name] = max(counter[name], count)


class StreamState:
    """One configured stream, followed from the event loop; figures are as of the last :meth:`refresh`.

    Parameters
    ----------
    spec
        What is expected of it.

    Attributes
    ----------
    up
        Whether it came and has not ended, as of the last :meth:`watch`.
    result
        Of the identity heard last; None before the first packet.
    snapshot
        What a scrape may see; replaced as a whole, never changed.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self.name = spec.name
        self.up = False
        self.result: StreamResult | None = None
        self._present: list[Signal] = []
        self._has_reference = spec.reference is not None
        self._identities: dict[int, _Identity] = {}
        self._missing: dict[str, Key] = {}
        """Kind and cause of the events that continue while nothing came, by id."""
        self._before: _Counted | None = None
        """What was counted before something else came to be expected."""
        self._latest: _Identity | None = None
        self._events = Counter(countable_events(spec.reference))
        self._has_failed = False
        """Whether an event that is over was a fault, of whatever identity."""
        self._open_faults: set[str] = set()
        self._ever_open: set[Key] = set()
        self._exemplars: dict[Key, Exemplar] = {}
        self._sizes: dict[Key, BucketCounter] = {}
        self.snapshot = self._take()

    def add(self, stream: Stream) -> None:
        """Take in an identity that bears this name.

        Parameters
        ----------
        stream
            Who sends it.
        """
        self._identities.setdefault(id(stream), _Identity(stream))

    def expect(self, spec: StreamSpec) -> None:
        """Continue with another expectation: what was counted stays, what was measured does not.

        Parameters
        ----------
        spec
            What is expected from now on.
        """
        for identity in list(self._identities.values()):
            self.forget(identity.stream)
        self.up, self.result, self._latest, self._present = False, None, None, []
        self._has_reference = spec.reference is not None
        self._events = Counter(countable_events(spec.reference) | self._events)
        self.snapshot = self._take()

    def forget(self, stream: Stream) -> None:
        """Continue without an identity; what was counted of it stays.

        Parameters
        ----------
        stream
            Who sent it.
        """
        self._before = self._before or _Counted()
        self._before.add(self._identities.pop(id(stream)))

    def silent_identities(self, before_ns: int) -> list[Stream]:
        """Return the identities that were heard last before a time, as of the last refresh.

        Never the latest one, nor the one of which most was received: when its sender comes back it has its place.

        Parameters
        ----------
        before_ns
            In ns since the Unix epoch.

        Returns
        -------
        list[Stream]
            In order of appearance.
        """
        kept = self._latest, max(self._identities.values(), key=lambda one: one.packets["received"], default=None)
        others = [identity for identity in self._identities.values() if identity not in kept]
        return [identity.stream for identity in others if identity.heard_ns < before_ns]

    def count(self, told: StreamEvent) -> None:
        """Count an event the first time it is reported, and what it amounted to once it has ended.

        Parameters
        ----------
        told
            The event.
        """
        event, key = told.event, (str(told.event.kind), str(told.event.cause))
        open_events, encoding, time_ns = self._missing, None, event.time_ns or 0
        if not isinstance(told.stream, AwaitedStream):
            self.add(told.stream)
            open_events, encoding = self._identities[id(told.stream)].open, told.stream.encoding
            time_ns = event.time_ns or self._identities[id(told.stream)].heard_ns
        if told.is_new:
            self._events[key] += 1
            self._note_exemplar(key, event.id, time_ns)
        self._note_fault(event)
        if event.open:
            if event.id in open_events or len(open_events) < MAX_OPEN:
                open_events[event.id] = key
                self._ever_open.add(key)
        elif told.is_new or open_events.pop(event.id, None) is not None:
            for size, value in sizes_of(event, encoding.sample_rate_hz if encoding else None):
                place = size, str(event.kind)
                if place not in self._sizes:
                    self._sizes[place] = BucketCounter(SIZES[size].edges)
                self._sizes[place].add(value)
        self.snapshot = replace(
            self.snapshot,
            events=dict(self._events),
            open_events=self._open_events(),
            exemplars=dict(self._exemplars),
            sizes=self._size_counts(),
        )

    def _note_fault(self, event: Event) -> None:
        """Keep whether the stream can pass; while an event is open it may turn out to be no fault."""
        self._open_faults.discard(event.id)
        if event.fault and event.open and len(self._open_faults) < MAX_OPEN:
            self._open_faults.add(event.id)
        elif event.fault:
            self._has_failed = True

    def _note_exemplar(self, key: Key, event_id: str, time_ns: int) -> None:
        """Keep the latest event of a kind; Prometheus takes exemplars in order of time only."""
        latest = self._exemplars.get(key)
        if latest is None or time_ns >= latest.time_ns:
            self._exemplars[key] = Exemplar(event_id, time_ns)

    def watch(self, measured: Measured) -> bool:
        """Return whether the stream went up or down.

        Parameters
        ----------
        measured
            What is measured.

        Returns
        -------
        bool
            Whether it did since the last call.
        """
        is_up = measured.is_up(self.name)
        if is_up is self.up:
            return False
        self.up = is_up
        self.snapshot = self._take()
        return True

    def refresh(self, measured: Measured, now_ns: int) -> None:
        """Measure again, and replace ``snapshot``.

        Parameters
        ----------
        measured
            What is measured.
        now_ns
            Time, in ns since the Unix epoch.
        """
        latest_ns = -1
        for identity in self._identities.values():
            result = measured.result_of(identity.stream)
            identity.take(result)
            identity.heard_ns = measured.last_arrival_ns(identity.stream)
            if identity.heard_ns > latest_ns:
                latest_ns, self.result, self._latest = identity.heard_ns, result, identity
        for identity in self._identities.values():
            # What continued in an identity that fell silent while another one continues is over.
            if identity is not self._latest and now_ns - identity.heard_ns >= DOWN_NS:
                identity.open.clear()
        if self._latest is not None and self.result is not None:
            self._present = measured.present(self._latest.stream, self.result.signal)
        self.snapshot = self._take()

    def summary(self, *, whole: bool = False) -> dict[str, Any]:
        """Return what a log line says, of all that was ``whole`` or of now; channels are in lists.

        Parameters
        ----------
        whole
            All since the start, or only now.

        Returns
        -------
        dict[str, Any]
            Values by name; what was not measured is not there.
        """
        fields: dict[str, Any] = {"stream": self.name, "state": self._word()}
        result = self.result
        if result is None:
            return fields
        fields |= {
            "verdict": str(Verdict.FAIL if self._has_failed or self._open_faults else result.verdict),
            "received": self.snapshot.packets["received"],
            "lost": self.snapshot.packets["lost"],
            "events": sum(self._events.values()),
        }
        signals = result.signal if whole else self.snapshot.signal
        if signals:
            fields |= {
                "level_dbfs": [_rounded(signal.level_dbfs, 2) for signal in signals],
                "frequency_hz": [_rounded(signal.frequency_hz, 4) for signal in signals],
                "residual_dbfs": [_rounded(signal.residual_dbfs, 1) for signal in signals],
            }
        if result.inconclusive:
            fields["inconclusive"] = result.inconclusive
        return fields

    def _word(self) -> str:
        if self.up:
            return "up"
        return "down" if self.result else "waiting"

    def _open_events(self) -> dict[Key, int]:
        """Count the events that continue; what has once been open stays, with 0."""
        of_each = [self._missing, *(identity.open for identity in self._identities.values())]
        counts = Counter(key for going_on in of_each for key in going_on.values())
        return {key: counts[key] for key in sorted(self._ever_open)}

    def _size_counts(self) -> dict[Key, BucketCounts]:
        return {place: histogram.counts() for place, histogram in self._sizes.items()}

    def _take(self) -> StreamSnapshot:
        result = self.result
        identities: list[_Counted] = [*([self._before] if self._before else []), *self._identities.values()]
        stream = self._latest.stream if self._latest else None
        differing = [identity.differing for identity in identities if identity.differing is not None]
        return StreamSnapshot(
            name=self.name,
            up=self.up,
            packets=_total(PACKET_COUNTERS, [identity.packets for identity in identities]),
            counts=_total(
                (
                    *OTHER_COUNTERS,
                    *(name for name in MEASURED_COUNTERS if any(name in one.counts for one in identities)),
                ),
                [identity.counts for identity in identities],
            ),
            packets_differing=sum(differing) if differing else None,
            events=dict(self._events),
            open_events=self._open_events(),
            exemplars=dict(self._exemplars),
            sizes=self._size_counts(),
            intervals=BucketCounts(
                INTERVAL_EDGES_SECONDS,
                [sum(counts) for counts in zip(*(identity.intervals for identity in identities), strict=True)],
                sum(identity.interval_seconds for identity in identities),
            )
            if identities
            else None,
            transport=result.transport if result else None,
            encoding=str(stream.encoding) if stream and stream.encoding else None,
            packet_time_seconds=result.packet_time_seconds if result else None,
            judged=self.up and _is_judged(result) if self._has_reference else None,
            last_packet_ns=self._latest.heard_ns if self._latest else None,
            legs=self._legs(result),
            signal=tuple(self._present),
            channel_counts=_total_seen([identity.channels for identity in identities]),
        )

    def _legs(self, result: StreamResult | None) -> tuple[LegSnapshot, ...]:
        """Return what each path brought, legs of all identities in the order of their numbers."""
        legs = [counted.legs for counted in (self._before, *self._identities.values()) if counted is not None]
        skews = [leg.skew_seconds for leg in result.legs] if result else []
        return tuple(
            LegSnapshot(
                _total(PACKET_COUNTERS, [counters[number] for counters in legs if number < len(counters)]),
                skews[number] if number < len(skews) else None,
            )
            for number in range(max(map(len, legs), default=0))
        )


def _total(names: Iterable[str], counters: Iterable[Counter[str]]) -> dict[str, int]:
    """Return the sums of some counts, also those that are 0."""
    counters = list(counters)
    return {name: sum(counter[name] for counter in counters) for name in names}


def _total_seen(counters: Iterable[Counter[tuple[str, int]]]) -> dict[tuple[str, int], int]:
    """Return the sums of what was counted at all."""
    total: Counter[tuple[str, int]] = Counter()
    for counter in counters:
        total.update(counter)
    return dict(total)


def _is_judged(result: StreamResult | None) -> bool:
    """Return whether the signal that arrives is verified."""
    return result is not None and (result.inconclusive is None or result.is_signal_conclusive)


def _rounded(value: float | None, digits: int) -> float | None:
    """Round what was measured."""
    return None if value is None else round(float(value), digits)
