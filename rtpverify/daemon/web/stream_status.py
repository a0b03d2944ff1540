"""State of all streams, for people: a state a person can trust, figures at a glance, and the last ten minutes.

Read from the event loop, several times a second, at a few microseconds a channel; nothing is measured again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rtpverify.daemon.sinks.base import ReportedEvent
from rtpverify.daemon.web.answers import FaultAnswer, Health, LineAnswer
from rtpverify.daemon.web.context import ServiceView
from rtpverify.dsp.levels import FULL_SCALE_SINE_RMS
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.format_group import Analysis
from rtpverify.engine.stream import Stream
from rtpverify.reference import Recording
from rtpverify.transport.arrivals import DOWN_NS
from rtpverify.transport.counts import WireGlance

SAMPLE_NS = 500_000_000
"""Time between two points of a history."""
SAMPLES = 1200
FRESH_NS = 10_000_000_000
"""A fault is shown as one for so long after its end."""
RECENT_NS = 600_000_000_000
"""A stream had a fault recently if it was this long ago at most."""
LOSS_SAMPLES = 20
"""Points over which the present loss is taken."""
_WIRE_COLUMNS = 3
"""Packets expected and lost since the point before, and jitter; then level, residual and phase of each channel."""


@dataclass(slots=True)
class _Wire:
    """Counts of one identity of a stream; they never fall."""

    stream: Stream
    expected: int = 0
    lost: int = 0
    left_out: int = 0
    """Packets that were not read, and when there was one more."""
    left_out_ns: int = 0
    last_arrival_ns: int = 0
    jitter_seconds: float | None = None

    def take(self, glance: WireGlance) -> None:
        """Take in what is counted by now."""
        self.expected = max(self.expected, glance.packets_expected)
        self.lost = max(self.lost, glance.packets_lost)
        if glance.packets_left_out > self.left_out:
            self.left_out, self.left_out_ns = glance.packets_left_out, glance.last_arrival_ns
        self.last_arrival_ns, self.jitter_seconds = glance.last_arrival_ns, glance.jitter_seconds


@dataclass(slots=True)
class _Watched:
    """One configured stream."""

    name: str
    reference: Literal["tone", "recording"] | None
    """What the signal is compared with, ``tone`` or ``recording``; None: the wire alone is checked."""
    stream: Stream | None = None
    wires: dict[int, _Wire] = field(default_factory=dict)
    gone: tuple[int, int] = (0, 0)
    """Packets expected and lost of identities that are gone."""
    level: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    residual: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    phase: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    followed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    open: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: int = 0
    last_fault: dict[str, Any] | None = None
    last_fault_ns: int = 0
    history: _History | None = None
    shown: tuple[int, int] = (0, 0)
    """Packets expected and lost up to the last point of the history."""

    def change_to(self, stream: Stream | None) -> None:
        """Show another identity, or that there is none."""
        self.stream = stream
        if stream is not None:
            self.reference = _reference(stream.spec)
        self.open.clear()
        self.level = self.residual = self.phase = np.zeros(0)
        self.followed = np.zeros(0, np.bool_)

    def forget(self, kept: Collection[int]) -> None:
        """Forget identities that the verifier follows no more: all but those of these."""
        for key in [key for key in self.wires if key not in kept]:
            wire = self.wires.pop(key)
            self.gone = self.gone[0] + wire.expected, self.gone[1] + wire.lost
            if wire.stream is self.stream:
                self.change_to(None)

    @property
    def judged(self) -> Literal["signal", "transport"]:
        """What of it is checked."""
        return "transport" if self.reference is None else "signal"

    @property
    def wire(self) -> _Wire | None:
        """Counts of the identity that is shown."""
        return None if self.stream is None else self.wires[id(self.stream)]

    @property
    def last_arrival_ns(self) -> int:
        """When its last packet arrived; 0 before the first."""
        return self.wire.last_arrival_ns if self.wire else 0

    @property
    def jitter_seconds(self) -> float | None:
        """Interarrival jitter of the identity that is shown."""
        return self.wire.jitter_seconds if self.wire else None

    @property
    def counts(self) -> tuple[int, int]:
        """Packets expected and lost, over all identities."""
        wires, (expected, lost) = self.wires.values(), self.gone
        return expected + sum(wire.expected for wire in wires), lost + sum(wire.lost for wire in wires)


class _History:
    """A ring of points: time in seconds since the Unix epoch, and figures."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self._time = np.zeros(SAMPLES)
        self._figures = np.full((SAMPLES, _WIRE_COLUMNS + 3 * channels), np.nan, np.float32)
        self._count = 0

    def add(self, seconds: float, figures: NDArray[np.float64]) -> None:
        """Add a point."""
        at = self._count % SAMPLES
        self._time[at], self._figures[at] = seconds, figures
        self._count += 1

    def since(self, seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return the points after a moment, in order of time; both are copies."""
        first = max(0, self._count - SAMPLES)
        order = np.arange(first, self._count) % SAMPLES
        order = order[self._time[order] > seconds]
        return self._time[order], self._figures[order]

    def loss_ratio(self) -> float | None:
        """Return what part of the packets of the last points was lost."""
        order = np.arange(max(0, self._count - min(LOSS_SAMPLES, SAMPLES)), self._count) % SAMPLES
        expected, lost = np.nansum(self._figures[order, :2], axis=0).tolist()
        return lost / expected if expected > 0 else None


class Board:
    """Reads every stream of the service in turn, and keeps what a page shows of it.

    Parameters
    ----------
    service
        What it may know of the service.

    Attributes
    ----------
    now_ns
        When it looked last.
    """

    def __init__(self, service: ServiceView) -> None:
        self._service = service
        self._watched: dict[str, _Watched] = {}
        self._next_sample_ns = 0
        self.now_ns = 0

    def tell(self, told: Sequence[ReportedEvent], now_ns: int) -> None:
        """Take note of faults.

        Parameters
        ----------
        told
            Events with their streams.
        now_ns
            Time, in ns since the Unix epoch.
        """
        for item in told:
            watched = self._watched.get(item.name) or self._welcome(item.name)
            watched.open.pop(item.event.id, None)
            if not item.event.fault:
                continue
            watched.faults += item.is_new
            watched.last_fault, watched.last_fault_ns = item.document, now_ns
            if item.event.open:
                watched.open[item.event.id] = item.document

    def look(self, now_ns: int) -> None:
        """Read every stream; where it is time, add a point to each history.

        Parameters
        ----------
        now_ns
            Time, in ns since the Unix epoch.
        """
        self.now_ns = now_ns
        self._find_streams()
        for analysis, streams in self._by_analysis().items():
            self._look_at(analysis, streams)
        due = not self._next_sample_ns - SAMPLE_NS <= now_ns < self._next_sample_ns
        if due:
            self._next_sample_ns = now_ns + SAMPLE_NS
            for watched in self._watched.values():
                _add_point(watched, now_ns)

    def _look_at(self, analysis: Analysis, streams: Sequence[tuple[_Watched, Stream]]) -> None:
        """Read streams of one format; one of which nothing can be seen does not hide the others."""
        rows = np.array([stream.track.row for _, stream in streams if stream.track is not None])
        try:
            glance = analysis.detector.glance(rows)
        except Exception as error:
            if len(streams) > 1:
                for one in streams:
                    self._look_at(analysis, [one])
            else:
                watched = streams[0][0]
                watched.change_to(watched.stream)
                self._service.defects.take("page", watched.name, error)
            return
        level, residual = _dbfs(glance.rms), _dbfs(glance.residual_rms)
        for at, (watched, _) in enumerate(streams):
            watched.followed, watched.phase = glance.followed[at], glance.phase_rad[at]
            watched.level, watched.residual = level[at], residual[at]

    def stream(self, name: str) -> Stream | None:
        """Return the identity of a stream that is shown; None where none is followed.

        Parameters
        ----------
        name
            Configured name.

        Returns
        -------
        Stream or None
            The one that was heard last.
        """
        watched = self._watched.get(name)
        # What the verifier has forgotten may have left its place to another since the last look.
        known = watched is not None and any(stream is watched.stream for stream in self._service.verifier.streams)
        return watched.stream if watched and known else None

    def overview(self) -> list[LineAnswer]:
        """Return what is seen of every stream at a glance, in the order of the configuration.

        Returns
        -------
        list[LineAnswer]
            One line for each.
        """
        return [self.line(name) for name in self._service.states]

    def line(self, name: str) -> LineAnswer:
        """Return what is seen of one stream at a glance.

        Parameters
        ----------
        name
            Configured name.

        Returns
        -------
        LineAnswer
            As of the last look.
        """
        watched = self._watched.get(name) or self._welcome(name)
        health, reason = self._health(watched)
        expected, lost = watched.counts
        quiet_ns = 0 if watched.open else self.now_ns - watched.last_fault_ns
        return {
            "name": name,
            "health": health,
            "reason": reason,
            "judged": watched.judged,
            "reference": watched.reference,
            "level_dbfs": _decibels(watched.level),
            "residual_dbfs": _decibels(watched.residual),
            "followed": watched.followed.tolist(),
            "packets_expected": expected,
            "packets_lost": lost,
            "loss_ratio": watched.history.loss_ratio() if watched.history else None,
            "jitter_seconds": watched.jitter_seconds,
            "faults": watched.faults,
            "open_faults": [document["kind"] for document in watched.open.values()],
            "last_fault": None if watched.last_fault is None else _brief(watched.last_fault),
            "quiet_seconds": None if watched.last_fault is None else round(max(0, quiet_ns) / 1e9, 1),
        }

    def history(self, name: str, since_seconds: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float32], int]:
        """Return the points of a stream's history after a moment.

        Parameters
        ----------
        name
            Configured name.
        since_seconds
            In s since the Unix epoch.

        Returns
        -------
        times : NDArray[np.float64]
            Shape (n,), in s since the Unix epoch.
        figures : NDArray[np.float32]
            Shape (n, figures), NaN where one was not measured.
        channels : int
            Channels of the stream.
        """
        watched = self._watched.get(name)
        if watched is None or watched.history is None:
            return np.zeros(0), np.zeros((0, _WIRE_COLUMNS), np.float32), 0
        return *watched.history.since(since_seconds), watched.history.channels

    # Looking --------------------------------------------------------------------------------------------------------

    def _welcome(self, name: str) -> _Watched:
        spec = next((spec for spec in self._service.verifier.specs if spec.name == name), None)
        return self._watched.setdefault(name, _Watched(name, _reference(spec) if spec else "tone"))

    def _find_streams(self) -> None:
        """Find the identity of each stream that was heard last; forget streams that are not monitored any more."""
        states = self._service.states
        for name in [name for name in self._watched if name not in states]:
            del self._watched[name]
        kept = {id(stream) for stream in self._service.verifier.streams}
        specs = {spec.name: spec for spec in self._service.verifier.specs}
        for name in states:
            watched = self._watched.get(name) or self._welcome(name)
            watched.forget(kept)
            if watched.stream is None and name in specs:
                watched.reference = _reference(specs[name])
        for stream in self._service.verifier.streams:
            if stream.name not in self._watched:
                continue
            watched = self._watched[stream.name]
            wire = watched.wires.setdefault(id(stream), _Wire(stream))
            wire.take(self._service.verifier.wire(stream))
            # Two that send at a time must not take turns in being the one that is shown.
            if watched.stream is None or wire.last_arrival_ns - watched.last_arrival_ns >= DOWN_NS:
                watched.change_to(stream)

    def _by_analysis(self) -> dict[Analysis, list[tuple[_Watched, Stream]]]:
        """Return the streams whose signal is checked, those of one format together."""
        groups: dict[Analysis, list[tuple[_Watched, Stream]]] = defaultdict(list)
        for watched in self._watched.values():
            if watched.stream is not None and watched.stream.track is not None:
                groups[watched.stream.track.analysis].append((watched, watched.stream))
        return groups

    # Checking --------------------------------------------------------------------------------------------------------

    def _health(self, watched: _Watched) -> tuple[Health, str]:
        """Return how a stream fares, and why that is said."""
        now_ns, stream = self.now_ns, watched.stream
        if stream is None:
            missing = next(iter(watched.open.values()), None)
            return (Health.WAITING, "no packet yet") if missing is None else (Health.DOWN, missing["message"])
        if not self._service.verifier.is_up(watched.name):
            return Health.DOWN, f"no packet for {(now_ns - watched.last_arrival_ns) / 1e9:.0f} s"
        fault = watched.last_fault
        if fault is not None and (watched.open or now_ns - watched.last_fault_ns < FRESH_NS):
            shown = next(reversed(watched.open.values()), fault)
            return Health.FAULT, f"{_where(shown)}{shown['message'] or shown['kind']}"
        why = _unread(watched, now_ns) or (_unjudged(watched, stream) if watched.judged == "signal" else None)
        if why is not None:
            return Health.UNJUDGED, why
        if fault is not None and now_ns - watched.last_fault_ns < RECENT_NS:
            return Health.RECENT, f"{_where(fault)}{fault['message'] or fault['kind']}"
        return Health.OK, "no fault" if watched.judged == "signal" else "no transport fault; the signal is not checked"


def _reference(spec: StreamSpec) -> Literal["tone", "recording"] | None:
    """Return what the signal of a stream is compared with: see :class:`_Watched`."""
    if spec.reference is None:
        return None
    return "recording" if isinstance(spec.reference, Recording) else "tone"


def _unread(watched: _Watched, now_ns: int) -> str | None:
    """Return why not all of a stream was read lately; None where it was."""
    wire = watched.wire
    if wire is None or watched.stream is None or wire.left_out <= watched.stream.spec.limits.max_packets_left_out:
        return None
    return f"{wire.left_out} packets ignored" if now_ns - wire.left_out_ns < RECENT_NS else None


def _unjudged(watched: _Watched, stream: Stream) -> str | None:
    """Return why the signal of a stream cannot be checked now; None where it is."""
    if stream.failure is not None:
        return f"internal error in rtpverify: {stream.failure.message}; the log names the file with the traceback"
    if stream.encoding is None:
        return stream.spec.why_undecodable(stream.payload_type)
    if len(watched.followed) == 0:
        return "no complete audio packet yet"
    missing = np.flatnonzero(~watched.followed) + 1
    if len(missing) == 0:
        return None
    if len(missing) == len(watched.followed):
        return "reference not found"
    return f"reference not found on channel {', '.join(map(str, missing.tolist()))}"


def _add_point(watched: _Watched, now_ns: int) -> None:
    """Add a point to the history of a stream."""
    channels = len(watched.level)
    if watched.history is None or watched.history.channels < channels:
        watched.history = _History(channels)
    expected, lost = watched.counts
    jitter = math.nan if watched.jitter_seconds is None else watched.jitter_seconds
    figures = np.full(_WIRE_COLUMNS + 3 * watched.history.channels, np.nan)
    figures[:_WIRE_COLUMNS] = expected - watched.shown[0], lost - watched.shown[1], jitter
    watched.shown = expected, lost
    if now_ns - watched.last_arrival_ns < DOWN_NS:
        shown = _WIRE_COLUMNS + 3 * np.arange(channels)
        figures[shown], figures[shown + 1], figures[shown + 2] = watched.level, watched.residual, watched.phase
    watched.history.add(now_ns / 1e9, figures)


def _dbfs(rms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return levels in dBFS (AES17); minus infinity for pure silence, NaN where nothing was measured."""
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float64] = 20.0 * np.log10(rms / FULL_SCALE_SINE_RMS)
    return levels


def _decibels(levels: NDArray[np.float64]) -> list[float | None]:
    """Return levels to two digits; pure silence and what was not measured as None."""
    return [round(level, 2) if math.isfinite(level) else None for level in levels.tolist()]


def _where(document: dict[str, Any]) -> str:
    return "" if document["channel"] is None else f"channel {document['channel']}: "


def _brief(document: dict[str, Any]) -> FaultAnswer:
    """Return what a line shows of an event."""
    return {
        "id": document["id"],
        "kind": document["kind"],
        "channel": document["channel"],
        "time": document["time"],
        "message": document["message"],
        "open": document["open"],
    }
