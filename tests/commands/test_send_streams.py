"""``send``: several streams, legs, reports, descriptions and the truth, against ``check`` in the same process."""

import json
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from rtpverify.commands.check import check
from rtpverify.commands.send import Extras, send
from rtpverify.errors import RequestError
from rtpverify.limits import Limits, with_values
from rtpverify.rtp.payload import FORMATS, parse_rtpmap
from rtpverify.rtp.sap import PORT, parse_sap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers.command import refused
from tests.helpers.patience import PATIENCE_SECONDS

OPTIONS = {
    "frequency": "1283",
    "level_dbfs": -20.0,
    "noise_dbfs": None,
    "dither": "none",
    "seed": 0,
    "faults": (),
    "file": None,
    "loop": False,
    "last_packet": None,
    "encoding": None,
    "payload_type": 97,
    "packet_time": None,
    "ssrc": None,
    "ttl": 1,
    "duration": 0.5,
}


def port_pair():
    """Return a free port that is even, with the next one free as well."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            if port % 2 or port > 65000:
                continue
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def received(source, then, **options):
    """Check a source, and run something once its sockets are bound."""
    listening = threading.Event()
    thread = threading.Thread(target=lambda: listening.wait(PATIENCE_SECONDS) and then())
    thread.start()
    unhurried = with_values(Limits(), {"max_stall_seconds": 60, "reorder_window_seconds": 5}, "test")
    usual = {"until_end": True, "wait_seconds": PATIENCE_SECONDS, "reference": parse_reference("tone:1283")}
    options = usual | {"limits": unhurried} | options
    result = check(source, on_listening=lambda _: listening.set(), **options)
    thread.join()
    return result


def written(path):
    return json.loads(path.read_text())["streams"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_encoding_is_sent(name):
    port = port_pair()
    encoding = f"{name}/48000/2"
    result = received(
        f"rtp://127.0.0.1:{port}",
        lambda: send(f"rtp://127.0.0.1:{port}", **OPTIONS | {"encoding": encoding, "duration": 0.3}),
        encoding=parse_rtpmap(encoding),
    )
    assert (str(result.verdict), result.streams[0].encoding) == ("pass", name)


def test_what_check_finds_is_the_truth(tmp_path):
    port = port_pair()
    faults = ("loss:at=0.1,packets=3", "slip:at=0.25,frames=48", "click:per_second=4,size=0.01,channel=2")
    result = received(
        f"rtp://127.0.0.1:{port}",
        lambda: send(
            f"rtp://127.0.0.1:{port}",
            **OPTIONS | {"faults": faults, "seed": 3},
            extras=Extras(truth_to=tmp_path / "truth.json"),
        ),
        encoding=parse_rtpmap("L24/48000/2"),
    )
    [stream] = written(tmp_path / "truth.json")
    found = [(str(event.kind), event.start_frame, event.channel, event.packets) for event in result.streams[0].events]
    made = [
        (event["kind"], event["start_frame"], event["channel"], tuple(event["packets"])) for event in stream["events"]
    ]
    assert len(made) >= 3
    assert found == made
    assert stream["ssrc"] == f"0x{result.streams[0].ssrc:08x}"


def test_many_streams_by_their_description(tmp_path):
    port = port_pair()
    extras = Extras(streams=3, sdp_to=tmp_path / "many.sdp", truth_to=tmp_path / "truth.json")
    settings = OPTIONS | {"faults": ("loss:at=0.2,packets=2,stream=2",), "ssrc": 0x10}
    send(f"rtp://127.0.0.1:{port}", **settings | {"duration": 0.01, "faults": ()}, extras=extras)
    result = received(str(tmp_path / "many.sdp"), lambda: send(f"rtp://127.0.0.1:{port}", **settings, extras=extras))
    assert sorted(stream.destination for stream in result.streams) == [
        f"127.0.0.1:{port + 2 * number}" for number in range(3)
    ]
    by_ssrc = {stream.ssrc: [str(event.kind) for event in stream.events] for stream in result.streams}
    assert by_ssrc == {0x10: [], 0x11: ["gap"], 0x12: []}
    assert [len(stream["events"]) for stream in written(tmp_path / "truth.json")] == [0, 1, 0]


def test_two_legs_are_one_stream_and_only_what_both_lose_is_lost(tmp_path):
    one, two = port_pair(), port_pair()
    extras = Extras(
        second_destination=f"rtp://127.0.0.1:{two}",
        sdp_to=tmp_path / "legs.sdp",
        truth_to=tmp_path / "truth.json",
    )
    faults = ("loss:at=0.1,packets=10,leg=1", "loss:at=0.106,packets=10,leg=2", "loss:at=0.3,packets=5,leg=2")
    settings = OPTIONS | {"faults": faults}
    send(f"rtp://127.0.0.1:{one}", **settings | {"duration": 0.01, "faults": ()}, extras=extras)
    result = received(str(tmp_path / "legs.sdp"), lambda: send(f"rtp://127.0.0.1:{one}", **settings, extras=extras))
    [stream] = result.streams
    [made] = written(tmp_path / "truth.json")
    assert [(event["kind"], event["start_frame"], event["duration_frames"]) for event in made["events"]] == [
        ("gap", 106 * 48, 4 * 48)
    ]
    assert [(str(event.kind), event.start_frame, event.duration_frames) for event in stream.events] == [
        ("gap", 106 * 48, 4 * 48)
    ]
    assert [leg.packets_lost for leg in stream.legs] == [10, 15]


def test_reports_and_goodbye():
    port = port_pair()
    with socket.socket(type=socket.SOCK_DGRAM) as rtcp:
        rtcp.bind(("127.0.0.1", port + 1))
        rtcp.settimeout(PATIENCE_SECONDS)
        settings = OPTIONS | {"duration": 0.8, "ssrc": 0x77}
        send(f"rtp://127.0.0.1:{port}", **settings, extras=Extras(rtcp=True))
        report, goodbye = rtcp.recv(2000), rtcp.recv(2000)
    kind, ssrc, ntp, _, packets, octets = struct.unpack_from(">xBxxIQIII", report)
    assert (kind, ssrc) == (200, 0x77)
    assert abs(ntp / 2**32 - 2_208_988_800 - time.time()) < 3600
    assert 100 < packets <= 800
    assert octets == 288 * packets
    assert b"\xcb" in goodbye


def test_announced_while_it_lasts():
    with socket.socket(type=socket.SOCK_DGRAM) as heard:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        heard.bind(("", PORT))
        membership = socket.inet_aton("224.2.127.254") + socket.inet_aton("127.0.0.1")
        try:
            heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        except OSError as error:
            pytest.skip(f"no multicast here: {error}")
        heard.settimeout(PATIENCE_SECONDS)
        send(f"rtp://127.0.0.1:{port_pair()}", **OPTIONS | {"duration": 0.05}, extras=Extras(sap=True, streams=2))
        messages = [parse_sap(heard.recv(4000)) for _ in range(4)]
    assert [(message.origin, message.deletes) for message in messages] == [
        ("127.0.0.1", False),
        ("127.0.0.1", False),
        ("127.0.0.1", True),
        ("127.0.0.1", True),
    ]
    assert "a=rtpmap:97 L24/48000/2" in messages[0].text
    assert messages[0].identifier == messages[2].identifier != messages[1].identifier


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--second-destination", "rtp://127.0.0.1:5004"], "is the first destination"),
        (["--second-destination", "127.0.0.1"], "--second-destination: '127.0.0.1' does not start with rtp://"),
        (["rtp://127.0.0.1:65100", "--streams", "256"], "--streams: 219 streams from 127.0.0.1:65100 on have no place"),
        (["rtp://127.0.0.1:5004", "--fault", "loss:at=1,packets=1,stream=2"], "stream=2 is not a number from 1"),
    ],
)
def test_mistakes(options, reason):
    assert reason in refused("send", *options, "--duration", "0.1")


def test_the_truth_may_go_to_standard_output(capsys):
    settings = OPTIONS | {"duration": 0.1, "faults": ("loss:at=0.05,packets=1",)}
    send(f"rtp://127.0.0.1:{port_pair()}", **settings, extras=Extras(truth_to=Path("-")))
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == "rtpverify.truth/1"
    assert "pacing: half of the packets within" in err


def test_addresses_beyond_the_last_are_refused():
    with pytest.raises(RequestError, match="have no place"):
        send("rtp://239.255.255.255:5004", **OPTIONS, extras=Extras(streams=2))
