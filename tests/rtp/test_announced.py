"""What a description says of the packets of one medium, and what of it they contradict."""

import pytest

from rtpverify.rtp.payload import Encoding, parse_rtpmap
from rtpverify.rtp.sdp_formats import Announced
from rtpverify.rtp.sdp_reader import parse_sdp

L24, L16 = Encoding("L24", 48_000, 2), Encoding("L16", 44_100, 1)
ORDER = "a=fmtp:97 channel-order=SMPTE2110.(ST)\n"


def announced(
    types: str = "97", lines: str = "", *, address: str = "239.1.2.3", protocol: str = "RTP/AVP"
) -> Announced:
    text = f"v=0\nc=IN IP4 {address}\nm=audio 5004 {protocol} {types}\na=rtpmap:97 L24/48000/2\n{lines}"
    [medium] = parse_sdp(text, "x").media
    return Announced("x:3", medium)


def said(one: Announced, **packets: object) -> list[str]:
    ours: dict[str, object] = {
        "destination": "239.1.2.3:5004",
        "payload_type": 97,
        "encoding": L24,
        "packet_time_seconds": 0.001,
        "is_leg": False,
        **packets,
    }
    return list(one.contradictions(**ours))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("types", "lines", "payload_type", "encoding"),
    [
        ("97", "", 97, L24),
        ("97", "", 98, L24),  # of a dynamic type that nobody announced, the only one there is
        ("97", "", 95, None),
        ("97 98", "a=rtpmap:98 L16/44100\n", 99, None),
        ("97 98", "a=rtpmap:98 L24/48000/2\n", 99, L24),
        ("97 98", "a=rtpmap:98 opus/48000/2\n", 98, None),
        ("97 0", "", 0, parse_rtpmap("PCMU/8000")),
    ],
)
def test_the_encoding_of_a_payload_type(types: str, lines: str, payload_type: int, encoding: Encoding | None) -> None:
    assert announced(types, lines).encoding(payload_type) == encoding


def test_what_is_known_though_it_may_not_be_decoded() -> None:
    one = announced("97 98 0", "a=rtpmap:98 opus/48000/2\n")
    assert [one.is_known(payload_type) for payload_type in (97, 98, 0, 96, 8)] == [True, True, True, False, False]
    assert announced(protocol="RTP/SAVP").is_known(5)
    assert announced("97 18").is_known(18)
    assert announced("97 18").medium.why_undecodable(18) == "payload type 18: G729 is not supported"
    assert announced("97 18").medium.why_undecodable(99) == "payload type 99: encoding unknown"


@pytest.mark.parametrize(
    ("types", "payload_type", "order"),
    [("97", 97, "SMPTE2110.(ST)"), ("97", 98, "SMPTE2110.(ST)"), ("97 98", 98, None), ("97 98", 99, None)],
)
def test_the_channel_order_of_a_payload_type(types: str, payload_type: int, order: str | None) -> None:
    one = announced(types, ORDER)
    assert one.channel_order(payload_type) == order
    assert one.labels(payload_type, 2) == (["L", "R"] if order else [])
    assert one.labels(payload_type, 1) == []


def test_packets_that_agree_contradict_nothing() -> None:
    assert said(announced(lines=ORDER + "a=ptime:1\n")) == []
    assert said(announced(), encoding=None, packet_time_seconds=None) == []


def test_where_packets_go() -> None:
    elsewhere = {"destination": "239.1.2.4:5004"}
    assert said(announced(), **elsewhere) == ["x:3: announced for 239.1.2.3:5004, packets go to 239.1.2.4:5004"]
    assert said(announced(), **elsewhere, is_leg=True) == []
    assert said(announced(address="0.0.0.0"), **elsewhere) == []  # noqa: S104 - none is bound


def test_which_payload_type_they_have() -> None:
    assert said(announced("97 0"), payload_type=98) == ["x:3: payload type 97, 0 announced, packets have 98"]


def test_how_many_channels_they_have() -> None:
    assert said(announced(lines=ORDER), encoding=Encoding("L24", 48_000, 1)) == [
        "x:3: channel-order SMPTE2110.(ST) does not name 1 channels"
    ]
    assert said(announced(lines=ORDER), encoding=Encoding("L24", 48_000, 4)) == []


@pytest.mark.parametrize(
    ("line", "agrees", "differs", "text"),
    [
        ("a=ptime:1", (47.02, 48.98), (46.99, 49.01), "ptime of 1 ms announced, packets contain "),
        ("a=framecount:48", (47.02, 48.98), (46.99, 49.01), "framecount of 1 ms announced, packets contain "),
        (
            "a=framecount:48-96",
            (47.02, 72, 96.98),
            (46.99, 97.01),
            "framecount of 1 to 2 ms announced, packets contain ",
        ),
    ],
)
def test_how_long_they_are(line: str, agrees: tuple[float, ...], differs: tuple[float, ...], text: str) -> None:
    one = announced(lines=f"{line}\n")
    for frames in agrees:
        assert said(one, packet_time_seconds=frames / 48_000) == []
    for frames in differs:
        [told] = said(one, packet_time_seconds=frames / 48_000)
        assert told == f"x:3: {text}{1000 * frames / 48_000:g} ms"
