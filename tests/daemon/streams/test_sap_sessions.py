"""Which announced sessions are followed; a daemon that follows one over loopback."""

import asyncio
import socket
from types import SimpleNamespace

import pytest
import structlog

from rtpverify.daemon.configuration import AnnouncedTable, parse_config
from rtpverify.daemon.service import Service
from rtpverify.daemon.streams import sap_sessions
from rtpverify.daemon.streams.sap_sessions import AnnouncedSessions
from rtpverify.errors import ConfigurationError
from rtpverify.rtp.sap import PORT, SessionDirectory
from rtpverify.sender.rtp_sender import Sender, StreamSettings
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers.patience import until
from tests.rtp.test_sap import sap, sdp


def table(**values):
    return AnnouncedTable.model_validate({"names": ["tone*"], "reference": "tone:1283", **values})


def announced(*payloads):
    directory = SessionDirectory()
    return [directory.take(sap(payload, identifier=number)) for number, payload in enumerate(payloads)]


def follow(sessions, items, taken=()):
    """Take announcements; return the name and the endpoints of every stream that is to be followed then."""
    for item in items:
        sessions.take(item, taken)
    followed = [stream for streams in sessions.streams.values() for stream in streams]
    return [(stream.name, [str(end) for end in stream.endpoints]) for stream in followed]


def test_sessions_are_picked_by_name():
    sessions = AnnouncedSessions(table(interface="lo"))
    items = announced(sdp("tone 1"), sdp("talk", session=2), sdp("tone/2", session=3))
    assert follow(sessions, items) == [
        ("tone-1", ["rtp://239.1.2.3:5004?interface=lo"]),
        ("tone-2", ["rtp://239.1.2.3:5004?interface=lo"]),
    ]


def test_a_session_is_followed_once_and_a_name_is_borne_once():
    sessions = AnnouncedSessions(table())
    [item] = announced(sdp())
    assert follow(sessions, [item, item], taken=["tone"]) == [("tone-2", ["rtp://239.1.2.3:5004"])]


def test_no_more_streams_than_allowed():
    sessions = AnnouncedSessions(table(max_streams=1))
    first, second = announced(sdp(), sdp("tone 2", session=2))
    assert len(follow(sessions, [first])) == 1
    assert len(follow(sessions, [second])) == 1
    assert list(sessions.refused.values()) == [
        "announced by 192.0.2.7 as 'tone 2': has 1 streams, 0 of max_streams are left"
    ]


def test_a_reference_that_cannot_hold_is_refused_before_anything_arrives():
    sessions = AnnouncedSessions(table(reference="tone:30000"))
    assert follow(sessions, announced(sdp())) == []
    [reason] = sessions.refused.values()
    assert "not below half the sample rate" in reason


def test_a_session_that_is_announced_anew_keeps_its_name_and_one_with_another_name_goes():
    sessions = AnnouncedSessions(table())
    directory = SessionDirectory()
    first, moved, renamed = (
        directory.take(sap(text, identifier=number))
        for number, text in enumerate((sdp("tone 1"), sdp("tone 1").replace(b"239.1.2.3", b"239.1.2.4"), sdp("talk")))
    )
    assert follow(sessions, [first]) == [("tone-1", ["rtp://239.1.2.3:5004"])]
    assert follow(sessions, [moved], taken=["tone-1"]) == [("tone-1", ["rtp://239.1.2.4:5004"])]
    assert follow(sessions, [renamed]) == []


def test_a_session_that_its_source_withdraws_goes_and_one_that_ceases_stays(monkeypatch):
    directory, waiting = SessionDirectory(), []

    def drain():
        taken = [directory.take(datagram) for datagram in waiting]
        waiting.clear()
        return [item for item in taken if item]

    listener = SimpleNamespace(directory=directory, drain=drain)
    monkeypatch.setattr(sap_sessions, "SapListener", lambda *_: listener)
    sessions = AnnouncedSessions(table())
    waiting += [sap(sdp("tone 1"), identifier=1), sap(sdp("tone 2", session=2), identifier=2)]
    assert [one.name for streams in sessions.hear([]).values() for one in streams] == ["tone-1", "tone-2"]
    assert len(sessions.hear(["tone-1", "tone-2"])) == 2
    waiting.append(sap(sdp("tone 1"), identifier=1, deletes=True))
    assert [one.name for streams in sessions.hear(["tone-1", "tone-2"]).values() for one in streams] == ["tone-2"]


def test_a_name_without_letters_gets_one():
    assert follow(AnnouncedSessions(table(names=["*"])), announced(sdp("…")))[0][0] == "session"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[announced]\nnames = []\nreference = 'none'\n", "c.toml:2: announced.names = []"),
        ("[announced]\nnames = ['*']\n", "c.toml:1: announced.reference: is missing"),
        ("[announced]\nnames = ['*']\nreference='none'\nmax_streams = 0\n", "c.toml:4: announced.max_streams = 0"),
        ("[announced]\nnames = ['*']\nreference='none'\nlimits.max_x = 0\n", "c.toml:4: announced.limits.max_x = 0"),
        ("", "c.toml: stream: is missing"),
    ],
)
def test_mistakes_of_the_table_name_the_place(text, mistake, tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        parse_config(text, tmp_path / "c.toml")
    assert mistake in str(caught.value)


SESSION = (
    b"v=0\no=- %d 1 IN IP4 127.0.0.1\ns=bench %d\nt=0 0\na=group:DUP 1 2\n"
    b"m=audio %d RTP/AVP 97\nc=IN IP4 127.0.0.1\na=rtpmap:97 L24/48000/2\na=mid:1\n"
    b"m=audio %d RTP/AVP 97\nc=IN IP4 127.0.0.1\na=rtpmap:97 L24/48000/2\na=mid:2\n"
)


@pytest.mark.parametrize("backend", ["recvmmsg", "asyncio-dgram"])
async def test_the_daemon_follows_a_session_of_two_legs_once_it_is_announced(tmp_path, backend):
    ports = []
    for _ in range(2):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    name = f"bench-{ports[0]}"
    configuration = parse_config(
        f"""
        [metrics]
        listen = "127.0.0.1:0"
        [receive]
        backend = "{backend}"
        [announced]
        names = ["bench {ports[0]}*"]  # others may announce theirs to the same group
        interface = "lo"
        reference = "tone:1283"
        limits.max_stall_seconds = 60  # a busy machine may hold the sender up
        """,
        tmp_path / "c.toml",
    )
    stop = asyncio.Event()
    async with Service(configuration, structlog.get_logger().bind()) as service:
        running = asyncio.create_task(service.run(stop))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            for _ in range(100):
                sock.sendto(sap(SESSION % (ports[0], ports[0], *ports)), ("239.255.255.255", PORT))
                await asyncio.sleep(0.1)
                if name in service.states:
                    break
        to = [StreamSettings(Endpoint("127.0.0.1", port), ssrc=1, sequence=5, timestamp=9) for port in ports]
        with Sender(to, duration_seconds=0.5) as sender:
            sender.start()
            while not await asyncio.to_thread(sender.wait, 0.1):
                pass
        state = service.states[name]
        await until(lambda: [leg.packets["received"] for leg in state.snapshot.legs] == [500, 500])
        stop.set()
        result = await running
    assert list(service.states) == [name]
    [stream] = result.streams
    assert (stream.transport.packets_received, stream.transport.packets_duplicated) == (500, 0)
    assert [leg.packets_received for leg in stream.legs] == [500, 500]
    assert {str(event.kind) for event in stream.events} <= {"ended"}  # where a second went by since
