"""A tap sees of a stream what a socket receives, and streams that are addressed to nobody here."""

import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import rtpverify
from rtpverify.commands.check import check
from rtpverify.limits import Limits
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers.command import run
from tests.helpers.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs the right to capture packets"
)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def outline(result):
    """Return what must be the same however the packets were received."""
    [stream] = result.streams
    events = [(e.kind, e.channel, e.start_frame, e.duration_frames, e.cause) for e in stream.events]
    names = ("packets_received", "packets_expected", "packets_lost", "packets_reordered")
    counts = {name: getattr(stream.transport, name) for name in names}
    return stream.ssrc, stream.destination, counts, events


def test_the_same_events_and_counts_as_a_socket():
    port = free_port()
    asked = {"encoding": "L24/48000/2", "reference": "tone:997", "until_end": True, "limits": {"max_stall_seconds": 60}}
    faults = ["loss:at=0.5,packets=3", "dropout:at=1,frames=480", "reorder:at=1.3"]
    with (
        rtpverify.verify(f"rtp://127.0.0.1:{port}", **asked) as received,
        rtpverify.verify(f"capture://lo?filter=udp dst port {port}", **asked) as tapped,
        rtpverify.send(f"rtp://127.0.0.1:{port}", encoding="L24/48000/2", frequency=997, faults=faults, duration=2),
    ):
        received.wait_for_audio(timeout=30)
        tapped.wait_for_audio(timeout=30)
    assert outline(tapped.result) == outline(received.result)
    assert [str(event.kind) for event in tapped.result.streams[0].events] == ["gap", "dropout"]


def test_an_address_by_ring_or_by_socket():
    """The sockets that keep ports for a ring take nothing away from it, and nothing twice."""
    found = {}
    for backend in ("ring", "recvmmsg"):
        port = free_port()
        listening = threading.Event()
        arguments = {
            "encoding": parse_rtpmap("L24/48000/2"),
            "reference": parse_reference("tone:997"),
            "backend": backend,
            "limits": Limits(max_stall_seconds=60),
            "until_end": True,
            "on_listening": lambda _places, listening=listening: listening.set(),
        }
        with ThreadPoolExecutor(1) as pool:
            checked = pool.submit(check, f"rtp://127.0.0.1:{port}", **arguments)
            assert listening.wait(PATIENCE_SECONDS)
            with rtpverify.send(
                f"rtp://127.0.0.1:{port}",
                encoding="L24/48000/2",
                frequency=997,
                faults=["loss:at=0.3,packets=2"],
                duration=1,
                seed=1,
            ):
                pass
            found[backend] = outline(checked.result(PATIENCE_SECONDS))[2:]
    assert found["ring"] == found["recvmmsg"]
    assert found["ring"][0]["packets_lost"] == 2


def test_what_is_no_option_of_a_tap():
    done = run("check", "capture://lo", "--receiver-reports", "--duration", "1")
    assert done.exit_code == 2
    assert "--receiver-reports is for rtp:// addresses" in done.stderr
