"""Streams of a sound server and of a telephone tester: live, from a capture of the run, and as tshark sees them."""

import struct
import subprocess

import numpy as np
import pytest

from rtpverify.rtp.payload import encode, parse_rtpmap
from tests.end_to_end import sip, wire
from tests.end_to_end.programs import check_capture, free_port, require, run_live
from tests.end_to_end.test_senders import arguments, assert_agrees
from tests.helpers import captures

pytestmark = pytest.mark.end_to_end

PATIENT = ("--max-stall-seconds", "10", "--reorder-window-seconds", "0.5")
"""This machine may hiccup; what is looked at here is what was sent."""


def test_pulseaudio(tmp_path):
    """Its sound of 997 Hz is computed in single precision: exact to the last of 16 bits."""
    require("pulseaudio", "timeout")
    port = free_port()
    modules = [
        "module-null-sink sink_name=tone rate=48000 channels=2 format=float32le",
        "module-sine sink=tone frequency=997",
        f"module-rtp-send source=tone.monitor destination_ip=127.0.0.1 port={port} format=s16be channels=2 rate=48000",
    ]
    server = f"HOME={tmp_path} XDG_RUNTIME_DIR={tmp_path} timeout 5 pulseaudio -n --daemonize=no --use-pid-file=no"
    server += " --exit-idle-time=-1 --disable-shm " + " ".join(f"-L '{module}'" for module in modules)
    options = arguments("L16/48000/2", *PATIENT)
    run = run_live(tmp_path, port, ["sh", "-c", f"{server}; true"], options, None)
    assert (run.exit_status, run.stream["events"]) == (0, [])
    assert run.stream["transport"]["packets_received"] > 100
    signal = run.stream["signal"][0]
    assert signal["frequency_hz"] == pytest.approx(997, rel=1e-7)
    assert signal["level_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert signal["residual_dbfs"] < -97
    assert_agrees(run, *options)


def test_a_call_of_sipp(tmp_path):
    """A telephone tester plays a tone in G.711 from a capture: its packets come as they were recorded."""
    require("sipp")
    form, packets = parse_rtpmap("PCMA/8000/1"), 100
    tone = 0.5 * np.sin(2 * np.pi * 997 * np.arange(160 * packets) / 8000)
    records = []
    for index in range(packets):
        header = struct.pack(">BBHII", 0x80, 8, (65_500 + index) % 2**16, 160 * index, 0x5EED0001)
        rtp = header + encode(form, tone[160 * index : 160 * index + 160, None])
        frame = captures.ethernet(captures.ipv4(captures.udp(rtp, 6000, 6000), "127.0.0.1", "127.0.0.1"))
        records.append((10**18 + 20_000_000 * index, frame))
    audio, call = tmp_path / "tone.pcap", tmp_path / "call.xml"
    audio.write_bytes(captures.pcap(records, nanoseconds=False))
    call.write_text(sip.CALL.format(audio=audio, milliseconds=20 * packets + 300))
    port, local = free_port(), free_port()
    options = ["--reference", "tone:997", "--max-thd-n-db", "-30", *PATIENT]
    with sip.telephone(port) as called:
        command = ["sipp", "-sf", str(call), f"127.0.0.1:{called}", "-i", "127.0.0.1", "-p", str(local), "-m", "1"]
        try:
            run = run_live(tmp_path, port, [*command, "-nostdin", "-timeout", "20"], options, None)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"sipp cannot play a capture here (it takes a raw socket): {error.stderr[-300:]!r}")
    assert (run.exit_status, run.stream["events"]) == (0, [])
    assert (run.stream["ssrc"], run.stream["encoding"]) == ("0x5eed0001", "PCMA")
    assert run.stream["packet_time_seconds"] == 0.02
    assert run.stream["transport"]["packets_received"] == packets
    assert_agrees(run, *options)
    # The payload type tells the clock, so tshark can measure jitter too.
    [seen] = wire.statistics(run.capture, run.port)
    [whole] = check_capture(run.capture, *options)[1]["streams"]
    assert whole["transport"]["max_jitter_seconds"] == pytest.approx(seen.max_jitter_ms / 1000, abs=0.6e-6)
