"""What ``rtpverify send`` and ``rtpverify tone`` do with their options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtpverify.errors import RequestError, SourceError
from rtpverify.reference import parse_frequencies
from rtpverify.rtp.payload import Encoding, parse_rtpmap
from rtpverify.sender.damage import DamagedSignal
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp import DEFAULT_DESTINATION, DEFAULT_ENCODING, Sender, StreamSettings
from rtpverify.sender.signal import Dither, Signal
from rtpverify.sender.tone import ToneSignal
from rtpverify.sources.endpoint import parse_endpoint

_WAV_SUBTYPES = {"L16": "PCM_16", "L24": "PCM_24"}
_WAV_LIMIT_BYTES = 0xFFFF_0000
"""Past this RIFF's 32-bit sizes overflow, and the file is RF64."""
_BLOCK_FRAMES = 65536


def send(
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
    encoding: str | None,
    payload_type: int,
    packet_time: float,
    ssrc: int | None,
    ttl: int,
    duration: float | None,
) -> None:
    """Send one stream until its end, the duration or an interrupt, and say on standard error what is sent.

    Raises
    ------
    RequestError
        Where an option is unusable, or sending fails.
    """
    form, signal = _audio(file, loop, encoding, frequency, level_dbfs)
    settings = StreamSettings(
        destination=parse_endpoint(destination, "DESTINATION") if destination else DEFAULT_DESTINATION,
        encoding=form,
        signal=signal,
        packet_time_seconds=packet_time,
        payload_type=payload_type,
        ssrc=ssrc,
        faults=[parse_fault(text) for text in faults],
        dither=dither,
        noise_dbfs=noise_dbfs,
        seed=seed,
        ttl=ttl,
    )
    with Sender([settings], duration_seconds=duration) as sender:
        what = f"{file}" if file else f"{frequency} Hz at {level_dbfs:g} dBFS"
        _say(f"sending {what} as {form}, payload type {payload_type}, SSRC 0x{sender.identities[0].ssrc:08x}")
        _say(f"to {settings.destination}{'' if duration else '; Ctrl-C ends it'}")
        for fault in settings.faults:
            _say(f"fault {fault}")
        try:
            sender.run()
        except KeyboardInterrupt:
            _say("interrupted")
        progress = sender.progress
        refused = f", {progress.packets_refused} refused by this host" if progress.packets_refused else ""
        _say(f"sent {progress.packets_sent} packets in {progress.elapsed_seconds:.1f} s{refused}")


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
    if form.name not in _WAV_SUBTYPES:
        raise RequestError(f"--encoding: {encoding!r}: a WAV file is written as {' or '.join(_WAV_SUBTYPES)}")
    signal = DamagedSignal(
        _tone(frequency, form, level_dbfs),
        [parse_fault(text) for text in faults],
        bits=form.bits,
        dither=dither,
        noise_dbfs=noise_dbfs,
        seed=seed,
    )
    frames = round(duration * form.sample_rate_hz)
    try:
        _write_wav(out, signal, form, frames)
    except OSError as error:
        raise SourceError(f"{out}: {error.strerror}") from error
    _say(f"wrote {frames} frames of {form} to {out}")


def _write_wav(out: Path, signal: Signal, form: Encoding, frames: int) -> None:
    import soundfile

    container = "WAV" if frames * form.bytes_per_frame < _WAV_LIMIT_BYTES else "RF64"
    with (
        out.open("wb") as file,
        soundfile.SoundFile(
            file, "w", form.sample_rate_hz, form.channels, _WAV_SUBTYPES[form.name], format=container
        ) as wav,
    ):
        for start in range(0, frames, _BLOCK_FRAMES):
            samples = signal.read(start, min(_BLOCK_FRAMES, frames - start))
            # As integers: libsndfile scales floats by 2**(bits-1) - 1.
            wav.write((samples * 2.0**31).astype(np.int32))


def _audio(
    file: Path | None, loop: bool, encoding: str | None, frequency: str, level_dbfs: float
) -> tuple[Encoding, Signal]:
    """Return what is sent, and as what."""
    if file is None:
        form = parse_rtpmap(encoding) if encoding else DEFAULT_ENCODING
        return form, _tone(frequency, form, level_dbfs)
    from rtpverify.sender.recording import FileSignal
    from rtpverify.sources.audiofile import open_audio

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
    print(line, file=sys.stderr, flush=True)
