"""Session descriptions as text."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.errors import ConfigurationError
from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.sdp import Connection, Media, MediaClock, ReferenceClock, SessionDescription, SourceFilter
from rtpverify.rtp.sdp_reader import MAX_WARNINGS, parse_sdp, sdp_text

STUDIO = """v=0
o=- 1423986 1423994 IN IP4 192.0.2.7
s=Studio A: main mix
c=IN IP4 239.1.2.3/32
t=0 0
a=clock-domain:PTPv2 0
m=audio 5004 RTP/AVP 98
i=Channels 1-8
a=rtpmap:98 L24/48000/8
a=fmtp:98 channel-order=SMPTE2110.(ST,51); measuredsamplerate=48000
a=source-filter: incl IN IP4 239.1.2.3 192.0.2.7
a=recvonly
a=ptime:0.12
a=ts-refclk:ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:37
a=mediaclk:direct=963214424
"""

TWO_LEGS = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=-
t=0 0
a=group:DUP primary secondary
a=ts-refclk:ptp=IEEE1588-2008:traceable
a=mediaclk:direct=0
m=audio 5004 RTP/AVP 96
c=IN IP4 239.1.2.3/64
a=rtpmap:96 L16/48000/2
a=framecount:48
a=source-filter: incl IN IP4 * 192.0.2.7 192.0.2.8
a=mid:primary
m=audio 5006/2 RTP/AVP 96 97 10
c=IN IP6 ff15::1:2
a=rtpmap:96 AM824/48000/2
a=rtpmap:97 opus/48000/2
a=mid:secondary
a=ts-refclk:localmac=02-00-5E-00-53-01
m=video 0 udp whatever
"""


def test_an_aes67_description() -> None:
    session = parse_sdp(STUDIO, "studio.sdp")
    (medium,) = session.audio
    encoding = Encoding("L24", 48000, 8)
    assert session.name == "Studio A: main mix"
    assert medium.destination == "239.1.2.3:5004"
    assert medium.connection == Connection("239.1.2.3", 32)
    assert medium.encodings == {98: encoding}
    assert medium.channel_order(98) == "SMPTE2110.(ST,51)"
    assert medium.channel_order(99) is None
    assert medium.format_parameters[98]["measuredsamplerate"] == "48000"
    assert medium.source_filters == [SourceFilter(True, "239.1.2.3", ("192.0.2.7",))]
    assert medium.senders == ("192.0.2.7",)
    assert medium.ptime_ms == 0.12
    assert medium.packet_frames(encoding) == (6, 6)
    assert medium.reference_clocks == [ReferenceClock("ptp", "IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:37")]
    assert not medium.reference_clocks[0].traceable
    assert medium.media_clock == MediaClock("direct", 963214424)
    assert session.duplicates == []
    assert session.warnings == []


def test_two_legs_and_what_holds_for_the_session() -> None:
    session = parse_sdp(TWO_LEGS.replace("\n", "\r\n"), "legs.sdp")
    first, second = session.audio
    assert session.duplicates == [("primary", "secondary")]
    assert session.medium("secondary") is second
    assert session.others == ["video"]
    assert session.warnings == [
        "legs.sdp:14: m=: 'audio 5006/2 RTP/AVP 96 97 10' names several ports; only the first is read"
    ]
    assert first.senders == ("192.0.2.7", "192.0.2.8")
    assert first.packet_frames(first.encodings[96]) == (48, 48)
    assert first.reference_clocks == [ReferenceClock("ptp", "IEEE1588-2008:traceable")]
    assert first.reference_clocks[0].traceable
    assert first.media_clock == second.media_clock == MediaClock("direct", 0)
    assert second.destination == "[ff15::1:2]:5006"
    assert second.connection == Connection("ff15::1:2")
    assert second.senders == ()
    assert second.encodings == {96: Encoding("AM824", 48000, 2), 10: Encoding("L16", 44100, 2)}
    assert second.rtpmaps[97] == "opus/48000/2"
    assert second.reference_clocks == [ReferenceClock("localmac", "02-00-5E-00-53-01")]
    assert second.packet_frames(second.encodings[96]) is None


def test_what_ffmpeg_writes() -> None:
    text = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:libavformat\r\n"
    text += "m=audio 5004 RTP/AVP 97\r\nb=AS:1536\r\na=rtpmap:97 L16/48000/2\r\n\r\n"
    (medium,) = parse_sdp(text, "ffmpeg.sdp").audio
    assert medium.encodings == {97: Encoding("L16", 48000, 2)}
    assert medium.destination == "127.0.0.1:5004"


def test_a_filter_for_another_destination_or_that_excludes_names_no_sender() -> None:
    text = STUDIO.replace("incl IN IP4 239.1.2.3", "incl IN IP4 239.9.9.9")
    assert parse_sdp(text, "x").audio[0].senders == ()
    text = STUDIO.replace("incl IN IP4", "excl IN IP4")
    medium = parse_sdp(text, "x").audio[0]
    assert medium.senders == ()
    assert not medium.source_filters[0].include


@pytest.mark.parametrize("clock", ["ntp=/traceable/", "gps", "ptp=IEEE1588-2019:traceable", "private:traceable"])
def test_clocks_that_are_traceable(clock: str) -> None:
    text = STUDIO.replace("ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:37", clock)
    found = parse_sdp(text, "x").audio[0].reference_clocks[0]
    assert found.traceable == (clock != "private:traceable")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("sender", MediaClock("sender", None)), ("id=src:00:02 direct=7 rate=48000", MediaClock("direct", 7))],
)
def test_media_clocks(text: str, expected: MediaClock) -> None:
    assert parse_sdp(STUDIO.replace("direct=963214424", text), "x").audio[0].media_clock == expected


# What a line that cannot be read costs: (what is replaced, by what, the warning, what is read otherwise of the medium).
HINTS = [
    ("s=Studio", "Studio", "3: 'Studio A: main mix' is not TYPE=VALUE", {}),
    ("s=Studio", "é=Studio", "3: 'é=Studio A: main mix' is not TYPE=VALUE", {}),
    ("AVP 98", "AVP 98 L24", "7: m=: 'audio 5004 RTP/AVP 98 L24' does not name payload types from 0 to 127 alone", {}),
    ("RTP/AVP 98", "RTP/AVP", "7: m=: 'audio 5004 RTP/AVP' does not name payload types", {"payload_types": ()}),
    ("audio 5004", "audio 5004/3", "7: m=: 'audio 5004/3 RTP/AVP 98' names several ports; only the first is read", {}),
    (
        "239.1.2.3/32",
        "239.1.2.3/999",
        "4: c=: 'IN IP4 239.1.2.3/999' has '999' after the address, which is neither a TTL",
        {"connection": Connection("239.1.2.3")},
    ),
    (
        "239.1.2.3/32",
        "239.1.2.3/32/3",
        "4: c=: 'IN IP4 239.1.2.3/32/3' names several addresses; only the first is read",
        {},
    ),
    (
        "c=IN IP4",
        "c=IN IP6",
        "4: c=: 'IN IP6 239.1.2.3/32' is not IN IP4 ADDRESS; the address is used",
        {},
    ),
    ("c=IN IP4", "c=ATM IP4", "4: c=: 'ATM IP4 239.1.2.3/32' is not IN IP4 ADDRESS", {}),
    ("c=IN IP4", "c=IP4", "4: c=: 'IP4 239.1.2.3/32' is not IN IP4 ADDRESS", {}),
    ("t=0 0", "c=IN IP4 239.9.9.9", "5: c=: 'IN IP4 239.9.9.9' is a second address; 239.1.2.3 stays", {}),
    ("98 L24/48000/8", "98 L24", "9: a=rtpmap: '98 L24' is not PAYLOAD-TYPE NAME/RATE", {"encodings": {}}),
    ("98 L24/48000/8", "998 L24/48000/8", "9: a=rtpmap: '998 L24/48000/8' has payload type '998'", {"encodings": {}}),
    ("98 L24/48000/8", "98 L24/48000/0", "9: a=rtpmap: 'L24/48000/0': channel count 0", {"encodings": {}}),
    ("98 L24/48000/8", "98 L20/48000/1", "9: a=rtpmap: 'L20/48000/1': a frame", {"encodings": {}}),
    ("98 L24/48000/8", "98 L24/48000/8 or so", "9: a=rtpmap: '98 L24/48000/8 or so' continues after 'L24/48000/8'", {}),
    (
        "a=recvonly",
        "a=rtpmap:98 L16/48000",
        "12: a=rtpmap: '98 L16/48000' is a second rtpmap of payload type 98; L24/48000/8 stays",
        {},
    ),
    (
        "a=recvonly",
        "a=rtpmap:99 L16/48000",
        "12: a=rtpmap: '99 L16/48000' is of payload type 99, which the m= line does not name",
        {"encodings": {98: Encoding("L24", 48000, 8), 99: Encoding("L16", 48000, 1)}},
    ),
    ("t=0 0", "a=rtpmap:98 L16/48000", "5: a=rtpmap: '98 L16/48000' comes before the first m= line", {}),
    ("a=fmtp:98", "a=fmtp:x", "10: a=fmtp: 'x channel-order", {"format_parameters": {}}),
    ("ptime:0.12", "ptime:0", "13: a=ptime: '0' is not a packet time", {"ptime_ms": None}),
    ("ptime:0.12", "ptime:1ms", "13: a=ptime: '1ms' is not a packet time", {"ptime_ms": None}),
    ("ptime:0.12", "ptime:0,12", "13: a=ptime: '0,12' is not a packet time", {"ptime_ms": None}),
    ("ptime:0.12", "framecount:0", "13: a=framecount: '0' has frame count '0'", {"ptime_ms": None}),
    (
        "ptime:0.12",
        "framecount:768-48",
        "13: a=framecount: '768-48' has frame count '48', which is not in 768",
        {"ptime_ms": None},
    ),
    (
        "incl IN IP4 239.1.2.3 192.0.2.7",
        "incl IN IP4 239.1.2.3",
        "11: a=source-filter: 'incl IN IP4",
        {"source_filters": []},
    ),
    ("incl IN IP4 239.1.2.3", "only IN IP4 239.1.2.3", "11: a=source-filter: 'only IN IP4", {"source_filters": []}),
    (
        "239.1.2.3 192.0.2.7",
        "239.1.2.3 192.0.2",
        "11: a=source-filter: 'incl IN IP4 239.1.2.3 192.0.2' has '192.0.2'",
        {"source_filters": []},
    ),
    (
        "239.1.2.3 192.0.2.7",
        "239.1.2.3 desk",
        "11: a=source-filter: 'incl IN IP4 239.1.2.3 desk' has 'desk'",
        {"source_filters": []},
    ),
    (
        "ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:37",
        "ptp",
        "14: a=ts-refclk: 'ptp' is not a reference",
        {"reference_clocks": []},
    ),
    ("direct=963214424", "direct=now", "15: a=mediaclk: 'direct=now' has offset 'now'", {"media_clock": None}),
    ("direct=963214424", "", "15: a=mediaclk: '' is not a media clock", {"media_clock": None}),
    ("a=recvonly", "a=rtcp:x", "12: a=rtcp: 'x' has port 'x'", {}),
    ("a=recvonly", "a=ssrc-group:DUP 1000", "12: a=ssrc-group: 'DUP 1000' does not name two SSRCs", {}),
    ("a=recvonly", "a=ssrc-group:DUP 7 7", "12: a=ssrc-group: 'DUP 7 7' does not name two SSRCs", {}),
    ("a=recvonly", "a=ssrc-group:DUP 7 x", "12: a=ssrc-group: 'DUP 7 x' has SSRC 'x'", {}),
    ("a=recvonly", f"a=ssrc-group:DUP 7 {2**32}", f"12: a=ssrc-group: 'DUP 7 {2**32}' has SSRC", {}),
    ("v=0", "SDP:\nv=0", "1: 'SDP:': 1 line before v=0 ignored", {"line": 8}),
    ("v=0", "v=1", "1: v=: '1' is not 0", {}),
    ("v=0", "hello=0", "1: starts with 'hello=0', not 'v=0'", {}),
]


@pytest.mark.parametrize(("old", "new", "warning", "otherwise"), HINTS)
def test_a_line_that_cannot_be_read_costs_itself_alone(
    old: str, new: str, warning: str, otherwise: dict[str, object]
) -> None:
    (whole,) = parse_sdp(STUDIO, "x.sdp").audio
    session = parse_sdp(STUDIO.replace(old, new, 1), "x.sdp")
    (medium,) = session.audio
    assert any(text.startswith(f"x.sdp:{warning}") for text in session.warnings), session.warnings
    assert not any("\n" in text for text in session.warnings)
    assert medium == replace(whole, **otherwise) or "rtpmap" in warning
    assert medium.encodings == otherwise.get("encodings", whole.encodings)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.08843537415", 1.08843537415),
        ("0.333333333333", 0.333333333333),
        (".125", 0.125),
        ("20.", 20.0),
        ("1000", 1e3),
    ],
)
def test_a_packet_time_has_as_many_digits_as_its_sender_likes(value: str, expected: float) -> None:
    session = parse_sdp(STUDIO.replace("ptime:0.12", f"ptime:{value}"), "x.sdp")
    assert (session.audio[0].ptime_ms, session.warnings) == (expected, [])


@pytest.mark.parametrize(("value", "expected"), [("48", (48, 48)), ("48-768", (48, 768)), ("64-192", (64, 192))])
def test_frame_counts_are_one_number_or_a_range(value: str, expected: tuple[int, int]) -> None:
    session = parse_sdp(STUDIO.replace("ptime:0.12", f"framecount:{value}"), "x.sdp")
    (medium,) = session.audio
    assert (medium.framecount, session.warnings) == (expected, [])
    assert medium.packet_frames(medium.encodings[98]) == expected


def test_what_cannot_be_received_is_left_out_alone() -> None:
    lines = [
        "m=audio 0 RTP/AVP 0",
        "m=audio 70000 RTP/AVP 0",
        "m=audio",
        "m=audio 5010 udp wb",
        "m=audio 5012 TCP/RTP 0",
    ]
    lines += ["m=audio 5014 RTP/AVP 0"]
    session = parse_sdp(STUDIO + "\n".join(lines), "x.sdp")
    assert [medium.port for medium in session.audio] == [5004, 5014]
    assert session.warnings == [
        "x.sdp:16: m=: 'audio 0 RTP/AVP 0' has port 0, which means that this medium is not in use; medium ignored",
        "x.sdp:17: m=: 'audio 70000 RTP/AVP 0' has port '70000', which is not in 0 to 65535; medium ignored",
        "x.sdp:18: m=: 'audio' is not audio PORT PROTOCOL FORMAT...; medium ignored",
        "x.sdp:19: m=: 'audio 5010 udp wb' has protocol 'udp', which is not RTP over UDP; medium ignored",
        "x.sdp:20: m=: 'audio 5012 TCP/RTP 0' has protocol 'TCP/RTP', which is not RTP over UDP; medium ignored",
    ]


def test_an_address_that_is_none_costs_the_media_that_go_there() -> None:
    text = STUDIO.replace("239.1.2.3/32", "desk.example.com")
    reason = "x.sdp:4: c=: 'IN IP4 desk.example.com' holds no IP address; it would be IN IP4 ADDRESS or IN IP6 ADDRESS"
    session = parse_sdp(text, "x.sdp")
    assert (session.audio, session.media[0].unusable, session.warnings) == ([], reason, [f"{reason}; medium ignored"])
    session = parse_sdp(text + "c=IN IP4 239.1.2.4\n", "x.sdp")
    assert (session.audio[0].destination, session.warnings) == ("239.1.2.4:5004", [f"{reason}; line ignored"])
    session = parse_sdp(STUDIO.replace("c=IN IP4 239.1.2.3/32\n", ""), "x.sdp")
    assert session.media[0].unusable == "x.sdp:6: no c= line says where this medium goes"


OTHER_MEDIA = [
    "m=application/TP-LINK 0 RTP/AVP smart/1/90000\na=rtpmap:95 TP-LINK/90000",
    "m=application 0 RTP/AVP 98\na=rtpmap:98 MetaData",
    "m=application 30000 UDP/FEC\nc=IN IP4 239.1.2.4/32",
    "m=video 5006 RTP/AVP 97\na=ptime:0\na=framecount:0\na=ts-refclk:\nc=IN IP4 nowhere",
    "m=video",
    "m=",
    "m=text 70000 RTP/AVP x",
]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("other", OTHER_MEDIA)
def test_media_that_are_not_audio_are_not_read(other: str, first: bool) -> None:
    place = STUDIO.index("m=") if first else len(STUDIO)
    session = parse_sdp(f"{STUDIO[:place]}{other}\n{STUDIO[place:]}", "x.sdp")
    (medium,) = session.audio
    (whole,) = parse_sdp(STUDIO, "x.sdp").audio
    assert replace(medium, line=whole.line) == whole
    assert session.warnings == []


def test_a_folded_line_of_another_medium_is_passed_over() -> None:
    session = parse_sdp(STUDIO + "m=video 5006 RTP/AVP 97\na=fmtp:97 width=1920;\n  height=1080; depth=10\n", "x.sdp")
    assert len(session.audio) == 1
    assert [warning.partition(" is not")[0] for warning in session.warnings] == ["x.sdp:18: 'height=1080; depth=10'"]


def test_what_cannot_be_read_at_all() -> None:
    with pytest.raises(ConfigurationError, match=r"^x\.sdp:1: no session description: starts with 'hello', not 'v=0'$"):
        parse_sdp("hello", "x.sdp")
    with pytest.raises(ConfigurationError, match=r"^x\.sdp: no m= line$"):
        parse_sdp(STUDIO[: STUDIO.index("m=")], "x.sdp")


def test_what_protocols_and_programs_put_around_a_description() -> None:
    reply = "RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n\r\n"
    session = parse_sdp(reply + STUDIO, "x.sdp")
    assert len(session.audio) == 1
    assert session.warnings == ["x.sdp:1: 'RTSP/1.0 200 OK': 3 lines before v=0 ignored"]
    session = parse_sdp(STUDIO + TWO_LEGS, "x.sdp")
    assert len(session.audio) == 1
    assert session.warnings == ["x.sdp:16: another session description begins here; it is ignored"]


def test_groups_name_media_that_are_there() -> None:
    session = parse_sdp(TWO_LEGS.replace("DUP primary secondary", "DUP primary"), "legs.sdp")
    assert session.duplicates == []
    assert session.warnings[-1] == "legs.sdp:5: a=group: 'DUP primary' does not name two media; line ignored"
    session = parse_sdp(TWO_LEGS.replace("DUP primary secondary", "DUP primary third secondary"), "legs.sdp")
    assert session.duplicates == [("primary", "secondary")]
    assert "names 'third', but no medium has that a=mid" in session.warnings[-1]
    lip_sync = parse_sdp(TWO_LEGS.replace("DUP primary secondary", "LS 1 2"), "legs.sdp")
    assert lip_sync.duplicates == []
    video = parse_sdp(TWO_LEGS.replace("DUP primary secondary", "DUP v1 v2") + "a=mid:v1\nm=video 0 x\na=mid:v2", "x")
    assert (video.duplicates, video.others) == ([("v1", "v2")], ["video", "video"])


def test_warnings_are_bounded_and_short() -> None:
    session = parse_sdp(STUDIO + "a=ptime:x\n" * 5000 + "a=ptime:" + "x" * 60_000, "x.sdp")
    assert len(session.warnings) == MAX_WARNINGS + 1
    assert session.warnings[-1] == f"x.sdp: {5001 - MAX_WARNINGS} further lines could not be read"
    for count in (MAX_WARNINGS - 1, MAX_WARNINGS):
        assert len(parse_sdp(STUDIO + "a=ptime:x\n" * count, "x.sdp").warnings) == count
    one_more = parse_sdp(STUDIO + "a=ptime:x\n" * (MAX_WARNINGS + 1), "x.sdp").warnings
    assert one_more[-1] == "x.sdp: 1 further lines could not be read"
    [warning] = parse_sdp(STUDIO + "a=ptime:" + "\x1b" * 60_000, "x.sdp").warnings
    assert len(warning) < 500
    assert warning.isprintable()


MEANINGLESS = st.sampled_from(
    [
        "a=ptime:",
        "a=framecount:",
        "a=source-filter:",
        "a=ts-refclk:",
        "a=mediaclk:direct=",
        "a=rtcp:",
        "a=ssrc-group:DUP ",
        "a=group:DUP ",
        "",
        "?=",
        "A=",
    ]
)
GARBLE = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20).map(lambda text: "§" + text)
NEUTRAL = [field.name for field in fields(Media) if field.name != "line"]


def neutral(session: SessionDescription) -> list[list[object]]:
    return [[getattr(medium, name) for name in NEUTRAL] for medium in session.audio]


@given(
    start=MEANINGLESS, garble=GARBLE, at=st.integers(1, STUDIO.count("\n")), end=st.sampled_from(["\n", "\r\n", "\r"])
)
def test_a_garbled_hint_anywhere_is_named_and_nothing_else_changes(start: str, garble: str, at: int, end: str) -> None:
    rows = STUDIO.splitlines()
    session = parse_sdp(end.join([*rows[:at], start + garble, *rows[at:]]), "x.sdp")
    assert neutral(session) == neutral(parse_sdp(STUDIO, "x.sdp"))
    [warning] = set(session.warnings)
    assert warning.startswith(f"x.sdp:{at + 1}: ")
    assert "§" in warning


@given(
    text=st.sampled_from([STUDIO, TWO_LEGS]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    trail=st.sampled_from(["", " ", "\t  "]),
    indent=st.sampled_from(["", "    "]),
    mark=st.sampled_from(["", "\ufeff"]),
    blank=st.integers(0, 12),
    tail=st.sampled_from(["", "\n\n", "\0", " \r\n"]),
)
def test_the_way_lines_are_written_changes_nothing(
    text: str, end: str, trail: str, indent: str, mark: str, blank: int, tail: str
) -> None:
    rows = [indent + row + trail for row in text.splitlines()]
    session = parse_sdp(mark + end.join([*rows[:blank], "", *rows[blank:]]) + tail, "x.sdp")
    plain = parse_sdp(text, "x.sdp")
    assert (session.name, session.duplicates, session.others) == (plain.name, plain.duplicates, plain.others)
    assert neutral(session) == neutral(plain)
    assert len(session.warnings) == len(plain.warnings)


def test_a_second_packet_time_is_named() -> None:
    session = parse_sdp(STUDIO + "a=ptime:0.12\na=ptime:1\n", "x.sdp")
    assert session.audio[0].ptime_ms == 0.12
    assert session.warnings == ["x.sdp:17: a=ptime: '1' is a second packet time; 0.12 ms stays; line ignored"]


def test_a_sender_that_may_encrypt_is_told_once_and_its_keys_never() -> None:
    keys = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET\na=crypto:2 x inline:SECRET\na=fingerprint:SECRET\n"
    session = parse_sdp(STUDIO + keys, "x.sdp")
    assert session.warnings == [
        "x.sdp:16: the medium of line 7 comes with keys: if the sender encrypts, its audio cannot be decoded"
    ]
    (medium,) = session.audio
    assert not medium.is_encrypted
    assert medium.is_decodable
    assert parse_sdp((STUDIO + keys).replace("RTP/AVP", "RTP/SAVP"), "x.sdp").warnings == []


def test_text_of_old_senders() -> None:
    assert sdp_text("s=Bühne".encode()) == sdp_text("s=Bühne".encode("latin-1")) == "s=Bühne"


def read_or_reject(text: str) -> None:
    try:
        session = parse_sdp(text, "x.sdp")
    except ConfigurationError:
        return
    for medium in session.media:
        assert isinstance(medium.senders, tuple)
        assert 0 <= medium.port < 65536


@pytest.mark.parametrize("text", [STUDIO, TWO_LEGS])
def test_every_prefix_is_read_or_rejected(text: str) -> None:
    for length in range(len(text)):
        read_or_reject(text[:length])


@given(text=st.text(), at=st.integers(0, len(TWO_LEGS)), count=st.integers(0, 30))
def test_any_text_is_read_or_rejected(text: str, at: int, count: int) -> None:
    read_or_reject(text)
    read_or_reject("v=0\n" + text)
    read_or_reject(TWO_LEGS[:at] + text + TWO_LEGS[at + count :])


@pytest.mark.parametrize(
    ("lines", "port"),
    [([], None), (["a=rtcp:53020"], 53020), (["a=rtcp:9 IN IP4 192.0.2.1"], 9), (["a=rtcp-mux", "a=rtcp:9"], 5004)],
)
def test_where_rtcp_goes(lines, port):
    text = "\n".join(["v=0", "c=IN IP4 239.1.2.3", "m=audio 5004 RTP/AVP 97", "a=rtpmap:97 L16/48000", *lines])
    assert parse_sdp(text, "x.sdp").audio[0].rtcp_port == port


def test_ssrcs_that_carry_the_same():
    lines = ["v=0", "c=IN IP4 239.1.2.3", "m=audio 5004 RTP/AVP 97", "a=rtpmap:97 L16/48000"]
    lines += ["a=ssrc:1000 cname:x", "a=ssrc-group:DUP 1000 1010", "a=ssrc-group:FID 1 2"]
    assert parse_sdp("\n".join(lines), "x.sdp").audio[0].duplicate_ssrcs == [(1000, 1010)]


@pytest.mark.parametrize(("second", "warned"), [("239.1.2.3", 0), ("239.1.2.3/32", 0), ("239.1.2.4", 1)])
def test_an_address_that_is_given_twice_is_one(second: str, warned: int) -> None:
    text = f"v=0\nm=audio 5004 RTP/AVP 0\nc=IN IP4 239.1.2.3\nc=IN IP4 {second}\n"
    session = parse_sdp(text, "x")
    assert session.media[0].destination == "239.1.2.3:5004"
    assert len(session.warnings) == warned


def test_a_medium_without_an_address_has_no_destination() -> None:
    [medium] = parse_sdp("v=0\nm=audio 5004 RTP/AVP 0\n", "x").media
    assert medium.destination is None
    assert medium.unusable == "x:2: no c= line says where this medium goes"
