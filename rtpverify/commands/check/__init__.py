"""Verify one source once: the Python API of ``rtpverify check``.

>>> from rtpverify.commands.check import check
>>> from rtpverify.sources.audio.reference_text import parse_reference
>>> result = check("tone.wav", reference=parse_reference("tone:997"))  # doctest: +SKIP
>>> result.verdict  # doctest: +SKIP
<Verdict.PASS: 'pass'>
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rtpverify.commands.check.capture import check_capture, expected_in_capture
from rtpverify.commands.check.file import check_file
from rtpverify.commands.check.live import LiveOptions, check_live, described_places, refuse_live_options, tapped
from rtpverify.commands.check.options import CheckOptions
from rtpverify.commands.check.refusals import refuse_redundant, require_decodable
from rtpverify.commands.event_clips import ClipRecorder
from rtpverify.commands.excerpt import Excerpt
from rtpverify.commands.silence import Audible
from rtpverify.commands.standard_input import STANDARD_INPUT
from rtpverify.engine.expectation import Selection, StreamSpec
from rtpverify.engine.share import WHOLE, Share
from rtpverify.errors import RequestError
from rtpverify.limits import Limits
from rtpverify.live.live_source import is_live
from rtpverify.live.watcher import Watcher
from rtpverify.reference import Reference, Tone
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.ring.tap import Tap, is_tap

if TYPE_CHECKING:
    from rtpverify.engine.frame_writer import OnFrames
    from rtpverify.result import Result
    from rtpverify.rtp.payload import Encoding
    from rtpverify.sources.open_receiver import Backend
    from rtpverify.transport.presentation import HostClock


def _ignore(described_places: Sequence[Endpoint | Tap]) -> None:
    """Take what nobody asked for."""


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
    share: Share = WHOLE,
) -> Result:
    """Verify a capture, an audio file, or a live stream.

    Parameters
    ----------
    source
        Path of a capture, audio file or session description, ``rtp://[SENDER@]ADDRESS:PORT``,
        ``capture://INTERFACE[,INTERFACE...]``, or ``-``: a capture on standard input.
    reference
        What the audio is compared with; by default a sine whose frequency is found.
    limits
        How much of something is no fault.
    encoding
        How payload types are decoded that neither a session description nor RFC 3551 says.
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
        Receive RTCP on the port after that of a live source, or where its description says; what comes to the port
        of RTP, or is captured, is taken in any case.
    receiver_reports
        Send receiver reports to the senders of live streams; implies ``rtcp``.
    on_frames
        Takes all frames of every stream of packets, where given; not those of an audio file.
    until_end
        End a live check when all streams that came have ended, too; then their end is no fault.
    with_clips
        Keep what reports draw of the largest events.
    share
        Of a capture, check the audio of these streams alone; :func:`~rtpverify.engine.share.merged` joins shares.

    Returns
    -------
    Result
        What was found.

    Raises
    ------
    RequestError
        Where the request or its input is unusable.
    """
    if host_clock is not None and limits.link_offset_seconds is None:
        raise RequestError("--host-clock has no effect without --link-offset-seconds")
    if trim_silence and reference is None:
        raise RequestError("--trim-silence has no effect with --reference none: no audio is verified")
    options = CheckOptions(
        Selection.parse(streams) if streams else None,
        host_clock or "utc",
        on_frames,
        Excerpt(start_seconds, duration_seconds),
        Audible() if trim_silence else None,
        ClipRecorder() if with_clips else None,
        share,
    )
    live = LiveOptions(
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
    result = _check(source, base, _Said(encodings, sdp, redundant), options, live)
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


def _check(source: str, base: StreamSpec, said: _Said, options: CheckOptions, live: LiveOptions) -> Result:
    """Verify a source by its form."""
    if is_live(source):
        refuse_redundant(source, said.redundant)
        if options.excerpt.start_seconds:
            raise RequestError(f"{source}: --start is for files and captures; a live check begins when it is started")
        places, specs = (
            tapped(source, base, said.sdp, live) if is_tap(source) else described_places(source, base, said.sdp, live)
        )
        specs = [said.of(spec) for spec in specs]
        require_decodable(specs)
        return check_live(source, places, specs, options, live)
    refuse_live_options(source, live)
    if has_packets(source):
        if said.sdp is not None:
            refuse_redundant(str(said.sdp), said.redundant)
        specs = [said.of(spec) for spec in expected_in_capture(replace(base, redundant=said.redundant), said.sdp)]
        require_decodable(specs)
        return check_capture(source, specs, options)
    if options.selection is not None or said.redundant:
        raise RequestError(
            f"{source}: an audio file has no RTP streams; --stream and --redundant apply to captures only"
        )
    if base.encoding is not None or said.encodings or said.sdp is not None:
        raise RequestError(f"{source}: an audio file states its own encoding; --encoding and --sdp apply to RTP only")
    if options.host_clock != "utc":
        raise RequestError(f"{source}: an audio file has no arrival times; --host-clock applies to packets only")
    return check_file(Path(source), base, options)


def has_packets(source: str) -> bool:
    """Return whether a source is packets, live or captured, and no audio file.

    Parameters
    ----------
    source
        As :func:`check` takes it.

    Returns
    -------
    bool
        False where it is an audio file.

    Raises
    ------
    SourceError
        Where it cannot be read.
    """
    from rtpverify.sources.capture.reader import is_capture

    return source == STANDARD_INPUT or is_live(source) or is_capture(source)
