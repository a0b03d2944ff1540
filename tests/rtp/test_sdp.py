"""Session descriptions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.errors import ConfigurationError
from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.sdp import Connection, MediaClock, ReferenceClock, SourceFilter, parse_sdp

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
m=audio 5006/2 RTP/AVP 96 10
c=IN IP6 ff15::1:2/3
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
    assert medium.packet_frames(encoding) == 6
    assert medium.reference_clocks == [ReferenceClock("ptp", "IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:37")]
    assert not medium.reference_clocks[0].traceable
    assert medium.media_clock == MediaClock("direct", 963214424)
    assert session.duplicates == []


def test_two_legs_and_what_holds_for_the_session() -> None:
    session = parse_sdp(TWO_LEGS.replace("\n", "\r\n"), "legs.sdp")
    first, second = session.audio
    assert session.duplicates == [("primary", "secondary")]
    assert session.medium("secondary") is second
    assert [medium.kind for medium in session.media] == ["audio", "audio", "video"]
    assert first.senders == ("192.0.2.7", "192.0.2.8")
    assert first.packet_frames(first.encodings[96]) == 48
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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("v=0", "hello", "x.sdp:1: no session description: starts with 'hello'"),
        ("s=Studio", "Studio", "x.sdp:3: 'Studio A: main mix' is not TYPE=VALUE"),
        ("m=audio 5004 RTP/AVP 98", "m=audio 5004 RTP/AVP", "x.sdp:7: m=: 'audio 5004 RTP/AVP' is not MEDIA PORT"),
        ("m=audio 5004", "m=audio 70000", "x.sdp:7: m=: 'audio 70000 RTP/AVP 98' has port '70000'"),
        ("AVP 98", "AVP L24", "x.sdp:7: m=: 'audio 5004 RTP/AVP L24' has payload type 'L24'"),
        ("239.1.2.3/32", "239.1.2.333/32", "x.sdp:4: c=: 'IN IP4 239.1.2.333/32' has '239.1.2.333'"),
        ("239.1.2.3/32", "239.1.2.3/999", "x.sdp:4: c=: 'IN IP4 239.1.2.3/999' has TTL '999'"),
        ("c=IN IP4", "c=IN IP6", "x.sdp:4: c=: 'IN IP6 239.1.2.3/32' has '239.1.2.3', which is not an address of IP6"),
        ("c=IN IP4", "c=ATM IP4", "x.sdp:4: c=: 'ATM IP4 239.1.2.3/32' does not say IN"),
        ("c=IN IP4", "c=IP4", "x.sdp:4: c=: 'IP4 239.1.2.3/32' is not IN IP4 ADDRESS"),
        ("98 L24/48000/8", "98 L24", "x.sdp:9: a=rtpmap: '98 L24' is not PAYLOAD-TYPE NAME/RATE"),
        ("98 L24/48000/8", "998 L24/48000/8", "x.sdp:9: a=rtpmap: '998 L24/48000/8' has payload type '998'"),
        ("98 L24/48000/8", "98 L24/48000/0", "x.sdp:9: a=rtpmap: 'L24/48000/0': channel count 0"),
        ("98 L24/48000/8", "98 L20/48000/1", "x.sdp:9: a=rtpmap: 'L20/48000/1': a frame"),
        ("a=recvonly", "a=rtpmap:98 L16/48000", "x.sdp:12: a=rtpmap: '98 L16/48000' is a second rtpmap"),
        ("a=fmtp:98", "a=fmtp:x", "x.sdp:10: a=fmtp: 'x channel-order"),
        ("ptime:0.12", "ptime:0", "x.sdp:13: a=ptime: '0' is not a packet time"),
        ("ptime:0.12", "ptime:1ms", "x.sdp:13: a=ptime: '1ms' is not a packet time"),
        ("ptime:0.12", "framecount:0", "x.sdp:13: a=framecount: '0' has frame count '0'"),
        ("incl IN IP4 239.1.2.3 192.0.2.7", "incl IN IP4 239.1.2.3", "x.sdp:11: a=source-filter: 'incl IN IP4"),
        ("incl IN IP4 239.1.2.3", "only IN IP4 239.1.2.3", "x.sdp:11: a=source-filter: 'only IN IP4"),
        ("239.1.2.3 192.0.2.7", "239.1.2.3 192.0.2", "x.sdp:11: a=source-filter: 'incl IN IP4 239.1.2.3 192.0.2' has"),
        ("ptp=IEEE1588-2008:39-A7-94-FF-FE-07-CB-D0:37", "ptp", "x.sdp:14: a=ts-refclk: 'ptp' is not a reference"),
        ("direct=963214424", "direct=now", "x.sdp:15: a=mediaclk: 'direct=now' has offset 'now'"),
        ("direct=963214424", "", "x.sdp:15: a=mediaclk: '' is not a media clock"),
        ("a=recvonly", "a=group:DUP a b", "x.sdp:12: a=group: 'DUP a b' names 'a', but no medium"),
        (STUDIO[STUDIO.index("m=") :], "", "x.sdp: no m= line"),
    ],
)
def test_an_error_names_line_attribute_and_value(old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_sdp(STUDIO.replace(old, new), "x.sdp")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_group_needs_two_media() -> None:
    with pytest.raises(ConfigurationError, match=r"legs\.sdp:5: a=group: 'DUP primary' does not name two media"):
        parse_sdp(TWO_LEGS.replace("DUP primary secondary", "DUP primary"), "legs.sdp")
    lip_sync = parse_sdp(TWO_LEGS.replace("DUP primary secondary", "LS 1 2"), "legs.sdp")
    assert lip_sync.duplicates == []


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


def test_a_bad_rtcp_port_is_named():
    text = "v=0\nm=audio 5004 RTP/AVP 97\na=rtcp:x"
    with pytest.raises(ConfigurationError, match=r"^x\.sdp:3: a=rtcp: 'x' has port 'x'"):
        parse_sdp(text, "x.sdp")


def test_ssrcs_that_carry_the_same():
    lines = ["v=0", "c=IN IP4 239.1.2.3", "m=audio 5004 RTP/AVP 97", "a=rtpmap:97 L16/48000"]
    lines += ["a=ssrc:1000 cname:x", "a=ssrc-group:DUP 1000 1010", "a=ssrc-group:FID 1 2"]
    assert parse_sdp("\n".join(lines), "x.sdp").audio[0].duplicate_ssrcs == [(1000, 1010)]


@pytest.mark.parametrize("value", ["DUP 1000", "DUP 7 7", "DUP 7 x", f"DUP 7 {2**32}"])
def test_a_bad_group_of_ssrcs_is_named(value):
    text = f"v=0\nm=audio 5004 RTP/AVP 97\na=ssrc-group:{value}"
    with pytest.raises(ConfigurationError, match=rf"^x\.sdp:3: a=ssrc-group: '{value}'"):
        parse_sdp(text, "x.sdp")
