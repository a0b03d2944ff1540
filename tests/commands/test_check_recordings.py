"""``check --reference FILE`` on captures: RTP streams that play a recording over and over."""

import json
import struct

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from rtpverify.cli.app import main
from rtpverify.rtp.payload import encode, parse_rtpmap
from tests.helpers import captures as c
from tests.helpers.programme import RATE_HZ, music, quantised, speech

PACKET_FRAMES = 48
START_NS = 1_790_000_000_000_000_000

SDP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=programme
c=IN IP4 239.1.2.3/32
t=0 0
m=audio 5004 RTP/AVP 98
a=rtpmap:98 L24/48000/2
a=ptime:1
"""


@pytest.fixture(scope="module")
def loop():
    return quantised(music(4, seed=2), 24)


def capture(path, frames, lost=()):
    """Write the frames as packets of 1 ms, some of them left out."""
    form = parse_rtpmap("L24/48000/2")
    records = []
    for index in range(len(frames) // PACKET_FRAMES):
        if index in lost:
            continue
        part = frames[index * PACKET_FRAMES : (index + 1) * PACKET_FRAMES]
        header = struct.pack(">BBHII", 0x80, 98, 65_000 + index & 0xFFFF, index * PACKET_FRAMES, 0x5EED)
        rtp = header + encode(form, part)
        records.append((START_NS + 1_000_000 * index, c.ethernet(c.ipv4(c.udp(rtp)))))
    path.write_bytes(c.pcapng(records))
    return path


@pytest.fixture
def check(loop, tmp_path):
    """Return status, standard error and stream of the command on a capture of these frames."""
    soundfile.write(tmp_path / "loop.wav", loop, RATE_HZ, "PCM_24")
    (tmp_path / "session.sdp").write_text(SDP)

    def run(frames, lost=(), reference="loop.wav"):
        arguments = [capture(tmp_path / "capture.pcapng", frames, lost), "--reference", tmp_path / reference]
        options = ["--sdp", tmp_path / "session.sdp", "--json", tmp_path / "result.json"]
        outcome = CliRunner().invoke(main, ["check", *map(str, [*arguments, *options])])
        result = json.loads((tmp_path / "result.json").read_text()) if outcome.exit_code < 2 else None
        return outcome, result and result["streams"][0]

    return run


def test_a_clean_loop_passes_from_any_point(loop, check):
    outcome, stream = check(np.concatenate([loop[100_001:], loop, loop])[: 6 * RATE_HZ])
    assert (outcome.exit_code, stream["events"]) == (0, [])
    for channel in stream["comparison"]["channels"]:
        assert channel["frames_equal"] == channel["frames_compared"] == 6 * RATE_HZ
        assert channel["offset_frames"] == -100_001


def test_faults_of_network_and_content_are_told_apart(loop, check):
    frames = np.concatenate([loop, loop])[: 6 * RATE_HZ + 96]
    frames = np.delete(frames, slice(3 * RATE_HZ, 3 * RATE_HZ + 96), axis=0)
    frames[4 * RATE_HZ : 4 * RATE_HZ + 48] = 0.0
    outcome, stream = check(frames, lost=range(1500, 1504))
    assert outcome.exit_code == 1
    found = [(e["kind"], e["cause"], e["channel"], e["start_frame"], e["duration_frames"]) for e in stream["events"]]
    assert found == [
        ("gap", "network", None, 1500 * PACKET_FRAMES, 4 * PACKET_FRAMES),
        ("slip", "upstream", None, 3 * RATE_HZ, 0),
        ("dropout", "upstream", None, 4 * RATE_HZ, 48),
    ]
    assert stream["events"][1]["slip_frames"] == 96
    assert all(event["packets"] and event["time"] for event in stream["events"])


def test_something_else_is_not_passed(check):
    outcome, _ = check(quantised(speech(4, seed=3), 24))
    assert outcome.exit_code == 3
    assert "loop.wav was not found" in outcome.stdout


@pytest.mark.parametrize(("name", "content"), [("none.wav", None), ("empty.wav", b""), ("text.wav", b"hello" * 99)])
def test_a_reference_that_cannot_be_read(loop, check, tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    outcome, _ = check(loop, reference=name)
    assert outcome.exit_code == 2
    [line] = outcome.stderr.splitlines()
    assert line.startswith("rtpverify: reference ")
    assert name in line
