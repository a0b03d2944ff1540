import socket
import struct
import wave

import numpy as np
import pytest
from click.testing import CliRunner

from rtpverify.cli import app as cli
from rtpverify.sender import rtp_sender
from rtpverify.sender.tone import DEFAULT_FREQUENCY_HZ, DEFAULT_LEVEL_DBFS
from tests.helpers.patience import PATIENCE_SECONDS


def run(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments], catch_exceptions=False)


def _frames(path):
    with wave.open(str(path)) as file:
        raw = file.readframes(file.getnframes())
        width, channels = file.getsampwidth(), file.getnchannels()
    padded = np.zeros((len(raw) // width, 4), np.uint8)
    padded[:, 4 - width :] = np.frombuffer(raw, np.uint8).reshape(-1, width)
    return padded.view("<i4").reshape(-1, channels) >> 8 * (4 - width)


def _defaults(command):
    return {parameter.name: parameter.default for parameter in cli.main.commands[command].params}


def test_defaults_are_those_of_the_sender():
    options = _defaults("send")
    assert float(options["frequency"]) == DEFAULT_FREQUENCY_HZ
    assert options["level_dbfs"] == DEFAULT_LEVEL_DBFS
    assert options["payload_type"] == rtp_sender.DEFAULT_PAYLOAD_TYPE
    settings = rtp_sender.StreamSettings()
    assert (options["packet_time"], options["ttl"]) == (settings.packet_time_seconds, settings.ttl)
    assert _defaults("tone")["encoding"] == str(rtp_sender.DEFAULT_ENCODING)


@pytest.mark.parametrize(("encoding", "bits"), [("L16/48000/2", 16), ("L24/44100", 24)])
def test_tone_is_the_rounded_sine(tmp_path, encoding, bits):
    path = tmp_path / "tone.wav"
    outcome = run("tone", path, "--encoding", encoding, "--duration", 1.5, "--frequency", 997)
    assert outcome.exit_code == 0, outcome.output
    rate_hz = int(encoding.split("/")[1])
    frame = np.arange(round(1.5 * rate_hz))
    expected = np.rint(0.1 * 2 ** (bits - 1) * np.sin(2 * np.pi * 997 * frame / rate_hz))
    written = _frames(path)
    assert written.shape == (len(frame), 2 if encoding.endswith("/2") else 1)
    assert np.abs(written[:, 0] - expected).max() <= 1  # the sine itself is rounded to float64 on both sides
    assert np.mean(written[:, 0] != expected) < 1e-3


def test_tone_takes_faults_of_the_signal_only(tmp_path):
    clean, faulty = tmp_path / "clean.wav", tmp_path / "faulty.wav"
    run("tone", clean, "--duration", 0.1)
    run("tone", faulty, "--duration", 0.1, "--fault", "click:at=0.05,size=0.25,channel=2")
    [[frame, column]] = np.argwhere(_frames(clean) != _frames(faulty))
    assert (frame, column) == (2400, 1)
    drawn = ("--duration", 0.5, "--fault", "click:per_second=20,size=0.25", "--seed", 3)
    for path in (clean, faulty):
        assert run("tone", path, *drawn).exit_code == 0
    assert (_frames(clean) == _frames(faulty)).all()
    run("tone", clean, "--duration", 0.5)
    assert 5 < (_frames(clean) != _frames(faulty)).any(axis=1).sum() < 20
    outcome = run("tone", faulty, "--fault", "loss:at=0.5,packets=1")
    assert outcome.exit_code == 2
    assert "loss" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--encoding", "PCMU/8000"), "--encoding: 'PCMU/8000'"),
        (("--frequency", "loud"), "--frequency loud: 'loud' is not a frequency above 0 Hz"),
        (("--frequency", "30000"), "30000 Hz"),
        (("--fault", "hiccup:at=1"), "unknown fault 'hiccup'"),
        (("--level-dbfs", "3"), "level 3 dBFS"),
    ],
)
def test_unusable_options_of_tone(tmp_path, arguments, told):
    outcome = run("tone", tmp_path / "tone.wav", *arguments)
    assert outcome.exit_code == 2
    [line] = outcome.stderr.splitlines()
    assert told in line
    assert not (tmp_path / "tone.wav").exists()


def test_tone_into_a_missing_folder(tmp_path):
    path = tmp_path / "none" / "tone.wav"
    outcome = run("tone", path, "--duration", 0.1)
    assert (outcome.exit_code, outcome.stderr) == (2, f"rtpverify: {path}: No such file or directory\n")


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE_SECONDS)
        yield sock


def _received(sock):
    packets = []
    sock.setblocking(False)  # over loopback, what was sent has arrived
    while True:
        try:
            packets.append(sock.recv(2048))
        except BlockingIOError:
            return packets


def test_send_with_a_loss(receiver):
    destination = f"rtp://127.0.0.1:{receiver.getsockname()[1]}"
    outcome = run(
        "send", destination, "--duration", 0.1, "--fault", "loss:at=0.05,packets=3", "--ssrc", "0x5eed0001",
        "--encoding", "L16/48000", "--payload-type", 98,
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    assert "SSRC 0x5eed0001" in outcome.stderr
    assert "sent 97 packets" in outcome.stderr
    packets = _received(receiver)
    headers = [struct.unpack(">BBHII", packet[:12]) for packet in packets]
    assert {(len(packet), header[1] & 0x7F, header[4]) for packet, header in zip(packets, headers, strict=True)} == {
        (12 + 96, 98, 0x5EED0001)
    }
    numbers = [(header[2] - headers[0][2]) % 65536 for header in headers]
    assert numbers == [number for number in range(100) if not 50 <= number < 53]


def test_send_a_recording(receiver, tmp_path):
    path = tmp_path / "tone.wav"
    run("tone", path, "--duration", 0.1, "--encoding", "L16/44100")
    outcome = run("send", f"rtp://127.0.0.1:{receiver.getsockname()[1]}", "--file", path, "--packet-time", 0.01)
    assert outcome.exit_code == 0, outcome.output
    assert "as L16/44100/1," in outcome.stderr
    payload = b"".join(packet[12:] for packet in _received(receiver))
    assert np.array_equal(np.frombuffer(payload, ">i2"), _frames(path)[:, 0])


@pytest.mark.parametrize(("options", "frames"), [((), 4410), (("--last-packet", "drop"), 4096)])
def test_send_a_recording_that_fills_no_number_of_packets(receiver, tmp_path, options, frames):
    path = tmp_path / "tone.wav"
    run("tone", path, "--duration", 0.1, "--encoding", "L16/44100")
    address = f"rtp://127.0.0.1:{receiver.getsockname()[1]}"
    outcome = run("send", address, "--file", path, "--packet-time", 512 / 44100, *options)
    assert outcome.exit_code == 0, outcome.output
    payload = b"".join(packet[12:] for packet in _received(receiver))
    assert np.array_equal(np.frombuffer(payload, ">i2"), _frames(path)[:frames, 0])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rtp://nowhere:5004",), "'nowhere'"),
        (("--encoding", "L99/1"), "L99"),
        (("--file", "none.wav"), "none.wav: No such file or directory"),
        (("--packet-time", "0.000001"), "packet time 0 s"),
        (("--last-packet", "drop"), "--last-packet drop: applies only to a recording that ends: a tone never ends"),
        (("--last-packet", "short", "--file", "x.wav", "--loop"), "with --loop it never ends"),
    ],
)
def test_unusable_options_of_send(arguments, told):
    outcome = run("send", *arguments)
    assert outcome.exit_code == 2
    [line] = outcome.stderr.splitlines()
    assert told in line


def test_ssrc_that_is_no_number():
    outcome = run("send", "--ssrc", "mine")
    assert outcome.exit_code == 2
    assert "'mine' is not a whole number" in outcome.stderr
