"""A recording whose last frames fill no packet, sent and verified: a shorter last packet is no fault."""

import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rtpverify.commands.check import check
from rtpverify.rtp.payload import Encoding, parse_rtpmap
from rtpverify.sender.recording import FileSignal
from rtpverify.sender.rtp_sender import LastPacket, StreamSettings, send
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.sources.live.endpoint import Endpoint
from tests.end_to_end.programs import free_port, wait_until_bound
from tests.helpers.captures import ethernet, ipv4, pcap, udp

START_NS = 1_790_000_000_000_000_000
SECONDS = 1

# Encoding, packet time, frames that the last packet holds.
FORMS = [
    ("L24/48000/2", 0.001, 17),
    ("L24/48000/1", 0.001, 1),
    ("L16/44100/2", 0.001, 43),
    ("L16/48000/1", 0.004, 100),
    ("PCMU/8000/1", 0.02, 77),
    ("AM824/48000/2", 0.000125, 5),
]


def recording(path: Path, encoding: Encoding, packet_time: float, rest: int, kind: str) -> int:
    """Write a tone, or noise that is like no tone; return its frames."""
    packet_frames = round(packet_time * encoding.sample_rate_hz)
    frames = SECONDS * encoding.sample_rate_hz // packet_frames * packet_frames + rest
    samples = 0.25 * np.sin(2 * np.pi * 997 * np.arange(frames) / encoding.sample_rate_hz)
    if kind == "recording":
        noise = np.random.default_rng(7).standard_normal(frames)
        samples = 0.1 * np.convolve(noise, np.hanning(16), "same")
    bits = 16 if encoding.bits is None else encoding.bits
    whole = np.rint(samples * 2 ** (bits - 1)).astype(np.int32) << (32 - bits)
    soundfile.write(path, np.repeat(whole[:, None], encoding.channels, axis=1), encoding.sample_rate_hz, "PCM_24")
    return frames


def sent(path: Path, encoding: Encoding, packet_time: float, last_packet: LastPacket) -> list[bytes]:
    """Send a file, and return the datagrams that came."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.2)
        settings = StreamSettings(
            destination=Endpoint("127.0.0.1", sock.getsockname()[1]),
            encoding=encoding,
            signal=FileSignal(path),
            packet_time_seconds=packet_time,
            last_packet=last_packet,
            sequence=65_000,
        )
        send([settings])
        found = []
        while True:
            try:
                found.append(sock.recv(65536))
            except TimeoutError:
                return found


def capture(path: Path, datagrams: list[bytes], packet_time: float) -> str:
    """Write a capture in which every datagram came when it was due; return its path."""
    records = []
    for datagram in datagrams:
        number = (struct.unpack("!H", datagram[2:4])[0] - 65_000) % 65536
        time_ns = START_NS + round(number * packet_time * 1e9)
        records.append((time_ns, ethernet(ipv4(udp(datagram), "192.0.2.7", "239.1.2.3"))))
    path.write_bytes(pcap(records))
    return str(path)


@pytest.mark.parametrize("kind", ["tone", "recording"])
@pytest.mark.parametrize(("form", "packet_time", "rest"), FORMS)
def test_every_frame_arrives_and_nothing_is_a_fault(
    tmp_path: Path, form: str, packet_time: float, rest: int, kind: str
) -> None:
    encoding = parse_rtpmap(form)
    path = tmp_path / "sent.wav"
    frames = recording(path, encoding, packet_time, rest, kind)
    reference = parse_reference("tone:997" if kind == "tone" else str(path))
    datagrams = sent(path, encoding, packet_time, "short")
    assert len(datagrams[-1]) == 12 + rest * encoding.bytes_per_frame
    result = check(capture(tmp_path / "a.pcap", datagrams, packet_time), encoding=encoding, reference=reference)
    [stream] = result.streams
    assert (stream.events, stream.warnings, stream.frames) == ([], [], frames)
    assert stream.verdict == "pass"
    assert stream.transport is not None
    assert (stream.transport.packets_odd_length, stream.transport.packets_lost) == (0, 0)
    usual_frames = round(packet_time * encoding.sample_rate_hz)
    assert stream.packet_time_seconds == pytest.approx(usual_frames / encoding.sample_rate_hz)


@pytest.mark.parametrize("kind", ["tone", "recording"])
def test_frames_that_fill_no_packet_may_be_left_out(tmp_path: Path, kind: str) -> None:
    encoding, path = parse_rtpmap("L16/48000/2"), tmp_path / "sent.wav"
    frames = recording(path, encoding, 0.001, 17, kind)
    datagrams = sent(path, encoding, 0.001, "drop")
    assert {len(datagram) for datagram in datagrams} == {12 + 48 * 4}
    reference = parse_reference("tone:997" if kind == "tone" else str(path))
    [stream] = check(capture(tmp_path / "a.pcap", datagrams, 0.001), encoding=encoding, reference=reference).streams
    assert (stream.events, stream.frames, stream.verdict) == ([], frames - 17, "pass")


@pytest.mark.parametrize(
    ("order", "gaps"),
    [
        ([-3, -1, -2], []),  # the short packet overtakes the one before
        ([-3, -1], [(48, "gap")]),  # the one before is lost
        ([-3, -2, -1, -1], []),  # it comes twice
    ],
)
def test_what_happens_around_the_last_packet_is_told_as_anywhere(
    tmp_path: Path, order: list[int], gaps: list[tuple[int, str]]
) -> None:
    encoding, path = parse_rtpmap("L24/48000/2"), tmp_path / "sent.wav"
    frames = recording(path, encoding, 0.001, 17, "tone")
    datagrams = sent(path, encoding, 0.001, "short")
    datagrams[-3:] = [datagrams[place] for place in order]
    reference = parse_reference("tone:997")
    [stream] = check(capture(tmp_path / "a.pcap", datagrams, 0.001), encoding=encoding, reference=reference).streams
    assert [(event.duration_frames, event.kind) for event in stream.events] == gaps
    assert stream.frames == frames


@pytest.mark.parametrize("last_packet", ["short", "drop"])
def test_the_commands_side_by_side(tmp_path: Path, last_packet: str) -> None:
    encoding, path = parse_rtpmap("L24/48000/2"), tmp_path / "sent.wav"
    frames = recording(path, encoding, 0.001, 17, "tone")
    port = free_port()
    address = f"rtp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "rtpverify"]
    options = ["--encoding", "L24/48000/2", "--reference", "tone:997", "--duration", "30", "--json", "-"]
    limits = ["--max-stall-seconds", "20", "--max-late", "1000"]
    with subprocess.Popen(
        [*command, "check", address, *options, *limits], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as checking:
        wait_until_bound(port, checking)
        subprocess.run(
            [*command, "send", address, "--file", str(path), "--last-packet", last_packet],
            check=True,
            capture_output=True,
        )
        checking.terminate()
        out, _ = checking.communicate(timeout=60)
    [stream] = json.loads(out)["streams"]
    content = [event for event in stream["events"] if event["kind"] not in ("ended", "stall", "jitter")]
    assert (content, stream["frames"]) == ([], frames if last_packet == "short" else frames - 17)
