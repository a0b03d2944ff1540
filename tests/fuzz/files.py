"""What is read from files: captures, the configuration and limits, audio, and recordings that are compared."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import soundfile

from rtpverify.cli.limits_file import read_limits
from rtpverify.commands.compare import compare
from rtpverify.daemon.configuration import read_config
from rtpverify.errors import SourceError
from rtpverify.limits import PROFILES
from rtpverify.report.json import render
from rtpverify.sources.audio.file import open_audio
from rtpverify.sources.capture.reader import CaptureReader, read_capture, stream_capture
from rtpverify.sources.capture.records import CUT_OFF, DAMAGED
from tests.fuzz.target import MILLION, Target, refusal
from tests.fuzz.wire import SDP
from tests.helpers import captures as c
from tests.helpers.pairs import CHANGES, MATERIALS, changed, material

Take = Callable[[bytes], None]

# Captures -----------------------------------------------------------------------------------------------------------


def _datagrams(capture: CaptureReader) -> list[tuple[int, str, str, bytes]]:
    """Return time, ends and bytes of each datagram."""
    return [
        (time_ns, batch.flows[flow].sender, batch.flows[flow].destination, bytes(batch.arena[at : at + length]))
        for batch in capture
        for time_ns, flow, at, length in zip(
            batch.arrival_ns.tolist(),
            batch.flow.tolist(),
            batch.offset.tolist(),
            batch.length.tolist(),
            strict=True,
        )
    ]


@contextmanager
def opened_capture() -> Iterator[Take]:
    """Read a capture as a file and as a pipe gives it: the same comes of both."""
    with _folder() as folder:
        path = folder / "capture"

        def take(data: bytes) -> None:
            path.write_bytes(data)
            whole = [*range(0, len(data), 1 + len(data) // 3), len(data)]
            pieces = iter([data[start:stop] for start, stop in pairwise(whole)])
            found, counts, refused = [], [], []
            for capture in (lambda: read_capture(path), lambda: stream_capture(lambda: next(pieces, b""), str(path))):
                with refusal():
                    try:
                        reader = capture()
                        found.append(_datagrams(reader))
                        counts.append((reader.records, reader.skipped))
                        not_read = sum(reader.skipped.values()) - reader.skipped[DAMAGED] - reader.skipped[CUT_OFF]
                        assert not_read + len(found[-1]) == reader.records, reader.skipped
                    except SourceError as error:
                        refused.append(str(error))
                        raise
            assert found[1:] == found[:-1]
            assert counts[1:] == counts[:-1]
            assert len(refused) in (0, 2), refused

        yield take


def _packets() -> list[c.Record]:
    payload = bytes.fromhex("8061 0001 00000030 5eed0001") + bytes(12)
    packets = [c.ipv4(c.udp(payload)), c.ipv6(c.udp(payload), extensions=[c.HOP_BY_HOP, c.ATOMIC_FRAGMENT])]
    return [(10**18 + at, packet) for at, packet in enumerate(packets)]


def _on(link: Callable[..., bytes], *more: object) -> list[c.Record]:
    return [(at, link(packet, *more)) for at, packet in _packets()]


def pcap_seeds() -> list[bytes]:
    return [
        c.pcap(_on(c.ethernet)),
        c.pcap(_on(c.ethernet, [0x88A8, 0x8100]), order=">", nanoseconds=False),
        c.pcap(_on(c.linux_cooked), c.LINUX_COOKED),
        c.pcap(_on(c.linux_cooked_2), c.LINUX_COOKED_2),
        c.pcap(_on(c.loopback, "<"), c.BSD_NULL),
        c.pcap(_packets(), c.RAW_IP, snap=40),
        gzip.compress(c.pcap(_packets(), c.RAW_IP), mtime=0),
    ]


def pcapng_seeds() -> list[bytes]:
    [(_, packet), _] = _packets()
    frame = c.ethernet(packet)
    return [
        c.pcapng(_on(c.ethernet)),
        c.section(">") + c.interface(order=">", resolution=0x83, offset_seconds=-5) + c.enhanced(7, frame, ">"),
        c.section() + c.interface(snap=60) + c.simple(frame, snap=60) + c.obsolete(9, frame) + c.pcapng(_packets()),
    ]


# Configuration and limits -------------------------------------------------------------------------------------------

CONFIGURATION = """
[log]
format = "json"
[receive]
max_streams = 8
[metrics]
listen = "127.0.0.1:9464"
token_file = "token"
[history]
path = "history.sqlite"
max_age_days = 1
[[webhook]]
url = "http://127.0.0.1:1/x"
[evidence]
path = "evidence"
[presence]
missing_after_seconds = 5
[[stream]]
name = "a"
source = "rtp://192.0.2.7@239.1.2.3:5004"
encoding = "L24/48000/2"
reference = "tone:997"
profile = "analog"
[stream.limits]
max_late = 3
[[stream]]
name = "b"
sdp = "desk.sdp"
reference = "tone.wav"
[[folder]]
path = "."
[announced]
reference = "tone"
"""
LIMITS = "max_thd_n_db = -60.5\nmax_late = 3\nword_length_is_fault = false\n"


@contextmanager
def opened_configuration() -> Iterator[Take]:
    """Read a configuration, and limits, from a folder that has what they may name."""
    with _folder() as folder:
        (folder / "token").write_text("x" * 32)
        (folder / "desk.sdp").write_text(SDP)
        soundfile.write(folder / "tone.wav", np.zeros(48), 48_000)
        path = folder / "bench.toml"

        def take(data: bytes) -> None:
            path.write_bytes(data)
            with refusal():
                read_config(path)
            with refusal():
                read_limits(path, PROFILES["digital"])

        yield take


# Audio --------------------------------------------------------------------------------------------------------------

MOST_BLOCKS = 64
"""Blocks of 4,096 frames that are read of one input: a header of a few bytes may claim hours of audio."""


@contextmanager
def opened_audio() -> Iterator[Take]:
    """Read an audio file, from its start and from elsewhere."""
    with _folder() as folder:
        path = folder / "audio"

        def take(data: bytes) -> None:
            path.write_bytes(data)
            with refusal():
                audio = open_audio(path)
                for start in (0, audio.frames // 2):
                    for block in islice(audio.blocks(4096, start=start), MOST_BLOCKS):
                        assert block.shape[1] == audio.channels
                        assert len(block) <= 4096
                audio.told()

        yield take


def audio_seeds() -> list[bytes]:
    rng = np.random.default_rng(1)
    forms = [
        ("WAV", "PCM_16", 1), ("WAV", "PCM_24", 2), ("WAV", "FLOAT", 1), ("WAV", "ULAW", 1), ("WAV", "IMA_ADPCM", 1),
        ("RF64", "PCM_16", 1), ("W64", "PCM_16", 1), ("AIFF", "PCM_24", 2), ("AU", "PCM_16", 1), ("CAF", "PCM_16", 1),
        ("FLAC", "PCM_16", 2), ("OGG", "VORBIS", 1), ("OGG", "OPUS", 1), ("MP3", "MPEG_LAYER_III", 1),
    ]  # fmt: skip
    seeds = []
    for form, subtype, channels in forms:
        file = BytesIO()
        frames = 0.1 * rng.standard_normal((120, channels))
        soundfile.write(file, frames, 48_000, format=form, subtype=subtype)
        seeds.append(file.getvalue())
    return seeds


# Recordings ---------------------------------------------------------------------------------------------------------

VALUES = np.array([0.0, 0.5, -1.0, 1.0, np.nan, np.inf, -np.inf, 1e30, 1e-30, 3.0])


@contextmanager
def opened_recordings() -> Iterator[Take]:
    """Compare two recordings whose content the bytes make."""
    with _folder() as folder:
        one, other = folder / "reference.wav", folder / "received.wav"

        def take(data: bytes) -> None:
            if len(data) < 8:
                return
            rate_hz, reference, received = recordings(data)
            soundfile.write(one, reference, rate_hz, subtype="FLOAT")
            soundfile.write(other, received, rate_hz, subtype="FLOAT" if data[1] & 1 else "PCM_16")
            with refusal():
                render(compare(one, other, with_distance=bool(data[1] & 2)))

        yield take


def recordings(data: bytes) -> tuple[int, np.ndarray, np.ndarray]:
    """Return sample rate, and frames of two recordings: material, and changes one after the other."""
    rate_hz, channels = (48_000, 8000, 44_100, 192_000)[data[0] & 3], 1 + (data[0] >> 2 & 1)
    rng = np.random.default_rng(list(data[2:4]))
    frames = 1 + 97 * data[4] + data[5]
    kinds = MATERIALS[data[6] % len(MATERIALS)], MATERIALS[data[7] % len(MATERIALS)]
    start = material(kinds[0], frames, channels, rng)
    reference = np.clip(np.concatenate([start, material(kinds[1], frames // 2 + 1, channels, rng)]), -1.0, 0.999)
    received = reference
    for at in range(8, len(data) - 3, 4):
        kind, place = data[at], len(received) * data[at + 1] // 256
        if kind < 200:
            received = changed(CHANGES[kind % len(CHANGES)], received, rng)
        elif kind < 230:
            received = received.copy()
            received[place : place + data[at + 3] + 1] = VALUES[data[at + 2] % len(VALUES)]
        elif kind < 240:
            reference = reference.copy()
            reference[place % len(reference)] = VALUES[data[at + 2] % len(VALUES)]
        else:
            samples = np.frombuffer(data[at:], np.int8) / 128
            received = received.copy()
            received[place : place + len(samples), 0] = samples[: len(received) - place]
    return rate_hz, reference, received


def recording_seeds() -> list[bytes]:
    return [bytes([0, 1, 1, 2, 40, 7, 1, 2, kind, 100, 0, 0]) for kind in range(len(CHANGES))] + [
        bytes([4, 0, 5, 5, 100, 0, 3, 4, 205, 50, 4, 9, 231, 9, 5, 0, 250, 20, 128, 127])
    ]


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder, in memory where there is one that is."""
    memory = Path("/dev/shm")  # noqa: S108 - a million files are written there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


TARGETS = {
    "pcap": Target(
        pcap_seeds, ("rtpverify.sources.capture",), opened=opened_capture, inputs=10 * MILLION, longest=1024
    ),
    "pcapng": Target(
        pcapng_seeds, ("rtpverify.sources.capture",), opened=opened_capture, inputs=10 * MILLION, longest=1024
    ),
    "configuration": Target(
        lambda: [CONFIGURATION.encode(), LIMITS.encode()],
        (
            "rtpverify.daemon.config",
            "rtpverify.daemon.configuration",
            "rtpverify.daemon.streams",
            "rtpverify.limits",
            "rtpverify.sources.audio.reference_text",
            "rtpverify.sources.live.endpoint",
            "rtpverify.rtp.payload",
            "tomllib",
        ),
        opened=opened_configuration,
        inputs=MILLION,
        longest=2048,
    ),
    "audio": Target(audio_seeds, ("rtpverify.sources.audio",), opened=opened_audio, hours=1.0, longest=8192),
    "recordings": Target(
        recording_seeds,
        ("rtpverify.commands.compare", "rtpverify.detect.recording", "rtpverify.detect.explain", "rtpverify.dsp"),
        opened=opened_recordings,
        hours=1.0,
        longest=64,
    ),
}
