"""Verify one source once: the Python API of ``rtpverify check``.

>>> from rtpverify.commands.check import check
>>> from rtpverify.sources.audio.reference_text import parse_reference
>>> result = check("tone.wav", reference=parse_reference("tone:997"))  # doctest: +SKIP
>>> result.verdict  # doctest: +SKIP
<Verdict.PASS: 'pass'>
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from rtpverify.commands.event_clips import ClipRecorder, add_file_clips
from rtpverify.commands.excerpt import WHOLE, Excerpt
from rtpverify.commands.silence import Audible
from rtpverify.commands.standard_input import STANDARD_INPUT, standard_input
from rtpverify.engine.expectation import Selection, StreamSpec
from rtpverify.errors import RequestError, SourceError
from rtpverify.limits import Limits
from rtpverify.live.live_source import is_live, is_tap, open_input
from rtpverify.live.sdp_session import read_session, spec_at
from rtpverify.live.watcher import Watcher
from rtpverify.reference import Reference, Tone
from rtpverify.report.discarded import in_words
from rtpverify.sources.live.endpoint import SCHEME, Endpoint, parse_endpoint
from rtpverify.sources.ring.tap import Tap, parse_taps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtpverify.engine.frame_writer import OnFrames
    from rtpverify.engine.stream import Stream
    from rtpverify.engine.verifier import Verifier
    from rtpverify.result import Result
    from rtpverify.rtp.batch import PacketBatch
    from rtpverify.rtp.payload import Encoding
    from rtpverify.sources.capture.reader import CaptureReader
    from rtpverify.sources.open_receiver import Backend
    from rtpverify.transport.presentation import HostClock

FILE_BLOCK_FRAMES = 65536
"""Frames of a file that are read and verified at a time."""

_HIDES_AUDIO = ("fragment", "truncated", "malformed", "cut_off", "damaged")
"""Reasons for which a captured frame gave no datagram although it may have held one of ours."""


def _ignore(_places: Sequence[Endpoint | Tap]) -> None:
    """Take what nobody asked for."""


@dataclass(frozen=True, slots=True)
class _Arrival:
    """How packets arrive, live or in a capture, and who takes their frames."""

    selection: Selection | None
    host_clock: HostClock
    on_frames: OnFrames | None = None
    excerpt: Excerpt = WHOLE
    audible: Audible | None = None
    """None where silence at the ends is verified as everything is."""
    clips: ClipRecorder | None = None
    """Keeps what pictures of events are made of."""

    def verifier(self, specs: Sequence[StreamSpec], *, may_end: bool = False) -> Verifier:
        """Return a verifier for it; with ``may_end`` streams may end before the input does."""
        from rtpverify.engine.presence import Ends
        from rtpverify.engine.verifier import Verifier

        return Verifier(
            specs,
            selection=self.selection,
            host_clock=self.host_clock,
            on_frames=self._take if self.audible or self.clips else self.on_frames,
            ends=Ends.ALLOWED if may_end else Ends.FAULT,
        )

    def _take(self, stream: Stream, frame: NDArray[np.int64], samples: NDArray[np.float32]) -> None:
        if self.audible is not None:
            self.audible.take(id(stream), frame, samples)
        if self.clips is not None:
            self.clips.take_frames(stream, frame, samples)
        if self.on_frames is not None:
            self.on_frames(stream, frame, samples)

    def result(
        self, verifier: Verifier, source: str, receive_buffer_dropped: int = 0, *, is_final: bool = True
    ) -> Result:
        """Return what a verifier found, without silence at the ends where that is trimmed."""
        result = verifier.result(source, receive_buffer_dropped)
        if self.audible is not None:
            for stream, found in zip(verifier.streams, result.streams, strict=False):
                self.audible.trim(id(stream), found)
        if self.clips is not None and is_final:
            self.clips.add_clips(result, verifier.streams)
        return result


@dataclass(frozen=True, slots=True)
class _Live:
    """Options of a live check."""

    duration_seconds: float | None
    wait_seconds: float | None
    until_end: bool
    backend: Backend | None
    on_listening: Callable[[Sequence[Endpoint | Tap]], None]
    watcher: Watcher
    interface: str | None
    rtcp: bool
    receiver_reports: bool

    def endpoint(self, endpoint: Endpoint) -> Endpoint:
        """Return where to receive, through the interface that was named where the source names none."""
        return replace(endpoint, interface=endpoint.interface or self.interface)


def check(
    source: str,
    *,
    reference: Reference = Tone(),  # noqa: B008 - immutable
    limits: Limits = Limits(),  # noqa: B008 - immutable
    encoding: Encoding | None = None,
    encodings: Mapping[int, Encoding] = MappingProxyType({}),
    sdp: Path | None = None,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    wait_seconds: float | None = None,
    trim_silence: bool = False,
    expected_streams: int | None = None,
    finds_encodings: bool = False,
    backend: Backend | None = None,
    on_listening: Callable[[Sequence[Endpoint | Tap]], None] = _ignore,
    watcher: Watcher = Watcher(),  # noqa: B008 - has no state
    interface: str | None = None,
    streams: Sequence[str] = (),
    redundant: bool = False,
    host_clock: HostClock | None = None,
    rtcp: bool = False,
    receiver_reports: bool = False,
    on_frames: OnFrames | None = None,
    until_end: bool = False,
    with_clips: bool = False,
) -> Result:
    """Verify a capture, an audio file, or a live stream.

    Parameters
    ----------
    source
        Path of a capture, audio file or session description, ``rtp://[SENDER@]ADDRESS:PORT``,
        ``capture://INTERFACE[,INTERFACE...]``, or ``-``: a capture on standard input.
    reference
        What the audio is compared with; by default a sine whose frequency is found.
    encoding
        How payload types are decoded that neither a session description nor RFC 3551 tells.
    encodings
        How certain payload types are decoded, whatever else says so.
    sdp
        Session description that goes with a capture or address.
    start_seconds
        Of a capture or file, where to begin: so long after its first RTP packet, or so much audio.
    duration_seconds
        End of a live check; a stream that ends before is a fault. Of a capture or file so much is verified: of arrival
        time from the first RTP packet on, of audio. None: until interrupted, or all.
    wait_seconds
        How long a live check waits for the first packet of a stream; its duration counts from that packet. None: the
        duration counts from the beginning.
    trim_silence
        Do not verify silence before a stream is first heard, and after it was last heard.
    expected_streams
        How many streams there are to be; another number is a fault.
    finds_encodings
        Look for encodings that nothing says even where only transport is verified.
    backend
        How live packets are received; None: as this system does best.
    on_listening
        Called once a live source is open.
    watcher
        Follows a live check, and may end it.
    interface
        Name or address of the network interface of a live source that names none.
    streams
        Only these: SSRCs (``0x...``), senders or destinations (``ADDRESS`` or ``ADDRESS:PORT``); all where empty.
    redundant
        Packets of a capture with one SSRC over several flows are copies of one stream (ST 2022-7). A session
        description with ``group:DUP`` says so by itself.
    host_clock
        What arrival times count, for the presentation lead; None: UTC.
    rtcp
        Receive RTCP on the port behind that of a live source, or where its description says; what comes to the port
        of RTP, or is captured, is taken in any case.
    receiver_reports
        Send receiver reports to the senders of live streams; implies ``rtcp``.
    on_frames
        Takes all frames of every stream of packets, where given; not those of an audio file.
    until_end
        End a live check when all streams that came have ended, too; then their end is no fault.
    with_clips
        Keep what reports draw of the largest events.

    Raises
    ------
    RequestError
        Where the request or its input is unusable.
    """
    if host_clock is not None and limits.link_offset_seconds is None:
        raise RequestError("--host-clock has no effect without --link-offset-seconds")
    if trim_silence and reference is None:
        raise RequestError("--trim-silence has no effect with --reference none: no audio is verified")
    arrival = _Arrival(
        Selection.parse(streams) if streams else None,
        host_clock or "utc",
        on_frames,
        Excerpt(start_seconds, duration_seconds),
        Audible() if trim_silence else None,
        ClipRecorder() if with_clips else None,
    )
    live = _Live(
        duration_seconds,
        wait_seconds,
        until_end,
        backend,
        on_listening,
        watcher,
        interface,
        rtcp or receiver_reports,
        receiver_reports,
    )
    base = StreamSpec(encoding=encoding, reference=reference, limits=limits, finds_encoding=finds_encodings)
    result = _check(source, base, _Said(encodings, sdp, redundant), arrival, live)
    result.streams_expected = expected_streams
    return result


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of the packets of a source."""

    encodings: Mapping[int, Encoding]
    sdp: Path | None
    redundant: bool

    def of(self, spec: StreamSpec) -> StreamSpec:
        """Return an expectation with the encodings of certain payload types."""
        return replace(spec, encodings={**spec.encodings, **self.encodings}) if self.encodings else spec


def _check(source: str, base: StreamSpec, said: _Said, arrival: _Arrival, live: _Live) -> Result:
    """Verify a source by its form."""
    if is_live(source):
        _refuse_redundant(source, said.redundant)
        if arrival.excerpt.start_seconds:
            raise RequestError(f"{source}: --start is for files and captures; a live check begins when it is started")
        places, specs = (
            _tapped(source, base, said.sdp, live) if is_tap(source) else _places(source, base, said.sdp, live)
        )
        specs = [said.of(spec) for spec in specs]
        _require_decodable(specs)
        return _check_live(source, places, specs, arrival, live)
    _refuse_live_options(source, live)
    if has_packets(source):
        if said.sdp is not None:
            _refuse_redundant(str(said.sdp), said.redundant)
        specs = [said.of(spec) for spec in _captured(replace(base, redundant=said.redundant), said.sdp)]
        _require_decodable(specs)
        return _check_capture(source, specs, arrival)
    if arrival.selection is not None or said.redundant:
        raise RequestError(
            f"{source}: an audio file has no RTP streams; --stream and --redundant apply to captures only"
        )
    if base.encoding is not None or said.encodings or said.sdp is not None:
        raise RequestError(f"{source}: an audio file states its own encoding; --encoding and --sdp apply to RTP only")
    if arrival.host_clock != "utc":
        raise RequestError(f"{source}: an audio file has no arrival times; --host-clock applies to packets only")
    return _check_file(Path(source), base, arrival)


def _places(
    source: str, base: StreamSpec, sdp: Path | None, live: _Live
) -> tuple[list[Endpoint | Tap], list[StreamSpec]]:
    """Return where the streams of an address or session description arrive, and what is expected there."""
    if not source.startswith(SCHEME):
        if sdp is not None:
            raise RequestError(f"{source}: is itself a session description; omit --sdp {sdp}")
        described = read_session(Path(source), is_patient=True).streams(base, rtcp=live.rtcp)
    else:
        endpoint = parse_endpoint(source)
        if live.rtcp:
            endpoint = endpoint.with_rtcp()
        described = [([endpoint], spec_at(endpoint, base, read_session(sdp, is_patient=True) if sdp else None))]
    return [live.endpoint(endpoint) for ends, _ in described for endpoint in ends], [spec for _, spec in described]


def _tapped(
    source: str, base: StreamSpec, sdp: Path | None, live: _Live
) -> tuple[list[Endpoint | Tap], list[StreamSpec]]:
    """Return the taps of a source, and what is expected of all that passes there: what a capture of it would hold."""
    taps = parse_taps(source)
    options = {
        "--backend": live.backend,
        "--interface": live.interface,
        "--receiver-reports": live.receiver_reports,
    }
    for option in (option for option, given in options.items() if given):
        raise RequestError(
            f"{source}: {option} is for rtp:// addresses; nothing is received or sent in a stream's name"
        )
    return list(taps), _captured(base, sdp)


def _captured(base: StreamSpec, sdp: Path | None) -> list[StreamSpec]:
    """Return what is expected in a capture that a description may go with."""
    if sdp is None:
        return [base]
    return [_anywhere(spec) for _, spec in read_session(sdp, is_patient=True).streams(base)]


def _anywhere(spec: StreamSpec) -> StreamSpec:
    """Return what is expected in a capture, where an unspecified address stands for every one."""
    address = (spec.destination or "").rpartition(":")[0]
    return replace(spec, destination=None) if address in ("0.0.0.0", "[::]") else spec  # noqa: S104 - none is bound


def has_packets(source: str) -> bool:
    """Tell whether a source is packets, live or captured, and no audio file."""
    from rtpverify.sources.capture.reader import is_capture

    return source == STANDARD_INPUT or is_live(source) or is_capture(source)


def _check_file(path: Path, spec: StreamSpec, arrival: _Arrival) -> Result:
    from rtpverify.engine.file_verifier import FrameVerifier
    from rtpverify.sources.audio.file import open_audio

    if spec.reference is None:
        raise RequestError(f"{path}: reference none leaves nothing to verify: an audio file has no transport")
    audio = open_audio(path)
    start, stop = arrival.excerpt.frames(audio.sample_rate_hz)
    verifier = FrameVerifier.of(audio, spec.reference, spec.limits)
    position = 0
    for block in audio.blocks(FILE_BLOCK_FRAMES):
        frames = block[max(0, start - position) : max(0, int(min(stop - position, len(block))))]
        if arrival.audible is not None and len(frames):
            arrival.audible.take(path, np.array([max(start, position)]), frames[None])
        verifier.feed(frames)
        position += len(block)
        if position >= stop:
            break
    if position <= start:
        length = f"{position:,} frames ({position / audio.sample_rate_hz:.3f} s)"
        raise RequestError(f"{path}: --start {arrival.excerpt.start_seconds:g} is after its end; it has {length}")
    verifier.finish()
    result = verifier.result(str(path))
    [stream] = result.streams
    stream.move(start)
    if arrival.audible is not None:
        arrival.audible.trim(path, stream)
    stream.warnings += audio.told()
    if arrival.clips is not None:
        add_file_clips(result, path, spec.reference)
    return result


def _refuse_live_options(source: str, live: _Live) -> None:
    """Refuse what tells nothing of a file or capture."""
    if live.until_end:
        raise RequestError(f"{source}: --until-end is for live sources; a file or capture ends by itself")
    options = {
        "--wait": live.wait_seconds is not None,
        "--backend": live.backend,
        "--interface": live.interface,
        "--receiver-reports": live.receiver_reports,
        "--rtcp": live.rtcp,
    }
    for option in (option for option, given in options.items() if given):
        raise RequestError(f"{source}: {option} is for live sources")


def _refuse_redundant(source: str, redundant: bool) -> None:
    """Refuse ``--redundant`` where it says nothing."""
    if redundant:
        raise RequestError(
            f"{source}: --redundant applies to captures only; a session description declares legs with a=group:DUP"
        )


def _check_capture(source: str, specs: Sequence[StreamSpec], arrival: _Arrival) -> Result:
    from rtpverify.sources.capture.reader import read_capture, stream_capture

    if source == STANDARD_INPUT:
        with standard_input() as read:
            capture = stream_capture(read, source)
            result = _verify_capture(capture, specs, arrival)
    else:
        capture = read_capture(source)
        result = _verify_capture(capture, specs, arrival)
    if not result.arrived and len(specs) == 1 and specs[0].announced and result.discarded.get("unmatched"):
        # The description says where its stream goes, and nothing goes there: what looks like it is it.
        if source == STANDARD_INPUT:
            result.warnings.append(
                f"nothing goes to {specs[0].place}; to find the described stream by its payload type, check a file"
            )
            return result
        announced = frozenset(specs[0].announced.medium.payload_types)
        looks_like_it = replace(arrival.selection or Selection(), payload_types=announced)
        elsewhere = replace(specs[0], destination=None, sender=None, legs=(), duplicate_ssrcs=())
        found = _verify_capture(capture, [elsewhere], replace(arrival, selection=looks_like_it))
        return found if found.arrived else result
    if arrival.selection is not None and not result.arrived and result.discarded.get("not_selected"):
        raise RequestError(f"{source}: --stream matches none of its streams: {_streams_in(capture)}")
    return result


def _streams_in(capture: CaptureReader) -> str:
    """Return what ``--stream`` can pick from a capture, or between which ends packets went where it came in a pipe."""
    if str(capture.path) == STANDARD_INPUT:
        return "; ".join(f"{flow.sender} to {flow.destination}" for flow in capture.flows)
    streams = _verify_capture(capture, [StreamSpec()], _Arrival(None, "utc")).streams
    return "; ".join(f"0x{one.ssrc or 0:08x} {one.sender} to {one.destination}" for one in streams) or "it holds none"


def _verify_capture(capture: CaptureReader, specs: Sequence[StreamSpec], arrival: _Arrival) -> Result:
    verifier = arrival.verifier(specs)
    source = str(capture.path)
    for batch in capture if arrival.excerpt.is_whole else arrival.excerpt.of(capture, source):
        if arrival.clips is not None:
            arrival.clips.take_packets(batch)
        verifier.feed(batch)
        _refuse_mistakes(verifier)
    verifier.finish()
    _require_encodings(verifier, source)
    result = arrival.result(verifier, source)
    _add(result.discarded, {reason: capture.skipped[reason] for reason in _HIDES_AUDIO})
    result.warnings += _doubts(capture)
    for stream, found in zip(verifier.streams, result.streams, strict=False):
        if silent_ns := verifier.silent_ns(stream, capture.last_ns):
            after = " after its sender sent RTCP BYE" if stream.rtcp.said_goodbye else ""
            found.warnings.append(f"no packet in the last {silent_ns / 1e9:.1f} s of the capture{after}")
    ours = verifier.discarded["unmatched"] + verifier.discarded["not_selected"]
    if capture.records and not result.streams and not ours:
        seen = in_words(verifier.discarded + capture.skipped)
        where = "" if not arrival.excerpt.start_seconds else f" from {arrival.excerpt.start_seconds:g} s on"
        short = f"; {verifier.shortfall}" if verifier.shortfall else ""
        raise RequestError(f"{source}: no RTP stream among its {capture.records} frames{where} ({seen}){short}")
    return result


def _doubts(capture: CaptureReader) -> Iterator[str]:
    """Yield what a reader should know of a capture before trusting what was found in it."""
    if untimed := capture.records_untimed:
        what = "has" if untimed == 1 else "have"
        yield (
            f"{untimed} of {capture.records} captured frames {what} no time of arrival: "
            "jitter, delay, drift and stalls were not measured there"
        )
    if fragments := capture.skipped["fragment"]:
        what = "IP fragment was" if fragments == 1 else "IP fragments were"
        yield f"{fragments} {what} not put together: audio in them counts as lost"
    if capture.skipped["cut_off"]:
        yield "the capture ends in the middle of a packet"


def _check_live(
    source: str, places: Sequence[Endpoint | Tap], specs: Sequence[StreamSpec], arrival: _Arrival, live: _Live
) -> Result:
    from rtpverify.live.loop import run, run_live, stopped_by_signals
    from rtpverify.live.preload import load_for
    from rtpverify.live.receiver_reports import Feedback

    verifier = arrival.verifier(specs, may_end=live.until_end)
    load_for(spec.reference for spec in specs)

    async def main() -> Result:
        stop = asyncio.Event()
        feedback = Feedback(verifier, time.time_ns()) if live.receiver_reports else None

        def on_tick(now_ns: int) -> None:
            _refuse_mistakes(verifier)
            if len(specs) == 1 and not any(map(verifier.is_open, verifier.streams)):
                _require_encodings(verifier, source)
            if feedback is not None:
                feedback.tick(now_ns)
            if live.watcher.tick(now_ns):
                stop.set()

        with (
            stopped_by_signals(stop),
            open_input(places, live.backend) as receiver,
            feedback or contextlib.nullcontext(),
        ):

            def found(*, is_final: bool = False) -> Result:
                result = arrival.result(verifier, source, receiver.dropped, is_final=is_final)
                _add(result.discarded, receiver.discarded)
                return result

            def take(batch: PacketBatch) -> None:
                live.watcher.take(batch)
                if arrival.clips is not None:
                    arrival.clips.take_packets(batch)

            live.watcher.begin(verifier, found)
            live.on_listening(places)
            await run_live(
                verifier,
                receiver,
                duration_seconds=live.duration_seconds,
                wait_seconds=live.wait_seconds,
                until_end=live.until_end,
                stop=stop,
                on_batch=take,
                on_tick=on_tick,
            )
            _require_encodings(verifier, source)
            return found(is_final=True)

    return run(main())


def _require_decodable(specs: Sequence[StreamSpec]) -> None:
    """Refuse a description of which nothing can be judged; where something can, the rest is inconclusive."""
    described = [spec.announced for spec in specs if spec.announced is not None]
    if not described or any(one.medium.is_decodable for one in described):
        return
    spec, medium = specs[0], described[0].medium
    if spec.reference is not None and (spec.encoding is None or medium.is_encrypted):
        raise RequestError(
            f"{described[0].place}: {medium.why_undecodable()}; --reference none verifies transport alone"
        )


def _refuse_mistakes(verifier: Verifier) -> None:
    """Raise what is the caller's mistake: a source that cannot be read, a reference that can hold for no stream."""
    mistakes = [failure.error for failure in verifier.failures if isinstance(failure.error, RequestError)]
    for error in mistakes:
        none_is_judged = all(stream.failure is not None for stream in verifier.streams)
        if isinstance(error, SourceError) or none_is_judged:
            raise error


def _require_encodings(verifier: Verifier, source: str) -> None:
    """Refuse a source of which no stream can be decoded that should be judged, unless a description says why."""
    streams = verifier.streams
    if streams and all(stream.encoding is None and stream.spec.reference is not None for stream in streams):
        if any(stream.spec.announced and stream.spec.announced.is_known(stream.payload_type) for stream in streams):
            return
        doubts = dict.fromkeys(stream.doubt or "encoding unknown" for stream in streams)
        raise RequestError(
            f"{source}: {'; '.join(doubts)}; give --encoding or --sdp, or --reference none for transport alone"
        )


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Add what is not zero."""
    for reason, count in more.items():
        if count:
            counts[reason] = counts.get(reason, 0) + count
