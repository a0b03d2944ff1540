"""What ``rtpverify send`` and ``rtpverify tone`` do with their options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtpverify.commands.output import replacing
from rtpverify.commands.wav_writer import Form, written
from rtpverify.errors import RequestError
from rtpverify.reference import parse_frequencies
from rtpverify.report.printable import printable
from rtpverify.rtp.payload import Encoding, parse_rtpmap
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import DEFAULT_DESTINATION, DEFAULT_ENCODING, LastPacket, Sender, StreamSettings
from rtpverify.sender.signal import Dither, SentSignal
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import ToneSignal
from rtpverify.sources.live.endpoint import parse_endpoint

_WAV_FORMS: tuple[Form, ...] = ("L16", "L24")
_BLOCK_FRAMES = 65536


def send(
    destination: str | None,
    *,
    frequency: str,
    level_dbfs: float,
    file: Path | None,
    duration: float | None,
    **options: Any,
) -> None:
    """Send one stream until its end, the duration or an interrupt, and say on standard error what is sent.

    Parameters
    ----------
    **options
        As :func:`stream_settings` takes them.

    Raises
    ------
    RequestError
        Where an option is unusable, or sending fails.
    """
    settings = stream_settings(destination, frequency=frequency, level_dbfs=level_dbfs, file=file, **options)
    with Sender([settings], duration_seconds=duration) as sender:
        try:
            what = printable(f"{file}") if file else f"{frequency} Hz at {level_dbfs:g} dBFS"
            ssrc = sender.identities[0].ssrc
            _say(f"sending {what} as {settings.encoding}, payload type {settings.payload_type}, SSRC 0x{ssrc:08x}")
            _say(f"to {settings.destination}{'' if duration else '; Ctrl-C ends it'}")
            for fault in settings.faults:
                _say(f"fault {fault}")
            sender.run()
        except KeyboardInterrupt:
            _say("interrupted")
        progress = sender.progress
        refused = f", {progress.packets_refused} refused by this host" if progress.packets_refused else ""
        _say(f"sent {progress.packets_sent} packets in {progress.elapsed_seconds:.1f} s{refused}")


def stream_settings(
    destination: str | None,
    *,
    frequency: str,
    level_dbfs: float,
    noise_dbfs: float | None,
    dither: Dither,
    seed: int,
    faults: Sequence[str],
    file: Path | None,
    loop: bool,
    last_packet: LastPacket | None,
    encoding: str | None,
    payload_type: int,
    packet_time: float,
    ssrc: int | None,
    ttl: int,
) -> StreamSettings:
    """Return the stream that the options of ``rtpverify send`` ask for.

    Raises
    ------
    RequestError
        Where an option is unusable.
    """
    if last_packet and (file is None or loop):
        why = "a tone never ends" if file is None else "with --loop it never ends"
        raise RequestError(f"--last-packet {last_packet}: applies only to a recording that ends: {why}")
    form, signal = _audio(file, loop, encoding, frequency, level_dbfs)
    return StreamSettings(
        destination=parse_endpoint(destination, "DESTINATION") if destination else DEFAULT_DESTINATION,
        encoding=form,
        signal=signal,
        packet_time_seconds=packet_time,
        last_packet=last_packet or "short",
        payload_type=payload_type,
        ssrc=ssrc,
        faults=[parse_fault(text) for text in faults],
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

    Raises
    ------
    RequestError
        Where an option is unusable, or the file cannot be written.
    """
    form = parse_rtpmap(encoding)
    name = next((name for name in _WAV_FORMS if name == form.name), None)
    if name is None:
        raise RequestError(f"--encoding: {encoding!r}: a WAV file is written as {' or '.join(_WAV_FORMS)}")
    signal = DamagedSignal(
        _tone(frequency, form, level_dbfs),
        [parse_fault(text) for text in faults],
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


def _audio(
    file: Path | None, loop: bool, encoding: str | None, frequency: str, level_dbfs: float
) -> tuple[Encoding, SentSignal]:
    """Return what is sent, and as what."""
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
    """Tell the person at the terminal; standard output stays free."""
    print(printable(line), file=sys.stderr, flush=True)
