"""Announcements heard over loopback."""

import json
import socket
import threading

import pytest
from click.testing import CliRunner

from rtpverify.cli.app import main
from rtpverify.commands.discover import as_dict, discover, lines
from rtpverify.errors import RequestError
from rtpverify.live.sap_listener import SapListener
from rtpverify.rtp.sap import PORT, SessionDirectory
from tests.rtp.test_sap import sap, sdp


@pytest.fixture
def announce():
    """Announce over and over on the loopback interface until the test ends."""
    stop = threading.Event()
    threads = []

    def start(*datagrams, group="239.255.255.255"):
        def run():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
                while not stop.wait(0.05):
                    for datagram in datagrams:
                        sock.sendto(datagram, (group, PORT))

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("group", ["239.255.255.255", "224.2.127.254"])
@pytest.mark.parametrize("backend", [None, "asyncio-dgram"])
def test_sessions_are_heard_once_each(announce, group, backend):
    announce(sap(), sap(sdp("other", session=2), identifier=2), b"\0", group=group)
    told = []
    directory = discover(0.4, interface="127.0.0.1", backend=backend, on_found=told.append)
    assert {session.name for session in directory.sessions.values()} >= {"tone", "other"}
    assert len(told) == len(directory.sessions)
    assert directory.discarded["short"] >= 1


def test_command(announce, tmp_path):
    announce(sap())
    path = tmp_path / "sessions.json"
    outcome = CliRunner().invoke(main, ["discover", "--interface", "lo", "--duration", "0.4", "--json", str(path)])
    assert outcome.exit_code == 0
    assert "tone  announced by 192.0.2.7\n  239.1.2.3:5004  L24/48000/2 (97)\n" in outcome.stdout
    data = json.loads(path.read_text())
    assert data["schema"] == "rtpverify.discover/1"
    session = next(item for item in data["sessions"] if item["origin"] == "192.0.2.7" and item["name"] == "tone")
    assert session["media"][0] == {
        "mid": None,
        "destination": "239.1.2.3:5004",
        "senders": [],
        "encodings": {"97": "L24/48000/2"},
        "undecodable": None,
        "ptime_ms": None,
    }
    assert session["warnings"] == []
    assert session["sdp"].encode() == sdp()


def test_an_interface_that_is_not_there_is_named():
    outcome = CliRunner().invoke(main, ["discover", "--interface", "nowhere0", "--duration", "0.1"])
    assert outcome.exit_code == 2
    assert "nowhere0" in outcome.stderr


def test_one_group_that_cannot_be_joined_does_not_stop_the_others():
    with SapListener("lo", groups=("239.255.255.255", "192.0.2.99")) as listener:
        assert listener.refused == {
            "192.0.2.99": "192.0.2.99:9875: address 192.0.2.99 is not on this host through interface lo"
        }
    with (
        pytest.raises(RequestError, match=r"192\.0\.2\.99 is not on this host"),
        SapListener("lo", groups=("192.0.2.99",)),
    ):
        pass


def test_nothing_announced():
    directory = SessionDirectory()
    assert lines(directory) == []
    assert as_dict(directory)["sessions"] == []


def test_names_cannot_steer_a_terminal():
    directory = SessionDirectory()
    directory.take(sap(sdp("\x1b[2Jred")))
    assert lines(directory)[0] == r"\x1b[2Jred  announced by 192.0.2.7"


def test_hints_that_cannot_be_read_are_told_beside_the_session():
    directory = SessionDirectory()
    directory.take(
        sap(sdp() + b"a=ptime:1.08843537415\r\na=framecount:48-768\r\na=mediaclk:soon=\x1b[2J\r\na=rtcp:x\r\n")
    )
    reason = "'x' has port 'x', which is not in 1 to 65535; line ignored"
    assert lines(directory) == [
        "tone  announced by 192.0.2.7",
        "  239.1.2.3:5004  L24/48000/2 (97)",
        f"  warning: announced by 192.0.2.7 as 'tone':11: a=rtcp: {reason}",
    ]
    [session] = as_dict(directory)["sessions"]
    assert len(session["warnings"]) == 1


def test_audio_that_cannot_be_decoded_says_why():
    directory = SessionDirectory()
    directory.take(sap(sdp().replace(b"RTP/AVP", b"RTP/SAVP")))
    directory.take(sap(sdp(session=2).replace(b"L24/48000/2", b"opus/48000/2")))
    assert [line for line in lines(directory) if line.startswith(" ")] == [
        "  239.1.2.3:5004  the payload is encrypted (RTP/SAVP)",
        "  239.1.2.3:5004  payload type 97 (opus/48000/2) is not supported",
    ]
