"""One event, and everything that is kept of it: its JSON, the packets around it, the audio in them, a picture.

A case is made when the event is reported, from what the verifier knows then. :func:`packets_of` is quick, and for any
thread; :func:`files_of` works on what that returns, and takes long enough to be better done by a process of its own
(:mod:`rtpverify.evidence.worker_process`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtpverify.engine.expectation import StreamSpec
from rtpverify.events import Event, Kind, rfc3339
from rtpverify.evidence.audio import ClipAudio, assemble, wav
from rtpverify.evidence.folder import AUDIO, EVENT, PACKETS, PLOT
from rtpverify.evidence.packet_history import DatagramBlock, select
from rtpverify.evidence.pcap_writer import pcap
from rtpverify.evidence.plot import Marked, picture
from rtpverify.limits import PROFILES, Limits
from rtpverify.reference import Recording, Tone
from rtpverify.report.json import strict
from rtpverify.rtp.batch import PacketBatch
from rtpverify.rtp.payload import Encoding
from rtpverify.version import __version__

if TYPE_CHECKING:
    from rtpverify.engine.stream import Stream

SCHEMA = "rtpverify.evidence/1"

_BREAKS = (Kind.TIMESTAMP_JUMP, Kind.RESTART, Kind.SSRC_CHANGE)
"""Events that follow the last packet before them, wherever the next one is."""


@dataclass(frozen=True, slots=True)
class Span:
    """How much is kept: before an event, after it, and of it, in ns."""

    before_ns: int
    after_ns: int
    longest_ns: int


@dataclass(slots=True)
class Case:
    """An event that evidence is to be kept of.

    Attributes
    ----------
    document
        The event in its published JSON form, with its ``stream``.
    spec, encoding
        What was expected of the stream, but for the reference, and how it is decoded; None where nothing says.
    reference
        What the stream is compared with. Of a recording, the path: its audio stays with the process that verifies.
    ssrcs
        The sources whose packets show it.
    start_ns, duration_ns
        When it began, by arrival, and how long it lasted, as far as is known.
    is_open
        Whether it continues.
    offset_frames
        Its first frame, counted from that of the packet that carried it.
    """

    document: dict[str, Any]
    spec: StreamSpec
    reference: Tone | Path | None
    encoding: Encoding | None
    ssrcs: frozenset[int]
    ssrc: int
    payload_type: int
    start_ns: int
    duration_ns: int
    is_open: bool
    offset_frames: int

    @classmethod
    def of(cls, stream: Stream, event: Event, document: dict[str, Any], now_ns: int) -> Case:
        """Return the case of an event as reported.

        Parameters
        ----------
        stream
            The stream that it happened to.
        event
            The event.
        document
            The event in the published JSON form, with the stream's name.
        now_ns
            In ns since the Unix epoch: when it happened, where the event has no time.

        Returns
        -------
        Case
            Its packets are not looked for yet.
        """
        duration_ns = _duration_ns(event, stream.encoding)
        start_ns = now_ns if event.time_ns is None else event.time_ns
        # These are reported with the arrival of the packet after the silence.
        if event.kind in (Kind.GAP, Kind.STALL):
            start_ns -= duration_ns
        reference = stream.spec.reference
        return cls(
            document=document,
            spec=replace(stream.spec, reference=None),
            reference=reference.path.absolute() if isinstance(reference, Recording) else reference,
            encoding=stream.encoding,
            ssrcs=frozenset({stream.ssrc, stream.ssrc_before or stream.ssrc}),
            ssrc=stream.ssrc,
            payload_type=stream.payload_type,
            start_ns=start_ns,
            duration_ns=duration_ns,
            is_open=event.open,
            offset_frames=_offset(stream, event),
        )

    def encoding_of(self, payload_type: int) -> Encoding | None:
        """Return how a payload type is decoded: that of the stream as it was, others as is said of them.

        Parameters
        ----------
        payload_type
            The payload type.

        Returns
        -------
        Encoding or None
            None where nothing says how it is decoded.
        """
        return self.encoding if payload_type == self.payload_type else self.spec.encoding_of(payload_type)

    def renew(self, event: Event, document: dict[str, Any]) -> None:
        """Take in what became of the event.

        Parameters
        ----------
        event
            The event as it is now.
        document
            The event in the published JSON form.
        """
        self.document, self.is_open = document, event.open
        self.duration_ns = _duration_ns(event, self.encoding)

    def stop_ns(self, span: Span) -> int:
        """Return when the last packet to be kept arrives at the latest, as far as is known.

        Parameters
        ----------
        span
            How much is kept before and after an event.

        Returns
        -------
        int
            In ns since the Unix epoch.
        """
        lasts_ns = span.longest_ns if self.is_open else min(self.duration_ns, span.longest_ns)
        return self.start_ns + lasts_ns + span.after_ns


def _duration_ns(event: Event, encoding: Encoding | None) -> int:
    """Return how long an event lasted: on the media timeline, or in arrival time where that did not advance."""
    seconds: float | None = getattr(event.size, f"{event.kind}_seconds", None)
    if event.kind in (Kind.STALL, Kind.ENDED) and seconds is not None:
        return round(1e9 * seconds)
    return 0 if encoding is None else event.duration_frames * 1_000_000_000 // encoding.sample_rate_hz


def _offset(stream: Stream, event: Event) -> int:
    """Return where an event begins in the packet that carried it first; 0 where that is not known."""
    if event.packets is None:
        return 0
    frame = stream.frame_of(event.packets[0])
    return 0 if frame is None else max(0, event.start_frame - frame - stream.log.media_time.shift(frame))


@dataclass(frozen=True, slots=True)
class Kept:
    """The packets of a case; ``is_whole`` is False where the beginning was forgotten already."""

    batch: PacketBatch
    is_whole: bool


def packets_of(case: Case, pieces: Sequence[DatagramBlock], span: Span) -> Kept | None:
    """Return the packets of a case, None where none of them are there.

    Parameters
    ----------
    case
        The case.
    pieces
        What arrived, in any order. Where the beginning has gone already, what is there of the stream up to its latest
        packet is kept, as long a stretch as asked for.
    span
        How much is kept before and after the event.

    Returns
    -------
    Kept or None
        The packets in order of arrival.
    """
    start_ns, stop_ns = case.start_ns - span.before_ns, case.stop_ns(span)
    oldest_ns = min((int(piece.arrival_ns.min()) for piece in pieces), default=stop_ns)
    batch = select(pieces, case.spec.matches, case.ssrcs, start_ns, stop_ns)
    if len(batch):
        return Kept(batch, oldest_ns <= start_ns)
    everything = select(pieces, case.spec.matches, case.ssrcs, 0, 1 << 62)
    if len(everything) == 0:
        return None
    end_ns = int(everything.arrival_ns[-1]) + 1
    return Kept(select(pieces, case.spec.matches, case.ssrcs, end_ns - (stop_ns - start_ns), end_ns), is_whole=False)


def files_of(case: Case, kept: Kept) -> dict[str, bytes]:
    """Return the files of a case by their names.

    Parameters
    ----------
    case
        The case.
    kept
        Its packets.

    Returns
    -------
    dict[str, bytes]
        Content by name: the packets, ``event.json``, and where the payload can be decoded its audio and a picture.
    """
    batch = kept.batch
    files = {PACKETS: pcap(batch)}
    audio = None if case.encoding is None else assemble(batch, case.encoding, case.encoding_of)
    event_frame = None
    if audio is not None and len(audio.samples):
        event_frame = _place(case, audio)
        files[AUDIO] = wav(audio)
        files[PLOT] = _plot(case, audio, event_frame).encode()
    return {EVENT: render(_description(case, kept, audio, event_frame, list(files)))} | files


def render(description: dict[str, Any]) -> bytes:
    """Return ``event.json``.

    Parameters
    ----------
    description
        What it says.

    Returns
    -------
    bytes
        JSON in UTF-8.
    """
    return (json.dumps(strict(description), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _place(case: Case, audio: ClipAudio) -> int | None:
    """Return the frame of the clip at which the event begins; None where it lies outside."""
    packets = case.document["packets"]
    if packets is None:
        return audio.place_at(case.start_ns)
    if case.document["kind"] in _BREAKS:
        return audio.place_at(case.start_ns - 1)
    if case.document["kind"] == Kind.GAP:
        behind = audio.place_of(packets[1] + 1, case.start_ns)
        return None if behind is None else max(0, behind - case.document["duration_frames"])
    carrier = audio.place_of(packets[0], case.start_ns)
    return None if carrier is None else carrier + case.offset_frames


def _plot(case: Case, audio: ClipAudio, event_frame: int | None) -> str:
    document = case.document
    channel = (document["channel"] or 1) - 1
    where = "all channels" if document["channel"] is None else f"channel {document['channel']}"
    title = f"{document['kind']} ({document['cause']}), {document['stream']}, {where}"
    lines = [document["message"], f"{document['time'] or 'arrival unknown'}   event {document['id']}"]
    if event_frame is None:
        lines.append("the event is outside this clip; time starts at the clip's first frame")
    marked = Marked(0, 0, channel)
    if event_frame is not None:
        left = max(0, len(audio.samples) - event_frame)
        marked = Marked(event_frame, left if document["open"] else min(document["duration_frames"], left), channel)
    tone = case.reference if isinstance(case.reference, Tone) else None
    return picture(audio, marked, tone, title, lines)


def _description(
    case: Case, kept: Kept, audio: ClipAudio | None, event_frame: int | None, files: list[str]
) -> dict[str, Any]:
    batch = kept.batch
    flow = batch.flows[int(batch.flow[0])]
    return {
        "schema": SCHEMA,
        "event": case.document,
        "stream": {
            "name": case.document["stream"],
            "ssrc": f"0x{case.ssrc:08x}",
            "sender": flow.sender,
            "destination": flow.destination,
            "payload_type": case.payload_type,
            "encoding": str(case.encoding) if case.encoding else None,
            "reference": _option(case.reference),
        },
        "clip": {
            "first_arrival": rfc3339(int(batch.arrival_ns[0])),
            "last_arrival": rfc3339(int(batch.arrival_ns[-1])),
            "packets": len(batch),
            "frames": len(audio.samples) if audio else None,
            "frames_missing": int((~audio.valid).sum()) if audio else None,
            "event_frame": event_frame,
            "whole": kept.is_whole,
        },
        "files": sorted(files),
        "check": command(case),
        "version": __version__,
    }


def _option(reference: Tone | Path | None) -> str:
    """Return what a stream is compared with, as options have it."""
    if reference is None:
        return "none"
    if isinstance(reference, Path):
        return str(reference)
    exact = (f"{hz:g}" if float(f"{hz:g}") == hz else repr(hz) for hz in reference.frequencies_hz)
    return ":".join(["tone", ",".join(exact)]).rstrip(":")


def command(case: Case) -> str:
    """Return the command that verifies the packets of a case as the daemon did.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    str
        A line for a shell, to be run in the folder of the evidence.
    """
    words = ["rtpverify", "check", PACKETS]
    if case.encoding is not None:
        words += ["--encoding", str(case.encoding)]
    words += ["--reference", _option(None if case.encoding is None else case.reference)]
    if case.spec.is_merged:
        words.append("--redundant")
    return shlex.join(words + _limit_options(case.spec.limits))


def _limit_options(limits: Limits) -> list[str]:
    """Return the options that make up limits, the fewest there are."""
    made = []
    for profile, base in PROFILES.items():
        options = [] if profile == "digital" else ["--profile", profile]
        for item in fields(Limits):
            value, default = getattr(limits, item.name), getattr(base, item.name)
            name = item.name.replace("_", "-")
            if value == default:
                continue
            if isinstance(value, bool):
                options.append(f"--{name}" if value else f"--no-{name}")
            elif value is not None:
                options += [f"--{name}", f"{value!r}"]
        # What no option can say (a limit of the profile that is not to hold) counts for much.
        unsaid = sum(getattr(limits, item.name) is None is not getattr(base, item.name) for item in fields(Limits))
        made.append((10 * unsaid + len(options), options))
    return min(made, key=lambda item: item[0])[1]
