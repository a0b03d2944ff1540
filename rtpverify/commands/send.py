"""What ``rtpverify send`` and ``rtpverify tone`` do with their options."""

from __future__ import annotations

import json
import math
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from rtpverify.commands.output import replacing, write_text
from rtpverify.commands.wav_writer import Form, written
from rtpverify.errors import RequestError
from rtpverify.reference import parse_frequencies
from rtpverify.report.json import strict
from rtpverify.report.printable import printable
from rtpverify.result import events_as_dicts
from rtpverify.result.event_wording import seconds as written_seconds
from rtpverify.rtp.payload import Encoding, parse_rtpmap
from rtpverify.rtp.sdp_writer import DescribedStream, write_sdp
from rtpverify.sender.announcer import Announcer
from rtpverify.sender.fault_plan import Sent, plan_faults
from rtpverify.sender.rtp_sender import (
    DEFAULT_DESTINATION,
    DEFAULT_ENCODING,
    MAX_PAYLOAD_BYTES,
    LastPacket,
    Sender,
    StreamSettings,
)
from rtpverify.sender.sender_reports import ReportSender
from rtpverify.sender.signal import Dither, SentSignal
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import ToneSignal
from rtpverify.sender.truth import merged_truth
from rtpverify.sources.live.endpoint import Endpoint, parse_endpoint
from rtpverify.sources.live.sockets import own_address

_WAV_FORMS: tuple[Form, ...] = ("L16", "L24")
_BLOCK_FRAMES = 65536
_LAST_PORT = 65535


MOST_STREAMS = 256
"""As many as ``check`` verifies at a time."""
SCHEMA = "rtpverify.truth/1"
_TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Extras:
    """What goes with the packets.

    Attributes
    ----------
    streams
        How many are sent: multicast groups count up, ports of unicast streams by two.
    second_destination
        Where copies of the packets go (ST 2022-7).
    rtcp
        Send sender reports, and BYE at the end, to the next port.
    sap
        Announce each stream.
    sdp_to, truth_to
        Files for the session description and for the events that were made, as JSON; - is standard output.
    """

    streams: int = 1
    second_destination: str | None = None
    rtcp: bool = False
    sap: bool = False
    sdp_to: Path | None = None
    truth_to: Path | None = None


def send(
    destination: str | None,
    *,
    frequency: str,
    level_dbfs: float,
    file: Path | None,
    faults: Sequence[str],
    duration: float | None,
    extras: Extras = Extras(),
    **options: Any,
) -> None:
    """Send streams until their end, the duration or an interrupt, and say on standard error what is sent.

    Parameters
    ----------
    destination
        Address and port; None: those of this command's defaults.
    frequency
        As ``--frequency`` has it.
    level_dbfs
        Level of the tone.
    file
        A recording in place of the tone.
    faults
        As :mod:`rtpverify.sender.fault_plan` reads them.
    duration
        Seconds; None: to the end of what is sent, or until an interrupt.
    extras
        More streams, a second leg, RTCP, SAP, and where description and truth are written.
    **options
        As :func:`stream_settings` takes them.

    Raises
    ------
    RequestError
        Where an option is unusable, or sending fails.
    """
    base = stream_settings(destination, frequency=frequency, level_dbfs=level_dbfs, file=file, **options)
    legs = legs_of(base, faults, duration, extras)
    settings = [leg for stream in legs for leg in stream]
    with Sender(settings, duration_seconds=duration) as sender, _Companions(sender, legs, extras) as companions:
        what = f"{file}" if file else f"{frequency} Hz at {level_dbfs:g} dBFS"
        ssrc = sender.identities[0].ssrc
        first = f"payload type {base.payload_type}, SSRC 0x{ssrc:08x}"
        others = f" and {extras.streams - 1} more" if extras.streams > 1 else ""
        try:  # who reads that Ctrl-C ends it may press it at once
            _say(f"sending {what} as {base.encoding}, {first}{others}")
            for leg in legs[0]:
                last = f" … {legs[-1][0].destination}" if extras.streams > 1 and leg is legs[0][0] else ""
                _say(f"to {leg.destination}{last}{'' if duration else '; Ctrl-C ends it'}")
            for text in faults:
                _say(f"fault {text}")
            if base.payload_bytes > MAX_PAYLOAD_BYTES:
                _say(
                    f"payloads of {base.payload_bytes:,} bytes leave in IP fragments: more than the "
                    f"{MAX_PAYLOAD_BYTES:,} that fit an Ethernet frame; a shorter --packet-time avoids it"
                )
            companions.begin()
            sender.run(lambda _progress: companions.tick(), _TICK_SECONDS)
        except KeyboardInterrupt:
            _say("interrupted")
        companions.end()
        progress = sender.progress
        refused = f", {progress.packets_refused} refused by this host" if progress.packets_refused else ""
        _say(f"sent {progress.packets_sent} packets in {progress.elapsed_seconds:.1f} s{refused}")
        half, most, worst = (
            written_seconds(value)
            for value in (progress.late_seconds(0.5), progress.late_seconds(0.99), progress.max_late_seconds)
        )
        _say(f"pacing: half of the packets within {half} of their time, 99 % within {most}, all within {worst}")
        if extras.truth_to is not None:
            _write("--truth", extras.truth_to, _truth(sender, legs))


def legs_of(
    base: StreamSettings, faults: Sequence[str], duration: float | None, extras: Extras
) -> list[list[StreamSettings]]:
    """Return the legs of every stream: copies that differ in where they go, and in what happens to them there.

    Parameters
    ----------
    base
        What every stream has.
    faults
        As :mod:`rtpverify.sender.fault_plan` reads them.
    duration
        Seconds; None where it has no end.
    extras
        How many streams, and where their second leg goes.

    Returns
    -------
    list[list[StreamSettings]]
        The legs of each stream.

    Raises
    ------
    RequestError
        Where streams would collide, or an option is unusable.
    """
    second = extras.second_destination
    firsts = [base.destination, *([parse_endpoint(second, "--second-destination")] if second else [])]
    if second and firsts[0].destination == firsts[1].destination:
        raise RequestError(f"--second-destination {second}: is the first destination; give another address or port")
    frames = base.signal.frames if base.signal is not None else None
    lasts = duration if frames is None else min(duration or math.inf, frames / base.encoding.sample_rate_hz)
    packet_seconds = base.packet_frames / base.encoding.sample_rate_hz
    plan = plan_faults(faults, Sent(extras.streams, len(firsts), packet_seconds, lasts, base.seed))
    streams = []
    for number in range(extras.streams):
        ssrc = secrets.randbits(32) if base.ssrc is None else (base.ssrc + number) & 0xFFFFFFFF
        same = replace(
            base,
            ssrc=ssrc,
            sequence=secrets.randbits(16),
            timestamp=secrets.randbits(32),
            seed=base.seed + number,
        )
        streams.append(
            [
                replace(same, destination=_counted_up(first, number), faults=plan[number, leg])
                for leg, first in enumerate(firsts)
            ]
        )
    return streams


def _counted_up(first: Endpoint, number: int) -> Endpoint:
    """Return where a stream goes: to the next group each, or to every other port of a host."""
    if not number:
        return first
    try:
        if first.is_multicast:
            group = ip_address(first.address) + number
            if not group.is_multicast:
                raise ValueError
            return replace(first, address=str(group))
        if first.port + 2 * number > _LAST_PORT:
            raise ValueError
    except ValueError:
        raise RequestError(f"--streams: {number + 1} streams from {first.destination} on have no place") from None
    return replace(first, port=first.port + 2 * number)


class _Companions:
    """What goes out next to the packets: reports, announcements, and the description as a file."""

    def __init__(self, sender: Sender, legs: Sequence[Sequence[StreamSettings]], extras: Extras) -> None:
        self._extras = extras
        self._reports = ReportSender(sender) if extras.rtcp else None
        self._announcer: Announcer | None = None
        if extras.sap or extras.sdp_to is not None:
            described = [_described(stream, number, extras.rtcp) for number, stream in enumerate(legs, 1)]
            now = time.time_ns() // 1_000_000_000
            if extras.sdp_to is not None:
                _write("--sdp", extras.sdp_to, write_sdp("rtpverify", now, described))
            if extras.sap:
                self._announcer = Announcer(
                    [
                        (stream[0].destination, one.senders[0], write_sdp(one.name, now + number, [one]))
                        for number, (stream, one) in enumerate(zip(legs, described, strict=True))
                    ]
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._announcer is not None:
            self._announcer.close()

    def begin(self) -> None:
        """Announce, before the first packet."""
        if self._announcer is not None:
            self._announcer.tick(time.time_ns())
            if self._announcer.failure is not None:
                _say(f"--sap: cannot announce to {self._announcer.failure}; name the interface: rtp://…?interface=NAME")

    def tick(self) -> None:
        """Send what is due."""
        now_ns = time.time_ns()
        if self._reports is not None:
            self._reports.tick(now_ns)
        if self._announcer is not None:
            self._announcer.tick(now_ns)

    def end(self) -> None:
        """Say that the streams end."""
        if self._reports is not None:
            self._reports.goodbye()
        if self._announcer is not None:
            self._announcer.withdraw()


def _described(stream: Sequence[StreamSettings], number: int, rtcp: bool) -> DescribedStream:
    """Return a stream as a session description has it."""
    first = stream[0]
    return DescribedStream(
        name=f"rtpverify {number}",
        destinations=tuple((leg.destination.address, leg.destination.port) for leg in stream),
        senders=tuple(own_address(leg.destination) for leg in stream),
        payload_type=first.payload_type,
        encoding=first.encoding,
        packet_frames=first.packet_frames,
        ttl=first.ttl,
        has_rtcp=rtcp,
    )


def _truth(sender: Sender, legs: Sequence[Sequence[StreamSettings]]) -> str:
    """Return the events that were made, in the form in which ``check`` reports events."""
    streams: list[dict[str, Any]] = []
    number = 0
    for stream in legs:
        numbers = list(range(number, number + len(stream)))
        number += len(stream)
        first = stream[0]
        streams.append(
            {
                "ssrc": f"0x{sender.identities[numbers[0]].ssrc:08x}",
                "destinations": [leg.destination.destination for leg in stream],
                "payload_type": first.payload_type,
                "encoding": first.encoding.name,
                "sample_rate": first.encoding.sample_rate_hz,
                "channels": first.encoding.channels,
                "frames": sender.frames_due(numbers[0]),
                "events": events_as_dicts(merged_truth(sender, numbers)),
            }
        )
    progress = sender.progress
    pacing = {
        "median_late_seconds": progress.late_seconds(0.5),
        "p99_late_seconds": progress.late_seconds(0.99),
        "max_late_seconds": progress.max_late_seconds,
        "packets_refused": progress.packets_refused,
    }
    document = strict({"schema": SCHEMA, "pacing": pacing, "streams": streams})
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write(option: str, path: Path, content: str) -> None:
    if str(path) == "-":
        print(content, end="", flush=True)
    else:
        write_text(option, path, content)


def stream_settings(
    destination: str | None,
    *,
    frequency: str,
    level_dbfs: float,
    noise_dbfs: float | None,
    dither: Dither,
    seed: int,
    file: Path | None,
    loop: bool,
    last_packet: LastPacket | None,
    encoding: str | None,
    payload_type: int,
    packet_time: float | None,
    ssrc: int | None,
    ttl: int,
) -> StreamSettings:
    """Return the stream that the options of ``rtpverify send`` ask for.

    Parameters
    ----------
    destination
        Address and port; None: those of this command's defaults.
    frequency
        As ``--frequency`` has it.
    level_dbfs
        Level of the tone.
    noise_dbfs
        RMS level of the noise; None: there is none.
    dither
        Added before the quantiser.
    seed
        Of noise and dither.
    file
        A recording in place of the tone.
    loop
        Whether it is repeated.
    last_packet
        What becomes of frames that fill no packet at the end.
    encoding
        As ``--encoding`` has it.
    payload_type
        RTP payload type.
    packet_time
        In seconds; None: 1 ms, or less where that fits no Ethernet frame.
    ssrc
        SSRC; None: a random one.
    ttl
        Time to live of multicast packets.

    Returns
    -------
    StreamSettings
        What is sent.

    Raises
    ------
    RequestError
        Where an option is unusable.
    """
    if last_packet and (file is None or loop):
        why = "a tone never ends" if file is None else "with --loop it never ends"
        raise RequestError(f"--last-packet {last_packet}: applies only to a recording that ends: {why}")
    form, signal = sent_audio(file, loop, encoding, frequency, level_dbfs)
    return StreamSettings(
        destination=parse_endpoint(destination, "DESTINATION") if destination else DEFAULT_DESTINATION,
        encoding=form,
        signal=signal,
        packet_time_seconds=packet_time,
        last_packet=last_packet or "short",
        payload_type=payload_type,
        ssrc=ssrc,
        dither=dither,
        noise_dbfs=noise_dbfs,
        seed=seed,
        ttl=ttl,
    )


def tone(
    out: Path,
    *,
    frequency: str,
    level_dbfs: float,
    noise_dbfs: float | None,
    dither: Dither,
    seed: int,
    faults: Sequence[str],
    encoding: str,
    duration: float,
) -> None:
    """Write a tone to a WAV file, each sample as the sender would send it.

    Parameters
    ----------
    out
        The file.
    frequency
        As ``--frequency`` has it.
    level_dbfs
        Level of the tone.
    noise_dbfs
        RMS level of the noise; None: there is none.
    dither
        Added before the quantiser.
    seed
        Of noise and dither.
    faults
        Faults of the signal.
    encoding
        As ``--encoding`` has it.
    duration
        In seconds.

    Raises
    ------
    RequestError
        Where an option is unusable, or the file cannot be written.
    """
    form = parse_rtpmap(encoding)
    name = next((name for name in _WAV_FORMS if name == form.name), None)
    if name is None:
        raise RequestError(f"--encoding: {encoding!r}: a WAV file is written as {' or '.join(_WAV_FORMS)}")
    planned = plan_faults(faults, Sent(1, 1, 1 / form.sample_rate_hz, duration, seed))
    signal = DamagedSignal(
        _tone(frequency, form, level_dbfs),
        planned[0, 0],
        bits=form.bits,
        dither=dither,
        noise_dbfs=noise_dbfs,
        seed=seed,
    )
    frames = round(duration * form.sample_rate_hz)
    with (
        replacing("", out) as place,
        written(place, name, form.sample_rate_hz, form.channels, frames) as write,
    ):
        for start in range(0, frames, _BLOCK_FRAMES):
            write(signal.read(start, min(_BLOCK_FRAMES, frames - start)))
    _say(f"wrote {frames} frames of {form} to {out}")


def sent_audio(
    file: Path | None, loop: bool, encoding: str | None, frequency: str, level_dbfs: float
) -> tuple[Encoding, SentSignal]:
    """Return what is sent, and as what.

    Parameters
    ----------
    file, loop
        A recording, and whether it is repeated; None: a tone.
    encoding
        As ``--encoding`` has it; None: the default, or for a recording one that holds it without loss.
    frequency, level_dbfs
        Of the tone; ``frequency`` as ``--frequency`` has it.

    Returns
    -------
    encoding : Encoding
        How it is sent.
    signal : SentSignal
        What is sent.

    Raises
    ------
    RequestError
        Where an option is unusable, or the recording cannot be read.
    """
    if file is None:
        form = parse_rtpmap(encoding) if encoding else DEFAULT_ENCODING
        return form, _tone(frequency, form, level_dbfs)
    from rtpverify.sender.recording import FileSignal
    from rtpverify.sources.audio.file import open_audio

    bits = open_audio(file).bits
    signal = FileSignal(file, loop=loop)
    if encoding:
        return parse_rtpmap(encoding), signal
    name = "L16" if bits is not None and bits <= 16 else "L24"
    return Encoding(name, signal.sample_rate_hz, signal.channels), signal


def _tone(frequency: str, form: Encoding, level_dbfs: float) -> ToneSignal:
    frequencies_hz = parse_frequencies(frequency, f"--frequency {frequency}")
    return ToneSignal(frequencies_hz, form.sample_rate_hz, form.channels, level_dbfs=level_dbfs)


def _say(line: str) -> None:
    """Write to the person at the terminal; standard output stays free."""
    print(printable(line), file=sys.stderr, flush=True)
