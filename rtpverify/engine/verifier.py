"""Packets in, events and results out: the whole product in one place, without I/O.

    batch -> RTP headers -> stream of each packet -> place on the media timeline -> frames in rings -> detector
                                     |                        |
                                     +-- payload type,        +-- gaps, restarts, jitter, drift
                                         identity

Every arrow handles a whole batch over all streams at once; Python looks at single streams only where something
irregular happened. The result depends on the packets and their arrival times alone, not on how they were cut into
batches.

What fails costs the stream that it concerns (:class:`rtpverify.failure.Failure`): a signal that cannot be checked is
checked no further, a source whose packets cannot be placed is heard no further (:mod:`rtpverify.engine.isolation`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.admission import Admission
from rtpverify.engine.encodings import FirstPackets, decide, statement
from rtpverify.engine.expectation import Selection, StreamSpec
from rtpverify.engine.frame_writer import AHEAD_SECONDS, OnFrames
from rtpverify.engine.isolation import Isolation
from rtpverify.engine.pipeline import Intake
from rtpverify.engine.presence import AwaitedStream, Ends, Presence
from rtpverify.engine.rtcp_matching import report_rows, reports_of
from rtpverify.engine.share import WHOLE, Share
from rtpverify.engine.silent_start import FirstSound, Hearing
from rtpverify.engine.stream import Closed, Stream
from rtpverify.engine.stream_matching import Identity
from rtpverify.engine.stream_result import missing_result, past_limits, stream_result, without_figures
from rtpverify.errors import RequestError
from rtpverify.events import Event
from rtpverify.failure import Failure, contained
from rtpverify.result import Result, Signal, StreamResult
from rtpverify.rtp.batch import Flow, PacketBatch, RtpBatch, parse
from rtpverify.transport.counts import Reception, WireGlance
from rtpverify.transport.demux import Admitted, Demux, Part, Source, replay
from rtpverify.transport.places import MAX_STREAMS
from rtpverify.transport.presentation import HostClock
from rtpverify.transport.redundancy import LegMerger
from rtpverify.transport.rows import RowTable

MAX_FAILURES = 1000
"""Failures that wait to be taken; further ones take the place of the oldest."""


@dataclass(slots=True)
class StreamEvent:
    """An event and its stream, or what is expected and never came.

    ``is_new`` is False where an event that was reported before has changed.
    """

    stream: Stream | AwaitedStream
    event: Event
    is_new: bool


class Verifier:
    """Verifies every stream that any of the specs matches.

    Parameters
    ----------
    specs
        What is expected; the first that matches a flow holds for its streams.
    max_streams
        Streams at a time, beyond those in places that are reserved for what is expected
        (:mod:`rtpverify.transport.places`); packets of further sources are counted as ``too_many_streams``.
    selection
        Packets of other streams are counted as ``not_selected``; None takes all.
    host_clock
        What arrival times count.
    on_frames
        Takes all frames of every stream that has a reference, where given.
    ends
        What it means that a stream ends before the input does.
    ahead_seconds
        How much of a stream may be taken before it is checked; more takes memory, and less time where packets are
        there already.
    share
        The streams whose audio is checked; transport is followed of all.

    Attributes
    ----------
    streams
        Streams in order of appearance, without those that were removed.
    failures
        The latest defects that were contained, until somebody takes them.
    shortfall
        Which sources sent too few packets to be a stream, once the input has ended; None where none did.
    """

    def __init__(
        self,
        specs: Sequence[StreamSpec],
        *,
        max_streams: int = MAX_STREAMS,
        selection: Selection | None = None,
        host_clock: HostClock = "utc",
        on_frames: OnFrames | None = None,
        ends: Ends = Ends.FAULT,
        ahead_seconds: float = AHEAD_SECONDS,
        share: Share = WHOLE,
    ) -> None:
        self._share = share
        self.streams: list[Stream] = []
        self._rows: RowTable[Stream] = RowTable()
        self._identity = Identity(specs, selection)
        self._admission = Admission(self._identity.spec_of)
        self.shortfall: str | None = None
        claims = self._identity.claim_of
        self._demux = Demux(max_streams, self._identity.place_of, self._admission, claims, self._rows)
        self._merger: LegMerger | None = None
        self._intake = Intake(self._rows, self._tell, self._fail, host_clock, on_frames, ahead_seconds)
        self._presence = Presence(specs, selection, self._intake.arrivals, self._intake.tracker, self._tell, ends=ends)
        self._is_stored = ahead_seconds > AHEAD_SECONDS
        self.failures: deque[Failure] = deque(maxlen=MAX_FAILURES)
        self._isolation = Isolation(self._take_together, self._begin_again, self._fail_transport)
        self._hearing = Hearing(self._rows)
        self._no_rtp: Counter[str] = Counter()
        self._told: list[StreamEvent] = []
        self._flows: Sequence[Flow] = ()
        self._clock_steps = 0
        """How often the clock of this host was set."""

    @property
    def specs(self) -> Sequence[StreamSpec]:
        """What is expected."""
        return [spec for spec in self._identity.specs if spec is not None]

    @property
    def discarded(self) -> Counter[str]:
        """Datagrams that are no RTP, or belong to no stream, by reason."""
        refused = self._no_rtp + self._identity.refused + self._demux.refused
        refused += Counter(failed=sum(self._isolation.given_up.values()))
        return refused if self._merger is None else refused + self._merger.refused

    @property
    def refused_streams(self) -> Counter[str]:
        """Streams that are not verified, as there was no place for them, by the name of what is expected there."""
        by_name: Counter[str] = Counter()
        for expected, count in self._demux.places.refused_streams.items():
            by_name[expected[1] if expected else ""] += count
        return by_name

    def add(self, spec: StreamSpec) -> None:
        """Expect one more stream; flows seen before stay with what they matched then, if anything.

        Parameters
        ----------
        spec
            What is expected.
        """
        self._identity.add(spec)
        self._demux.places.reconsider()
        self._presence.expect(spec)

    def remove(self, spec: StreamSpec) -> list[StreamEvent]:
        """Expect a stream no longer: check what came of it to its end, and forget it.

        Nothing changes for other streams. Packets that come later are matched against what is still expected.

        Parameters
        ----------
        spec
            What is no longer expected.

        Returns
        -------
        list of StreamEvent
            Events that are new or have changed.
        """
        told = [item for stream in list(self.streams) if stream.spec == spec for item in self.forget(stream)]
        self._identity.remove(spec)
        self._demux.places.reconsider()
        self._presence.expect_no_more(spec)
        return told + self._take_told()

    def forget(self, stream: Stream) -> list[StreamEvent]:
        """Check a stream to its end, and forget it; return events that are new or have changed.

        Where its sender continues, that is another stream.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        list of StreamEvent
            In the order in which they were found.
        """
        self.streams.remove(stream)
        if stream.closed is None:
            with self._contained("signal"):
                self._intake.tracks.judge()
            self._end(stream)
            self._presence.forget(stream)
            self._isolation.given_up.pop(stream.index, None)
            self._demux.release(stream.index)
            stream.track, stream.earlier = None, []
        return self._take_told()

    def keep_flows(self) -> NDArray[np.int64]:
        """Forget flows that no stream needs; return the others, shape (n,).

        Between two batches. From the next one on, flows are numbered by their place in what is returned: the source
        has to do the same. Anybody can send from any number of ports, and a sender that starts over has another one.

        Returns
        -------
        NDArray[np.int64]
            Their present numbers, ascending.
        """
        used = self._demux.flows_in_use()
        if self._merger is not None:
            used |= self._merger.flows_in_use()
        used |= self._identity.sources_of(used)
        kept = np.array(sorted(used), np.int64)
        number_of = {number: place for place, number in enumerate(kept.tolist())}
        self._demux.renumber(kept, number_of)
        self._identity.renumber(kept, number_of)
        if self._merger is not None:
            self._merger.renumber(number_of)
        self._intake.host_drops.renumber(number_of)
        self._flows = [self._flows[number] for number in kept.tolist()]
        return kept

    def shift_clock(self, by_ns: int) -> None:
        """Continue by a clock of this host that was set: no packet came later or sooner by that.

        Between two batches. Of events that were reported before, times stay those of the clock of then.

        Parameters
        ----------
        by_ns
            How far it was set forward.
        """
        self._clock_steps += 1
        self._demux.shift_clock(by_ns)
        self._hearing.shift_clock(by_ns)
        self._intake.arrivals.shift_clock(by_ns)
        self._presence.shift_clock(by_ns)
        if self._merger is not None:
            self._merger.shift_clock(by_ns)

    def take_host_drops(self, dropped_to: Mapping[str, int]) -> None:
        """Take what this host dropped so far, also where no packet follows that says so.

        Parameters
        ----------
        dropped_to
            Packets by the destination at which they arrived; of a destination that is not there, those of ``""``.
        """
        for stream in self.streams:
            source = None if stream.closed else self._demux.sources[stream.index]
            if source is not None:
                dropped = dropped_to.get(stream.flow.destination, dropped_to.get("", 0))
                self._intake.host_drops.take_last(stream.index, source.flow, dropped)

    @property
    def merges(self) -> bool:
        """Whether streams have legs; their packets are to be fed in order of arrival."""
        return any(spec.is_merged for spec in self.specs)

    def take_failures(self) -> list[Failure]:
        """Return the defects that were contained since the last call.

        Returns
        -------
        list of Failure
            The oldest first.
        """
        taken = list(self.failures)
        self.failures.clear()
        return taken

    # Input ----------------------------------------------------------------------------------------------------------

    def feed(self, batch: PacketBatch) -> list[StreamEvent]:
        """Take datagrams in order of arrival; return events that are new or have changed.

        Parameters
        ----------
        batch
            Datagrams. Its bytes may be overwritten after the call.

        Returns
        -------
        list of StreamEvent
            In the order in which they were found.
        """
        try:
            self._feed(batch)
        except Exception as error:
            self._feed_each_flow(batch, error)
        return self._take_told()

    def _feed_each_flow(self, batch: PacketBatch, error: Exception) -> None:
        """Take the datagrams of each flow by themselves, as not all of them can be taken together."""
        self._fail(None, "input", error)
        for flow in np.unique(batch.flow).tolist():
            rows = np.flatnonzero(batch.flow == flow)
            try:
                self._feed(batch.take(rows))
            except Exception as its_own:
                self._no_rtp["failed"] += len(rows)
                ends = batch.flows[flow]
                theirs: list[Stream | None] = [one for one in self.streams if one.flow == ends and not one.closed]
                for stream in theirs or [None]:
                    self._fail(stream, "input", its_own)

    def _feed(self, batch: PacketBatch) -> None:
        rtp = parse(batch)
        self._no_rtp.update(rtp.discarded)
        self._flows = batch.flows
        if self._is_stored:
            self._intake.tracks.sources = len(np.unique(rtp.ssrc))
        rest = self._identity.matching(rtp)
        if self._merger is None and self._identity.has_legs:
            self._merger = LegMerger(self._rows)
        for row in report_rows(rtp, self.streams).tolist() if len(rtp.rtcp) else ():
            # What a report says is compared with what arrived before it, maybe on another socket.
            at_ns = batch.arrival_ns[row]
            before = (rest.arrival_ns < at_ns) | ((rest.arrival_ns == at_ns) & (rest.row < row))
            self._take_rtp(rest.take(np.flatnonzero(before)))
            rest = rest.take(np.flatnonzero(~before))
            self._take_report(batch, row)
        self._take_rtp(rest)

    def advance(self, now_ns: int) -> list[StreamEvent]:
        """Let the arrival clock continue; return events that are new or have changed.

        All that arrived before ``now_ns`` must have been fed.

        Parameters
        ----------
        now_ns
            Arrival clock, in ns since the Unix epoch.

        Returns
        -------
        list of StreamEvent
            In the order in which they were found.
        """
        try:
            self._intake.tracks.judge_when_due(now_ns)
        except Exception as error:
            self._fail(None, "signal", error)
        try:
            self._presence.advance(now_ns)
        except Exception as error:
            self._fail(None, "transport", error)
        return self._take_told()

    def finish(self, now_ns: int | None = None) -> list[StreamEvent]:
        """End the input; return events that are new or have changed.

        Parameters
        ----------
        now_ns
            Time up to which all that arrived was fed; None where there is no such time, as in a capture.

        Returns
        -------
        list of StreamEvent
            In the order in which they were found.
        """
        with self._contained("input"):
            if self._flows:
                # Sources of which it is open whether they continue with a stream.
                self._take_parts(self._demux.settle(self._no_packets()))
            if unproved := self._demux.finish():
                self.shortfall = self._admission.shortfall(unproved, self._flows)
            for heard in self._hearing.finish() if self._hearing.streams else ():
                self._take_heard(heard)
        with self._contained("transport"):
            if self._merger is not None:
                self._merger.finish()
            self._intake.finish()
        for stream in self.streams:
            if stream.closed is None:
                self._end(stream)
        with self._contained("transport"):
            self._presence.finish(now_ns)
        return self._take_told()

    def has_ended(self, now_ns: int) -> bool:
        """Return whether streams came and all of them have ended; what arrived before ``now_ns`` must have been fed.

        Parameters
        ----------
        now_ns
            Arrival clock, in ns since the Unix epoch.

        Returns
        -------
        bool
            False where none came.
        """
        return self._presence.has_ended(now_ns)

    def is_up(self, name: str) -> bool:
        """Return whether packets of the stream of a name arrive.

        Parameters
        ----------
        name
            Configured name.

        Returns
        -------
        bool
            Whether it came and has not ended.
        """
        return self._presence.is_up(name)

    def silent_ns(self, stream: Stream, end_ns: int) -> int | None:
        """Return how long before ``end_ns`` a stream ended, None where it did not.

        Parameters
        ----------
        stream
            The stream.
        end_ns
            End of the check, in ns since the Unix epoch.

        Returns
        -------
        int or None
            Time since its last packet.
        """
        return self._presence.silent_ns(stream, end_ns) if stream.closed is None else None

    def is_open(self, stream: Stream) -> bool:
        """Return whether a stream has only been silent so far: how it is encoded may still show.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        bool
            Whether it has.
        """
        return self._hearing.streams.get(stream.index) is stream

    def result(self, source: str, receive_buffer_dropped: int = 0) -> Result:
        """Return what was found so far.

        Parameters
        ----------
        source
            Name of the source.
        receive_buffer_dropped
            Packets that this host dropped.

        Returns
        -------
        Result
            The result so far.
        """
        results = [self.result_of(stream) for stream in self.streams]
        results += [missing_result(spec, event) for spec, event in self._presence.absent()]
        warnings = list(dict.fromkeys(warning for spec in self.specs for warning in spec.warnings))
        warnings += [self.shortfall] if self.shortfall else []
        if self._clock_steps:
            times = f"{self._clock_steps} time{'s' if self._clock_steps > 1 else ''}"
            warnings.append(
                f"the clock of this host was set {times} while packets were received; arrivals are corrected"
            )
        defects = [failure for failure in self.failures if not isinstance(failure.error, RequestError)]
        return Result(
            source,
            results,
            dict(self.discarded),
            receive_buffer_dropped,
            warnings,
            failures=defects,
            streams_refused=self.refused_streams.total(),
            checked=tuple(stream.is_checked for stream in self.streams),
        )

    def result_of(self, stream: Stream) -> StreamResult:
        """Return what was found of one stream so far.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        StreamResult
            The result so far; that until then where the stream is closed.
        """
        if stream.closed is not None:
            return stream.closed.result
        for _ in range(2):  # what the signal cannot tell, the transport may
            try:
                return stream_result(stream, self._intake, self._merger)
            except Exception as error:
                self._fail(stream, "result", error)
        return without_figures(stream)

    def present(self, stream: Stream, measured: Sequence[Signal]) -> list[Signal]:
        """Return what each channel of a stream carries now; nothing where its signal is not checked.

        ``measured`` is the signal of its result; what is counted, or true of the channel as such, is taken from there.

        Parameters
        ----------
        stream
            The stream.
        measured
            The signal of its result.

        Returns
        -------
        list of Signal
            One for each channel, of about the last second.
        """
        if stream.track is None:
            return []
        try:
            return stream.track.analysis.detector.present(stream.track.row, measured)
        except Exception as error:
            self._fail(stream, "result", error)
            return []

    def last_arrival_ns(self, stream: Stream) -> int:
        """Return when the last packet of a stream arrived.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        int
            In ns since the Unix epoch.
        """
        return self.wire(stream).last_arrival_ns if stream.closed else int(self._intake.arrivals.last_ns[stream.index])

    def wire(self, stream: Stream) -> WireGlance:
        """Return what the wire did to a stream so far, at a glance: :meth:`result_of` costs more.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        WireGlance
            Counts, jitter as of the last time it was computed, and the latest arrival.
        """
        return self._intake.glance(stream) if stream.closed is None else stream.closed.wire

    def reception(self, stream: Stream) -> Reception:
        """Return what a receiver would report of a stream.

        Parameters
        ----------
        stream
            The stream.

        Returns
        -------
        Reception
            The figures of a reception report block.
        """
        return self._intake.reception(stream)

    # Streams --------------------------------------------------------------------------------------------------------

    def _take_rtp(self, rtp: RtpBatch) -> None:
        """Take packets that are wanted."""
        if len(rtp):
            self._take_parts(self._demux.assign(rtp, self._identity.source_flow(rtp)))

    def _take_parts(self, parts: Sequence[Part]) -> None:
        """Take packets whose streams are known."""
        for admitted in self._demux.take_admitted():
            self._open(admitted)
        for part in parts:
            if part.newcomer is not None:
                self._take_over(part, part.newcomer)
            self._take(part.rtp, part.stream)

    def _open(self, admitted: Admitted) -> None:
        """Take in a stream that has been admitted."""
        source, first = admitted.source, admitted.packets[0]
        spec = self._identity.spec_of(first.flow)
        own = FirstPackets([packet for packet in admitted.packets if packet.payload_type == source.payload_type])
        stream = Stream(
            index=admitted.stream,
            spec=spec,
            flow=self._flows[first.flow],
            ssrc=source.ssrc,
            payload_type=source.payload_type,
            encoding=None,
            first_arrival_ns=first.arrival_ns,
            packets=self._intake.packets,
            is_checked=self._share.includes(len(self.streams)),
        )
        undecided: list[Exception] = []
        with contained(undecided.append):
            decision = decide(statement(spec, source.payload_type), own, is_judged=spec.wants_encoding)
            stream.encoding, stream.doubt = decision.encoding, decision.doubt
        self._begin(stream, own.packets[0].payload_bytes)
        if spec.reference is not None and own.is_silent:
            self._hearing.streams[stream.index] = stream
        for error in undecided:
            self._fail(stream, "encoding", error)

    def _begin(self, stream: Stream, payload_bytes: int) -> None:
        """Follow a stream whose first payload has so many bytes."""
        self.streams.append(stream)
        self._rows.owners[stream.index] = stream
        if self._merger is not None and stream.spec.is_merged:
            rate_hz = stream.encoding.sample_rate_hz if stream.encoding else 0
            window_frames = int(stream.spec.limits.reorder_window_seconds * rate_hz)
            self._merger.add(stream.index, stream.spec.legs, window_frames)
        self._presence.add(stream)
        self._intake.add(stream, payload_bytes)

    def _end(self, stream: Stream) -> None:
        """Check the rest of a stream that ends."""
        with contained(lambda error: self._fail(stream, "result", error)):
            self._intake.tracks.finish(stream)
            for event in past_limits(stream, self._intake):
                self._tell(stream, event)

    def _take_over(self, part: Part, source: Source) -> None:
        """Let another source continue with a stream."""
        index = int(part.stream[0])
        flow = part.rtp.source.flows[int(part.rtp.flow[0])]
        self._intake.take_over(index, source.ssrc, flow, int(part.rtp.payload_type[0]))
        if self._merger is not None:
            self._merger.succeed(index)

    def _take_report(self, batch: PacketBatch, row: int) -> None:
        """Take what senders of streams report of themselves."""
        taken = False
        for stream, report in reports_of(batch, row, self.streams):
            taken = True
            if stream.closed is not None:
                continue
            arrived, counts = self._intake.arrived(stream)
            sender = batch.flows[int(batch.flow[row])].sender
            stream.take_report(report, arrived, counts, int(batch.arrival_ns[row]), sender)
            self._presence.look_again()
        self._no_rtp["rtcp"] -= taken

    # Packets --------------------------------------------------------------------------------------------------------

    def _take(self, part: RtpBatch, stream: NDArray[np.int64]) -> None:
        """Take packets of known streams; those of one that has been silent so far may wait for others."""
        if not self._hearing.streams:
            self._take_now(part, stream)
            return
        held, start = np.zeros(len(part), np.bool_), 0
        heard: list[FirstSound] = []
        with self._contained("encoding"):
            held, heard = self._hearing.sift(part, stream)
        for one in heard:
            self._take_rows(part, stream, start + np.flatnonzero(~held[start : one.row + 1]))
            self._take_heard(one)
            start = one.row + 1
        if held.any():
            self._take_rows(part, stream, start + np.flatnonzero(~held[start:]))
        else:
            self._take_now(part, stream)

    def _take_rows(self, part: RtpBatch, stream: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        if len(rows):
            self._take_now(part.take(rows), stream[rows])

    def _take_heard(self, heard: FirstSound) -> None:
        """Take the first packets of a stream that are no silence, in the encoding that they show."""
        stream, decision = heard.stream, heard.decision
        if decision.encoding is not None and decision.encoding != stream.encoding:
            stream.doubt = decision.doubt
            self._intake.correct(stream, decision.encoding, heard.packets[0].payload_bytes)
        self._take_now(*replay(heard.packets, stream.index, self._no_packets())[:2])

    def _no_packets(self) -> PacketBatch:
        """Return a batch of the source that holds nothing."""
        none = np.zeros(0, np.int64)
        return PacketBatch(none.astype(np.uint8), none, none, none, none, self._flows)

    def _take_now(self, part: RtpBatch, stream: NDArray[np.int64]) -> None:
        """Take packets of known streams."""
        if self._isolation.given_up:
            part, stream = self._left_out(part, stream)
        if len(part) == 0:
            return
        if self._isolation.by_themselves:
            self._isolation.take_each(part, stream)
            return
        try:
            failed = self._take_together(part, stream)
        except Exception as error:
            self._isolation.take_apart(part, stream, error)
            return
        if failed:
            self._isolation.take_failed(part, stream, failed)

    def _left_out(self, part: RtpBatch, stream: NDArray[np.int64]) -> tuple[RtpBatch, NDArray[np.int64]]:
        """Leave out the packets of streams that were given up."""
        of_them = self._isolation.leave_out(stream)
        kept = np.flatnonzero(~of_them)
        if self._presence.watches:
            for row, expected in self._presence.returns(stream[of_them], part.arrival_ns[of_them]):
                at = int(np.flatnonzero(of_them)[row])
                self._presence.come_back(expected, self._rows.owner(int(stream[at])), int(part.arrival_ns[at]))
        self._intake.arrivals.last_ns[stream[of_them]] = part.arrival_ns[of_them]
        return part.take(kept), stream[kept]

    def _begin_again(self, index: int, part: RtpBatch) -> None:
        """Let a stream continue with these packets as another one."""
        before = self._rows.owner(index)
        self._close(before)
        after = Stream(
            index=index,
            spec=before.spec,
            flow=before.flow,
            ssrc=before.ssrc,
            payload_type=before.payload_type,
            encoding=before.encoding,
            first_arrival_ns=int(part.arrival_ns[0]),
            packets=self._intake.packets,
            doubt=before.doubt,
            is_checked=before.is_checked,
        )
        self._begin(after, int(part.payload_length[0]))

    def _close(self, stream: Stream) -> None:
        """Continue without a stream, whose index is another's from now on; what was found of it stays."""
        last_ns = int(self._intake.arrivals.last_ns[stream.index])
        result, wire = self.result_of(stream), WireGlance(0, 0, 0, None, last_ns)
        with self._contained("result"):
            wire = self._intake.glance(stream)
        result.inconclusive = result.inconclusive or (
            "internal error in rtpverify: its packets could not be processed further; "
            "later packets are reported as a new stream"
        )
        stream.closed = Closed(result, wire)
        self._presence.forget(stream)
        self._rows.renew(stream.index)
        stream.track, stream.earlier = None, []

    def _take_together(self, part: RtpBatch, stream: NDArray[np.int64]) -> list[tuple[int, Exception]]:
        """Take packets of known streams; return those whose packets could not be taken in, and why."""
        frames, whole = self._intake.payload_types.frames(part, stream)
        now_ns = int(part.arrival_ns[-1])
        if self._merger is not None:
            kept = np.flatnonzero(self._merger.merge(part, stream, frames))
            part, stream, frames, whole = part.take(kept), stream[kept], frames[kept], whole[kept]
        failed: list[tuple[int, Exception]] = []
        start = 0
        returned = self._presence.returns(stream, part.arrival_ns) if self._presence.watches else ()
        for row, expected in returned:
            if row > start:
                before = _without(failed, stream, np.arange(start, row))
                failed += self._intake.take(part.take(before), stream[before], frames[before], whole[before])
            self._presence.come_back(expected, self._rows.owner(int(stream[row])), int(part.arrival_ns[row]))
            start = row
        if start:
            rest = _without(failed, stream, np.arange(start, len(part)))
            part, stream, frames, whole = part.take(rest), stream[rest], frames[rest], whole[rest]
        if len(part):
            failed += self._intake.take(part, stream, frames, whole)
        self._intake.tracks.judge_when_due(now_ns)
        return failed

    # Telling --------------------------------------------------------------------------------------------------------

    def _tell(self, stream: Stream | AwaitedStream, event: Event) -> None:
        self._told.append(StreamEvent(stream, *stream.told(event)))

    # Failing --------------------------------------------------------------------------------------------------------

    def _fail(self, stream: Stream | None, where: str, error: Exception) -> None:
        """Keep that something failed, and check the signal of its stream no further."""
        failure = Failure.of(where, stream.name if stream else None, error)
        self.failures.append(failure)
        if stream is not None and stream.failure is None:
            stream.failure = failure
            with self._contained(where):
                self._intake.tracks.give_up(stream)

    def _fail_transport(self, index: int | None, error: Exception) -> None:
        self._fail(None if index is None else self._rows.owner(index), "transport", error)

    def _contained(self, where: str) -> AbstractContextManager[None]:
        """Let what fails, of a stream that is not known, cost that step alone."""
        return contained(lambda error: self._fail(None, where, error))

    def _take_told(self) -> list[StreamEvent]:
        told, self._told = self._told, []
        return told


def _without(
    failed: Sequence[tuple[int, Exception]], stream: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Leave out the rows of streams that failed."""
    return rows[~np.isin(stream[rows], [index for index, _ in failed])] if failed else rows
