"""The picture of a live check in a terminal."""

import io
import socket
import threading

import numpy as np
import pytest
import soundfile
from rich.console import Console

from rtpverify.commands.check import check
from rtpverify.commands.watch import TerminalWatcher
from rtpverify.errors import RequestError
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.audio.reference_text import parse_reference
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.command import refused
from tests.helpers.patience import PATIENCE_SECONDS


def test_levels_losses_and_events_are_shown():
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=140, height=40, color_system=None)
    settings = StreamSettings(Endpoint("127.0.0.1", port), faults=[parse_fault("loss:at=0.3,packets=2")], ssrc=0x77)
    listening = threading.Event()

    def send():
        listening.wait(PATIENCE_SECONDS)
        with Sender([settings], duration_seconds=1.5) as sender:
            sender.run()

    thread = threading.Thread(target=send)
    thread.start()
    with TerminalWatcher(console) as watcher:
        result = check(
            f"rtp://127.0.0.1:{port}",
            reference=parse_reference("tone:1283"),
            encoding=parse_rtpmap("L24/48000/2"),
            wait_seconds=PATIENCE_SECONDS,
            until_end=True,
            watcher=watcher,
            on_listening=lambda _: listening.set(),
        )
    thread.join()
    assert result.streams[0].transport.packets_lost == 2
    shown = screen.getvalue()
    assert "waiting for packets" in shown
    for words in (f"0x00000077 127.0.0.1:{port}", "-20.0", "gap (network)", "Ctrl-C ends the check"):
        assert words in shown


def test_it_needs_a_terminal():
    with pytest.raises(RequestError, match="standard error is no terminal"):
        TerminalWatcher(Console(file=io.StringIO()))


def test_it_is_for_live_sources(tone_wav_path):
    assert refused("check", tone_wav_path, "--watch").endswith("--watch is for live sources")


@pytest.fixture
def tone_wav_path(tmp_path):
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(np.arange(4800) / 7), 48_000, "PCM_24")
    return tmp_path / "tone.wav"
