"""Audio files that no encoder at hand writes, header by header."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")

_PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def needs_libav() -> None:
    """Skip the test where PyAV is not installed."""
    pytest.importorskip("av", exc_type=ImportError)


def sine(path: Path, form: str, subtype: str, *, seconds: float = 0.5, channels: int = 1, rate_hz: int = 48000) -> Path:
    """Write a sine of 997 Hz by libsndfile."""
    time = np.arange(round(rate_hz * seconds)) / rate_hz
    wave = 0.5 * np.sin(2 * np.pi * 997 * time)
    soundfile.write(path, np.tile(wave[:, None], channels), rate_hz, subtype=subtype, format=form)
    return path


def ffmpeg(path: Path, *options: str, seconds: float = 1.0, channels: int = 1, rate_hz: int = 48000) -> Path:
    """Write a sine of 997 Hz by ffmpeg."""
    tone = f"sine=997:d={seconds}:r={rate_hz}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", tone, "-ac", str(channels), *options, path]
    subprocess.run(command, check=True)
    return path


def wave_file(
    samples: bytes, *, channels: int = 1, bits: int, sample_bytes: int, valid_bits: int | None = None, tag: int = 1
) -> bytes:
    """Return a WAV file of 48 kHz; WAVEFORMATEXTENSIBLE where the valid bits are given."""
    block = sample_bytes * channels
    form = struct.pack("<HHIIHH", tag, channels, 48000, 48000 * block, block, bits)
    if valid_bits is not None:
        form = struct.pack("<H", 0xFFFE) + form[2:] + struct.pack("<HHI", 22, valid_bits, 0) + _PCM_GUID
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def little_endian(values: NDArray[np.int64], sample_bytes: int) -> bytes:
    """Return integers, each in so many bytes."""
    return b"".join(int(value).to_bytes(sample_bytes, "little", signed=True) for value in values.ravel())


def box(name: bytes, content: bytes) -> bytes:
    """Return a box of an ISO base media file."""
    return struct.pack(">I", 8 + len(content)) + name + content


def tagged(content: bytes, priming: int, filling: int, frames: int) -> bytes:
    """Return an MP4 whose ``moov`` comes last with an iTunSMPB tag in it instead of its other tags."""
    at = content.index(b"moov") - 4
    moov = content[at + 8 :]
    if b"udta" in moov:
        moov = moov[: moov.index(b"udta") - 4]
    text = f" 00000000 {priming:08X} {filling:08X} {frames:016X}" + " 00000000" * 8
    item = box(b"mean", bytes(4) + b"com.apple.iTunes") + box(b"name", bytes(4) + b"iTunSMPB")
    item += box(b"data", struct.pack(">II", 1, 0) + text.encode())
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tags = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", box(b"----", item))))
    return content[:at] + box(b"moov", moov + tags)


def flac_total(content: bytes, frames: int) -> bytes:
    """Return a FLAC file that states another length (RFC 9639 section 8.2: 36 bits after rate, channels and bits)."""
    word = int.from_bytes(content[18:26]) >> 36 << 36 | frames
    return content[:18] + word.to_bytes(8) + content[26:]
