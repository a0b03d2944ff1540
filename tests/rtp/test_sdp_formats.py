"""Session descriptions against packets: contradictions are told, and the packets win."""

import io
import json
import struct

import numpy as np
import pytest

from rtpverify.commands.check import check
from rtpverify.errors import RequestError
from rtpverify.report import html, junit, text
from rtpverify.result import stream_as_dict
from rtpverify.rtp.payload import encode, parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers.captures import ethernet, ipv4, pcap, udp

START_NS = 1_790_000_000_000_000_000
SDP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=tone
c=IN IP4 239.1.2.3/32
t=0 0
m=audio 5004 RTP/AVP {payload_type}
a=rtpmap:{payload_type} {encoding}
{lines}
"""
TONE = parse_reference("tone:997")


def records(
    encoding="L24/48000/2",
    packet_frames=48,
    seconds=0.5,
    payload_type=97,
    ssrc=0x5EED0001,
    sender="192.0.2.7",
    destination="239.1.2.3",
    lost=(),
    delay_ns=0,
    damaged=(),
    real_rate_hz=None,
):
    """Return the packets of one stream with a tone, as records of a capture."""
    form = parse_rtpmap(encoding)
    packets = round(seconds * form.sample_rate_hz / packet_frames)
    frame = np.arange(packets * packet_frames)
    tone = 0.5 * np.sin(2 * np.pi * 997 * frame / form.sample_rate_hz)
    samples = np.repeat(tone[:, None], form.channels, axis=1).reshape(packets, packet_frames, -1)
    found = []
    for index in set(range(packets)) - set(lost):
        header = struct.pack(">BBHII", 0x80, payload_type, (65_400 + index) % 65536, index * packet_frames, ssrc)
        payload = bytearray(encode(form, samples[index]))
        if index in damaged:
            payload[5] ^= 1
        time_ns = START_NS + round(index * packet_frames * 1e9 / (real_rate_hz or form.sample_rate_hz)) + delay_ns
        found.append((time_ns, ethernet(ipv4(udp(header + payload), sender, destination))))
    return found


@pytest.fixture
def verify(tmp_path):
    """Check a capture of these records, with a session description where there is one."""

    def run(*streams, sdp=None, **options):
        path = tmp_path / "capture.pcap"
        path.write_bytes(pcap(sorted((record for stream in streams for record in stream), key=lambda item: item[0])))
        if sdp is not None:
            (tmp_path / "stream.sdp").write_text(sdp)
            options["sdp"] = tmp_path / "stream.sdp"
        return check(str(path), **{"reference": TONE, **options})

    return run


def description(payload_type=97, encoding="L24/48000/2", lines="a=ptime:1"):
    return SDP.format(payload_type=payload_type, encoding=encoding, lines=lines)


def warnings_of(result):
    [stream] = result.streams
    return stream.verdict, [warning.partition("stream.sdp:")[2] for warning in stream.warnings]


def test_what_agrees_is_not_mentioned(verify):
    for lines in ("a=ptime:1", "a=ptime:1.00", "a=framecount:48", "a=ptime:5\na=framecount:48", ""):
        assert warnings_of(verify(records(), sdp=description(lines=lines))) == ("pass", [])


def test_a_packet_time_of_two_digits_agrees(verify):
    result = verify(records(packet_frames=6, seconds=0.1), sdp=description(lines="a=ptime:0.13"), reference=None)
    assert warnings_of(result) == ("pass", [])


@pytest.mark.parametrize(
    ("sent", "said", "told"),
    [
        ({}, {"lines": "a=ptime:5"}, "6: ptime of 5 ms announced, packets contain 1 ms"),
        ({}, {"lines": "a=framecount:12"}, "6: framecount of 0.25 ms announced, packets contain 1 ms"),
        ({}, {"payload_type": 98}, "6: payload type 98 announced, packets have 97"),
        ({"destination": "239.9.9.9"}, {}, "6: announced for 239.1.2.3:5004, packets go to 239.9.9.9:5004"),
        (
            {},
            {"lines": "a=fmtp:97 channel-order=SMPTE2110.(51)"},
            "6: channel-order SMPTE2110.(51) does not name 2 channels",
        ),
    ],
)
def test_contradictions_are_told_and_the_packets_win(verify, sent, said, told):
    assert warnings_of(verify(records(**sent), sdp=description(**said))) == ("pass", [told])


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("a=framecount:48-768", []),
        ("a=framecount:12-48\na=ptime:1", []),
        ("a=framecount:96-768", ["6: framecount of 2 to 16 ms announced, packets contain 1 ms"]),
        ("a=framecount:48-768\na=ptime:4", ["6: ptime of 4 ms announced, packets contain 1 ms"]),
    ],
)
def test_a_range_of_frame_counts_is_kept_or_not(verify, lines, told):
    assert warnings_of(verify(records(), sdp=description(lines=lines))) == ("pass", told)


def test_packets_of_the_senders_of_aes67_linux_daemon_agree(verify):
    said = description(encoding="L16/44100/2", lines="a=framecount:48\na=ptime:1.08843537415")
    assert warnings_of(verify(records("L16/44100/2"), sdp=said)) == ("pass", [])
    said = description(lines="a=ptime:0.333333333333")
    assert warnings_of(verify(records(packet_frames=16, seconds=0.2), sdp=said, reference=None)) == ("pass", [])


def test_a_hint_that_cannot_be_read_is_a_warning_of_the_result(verify):
    result = verify(records(), sdp=description(lines="a=ptime:soon"))
    assert warnings_of(result) == ("pass", [])
    [warning] = result.warnings
    assert warning.endswith(
        "stream.sdp:8: a=ptime: 'soon' is not a packet time in ms above 0 and up to 1000; line ignored"
    )
    assert result.to_dict()["warnings"] == [warning]
    out = io.StringIO()
    text.write(result, out)
    assert f"Warning  {warning}" in out.getvalue()
    assert warning.replace("'", "&#x27;") in html.render(result)
    assert warning in junit.render(result)


OPUS = "m=audio 5006 RTP/AVP 111\na=rtpmap:111 opus/48000/2\n"


def test_audio_that_is_not_decoded_leaves_the_other_audio(verify):
    """The stream that is not decoded is inconclusive by itself; its transport is verified."""
    opus = [
        (time_ns, frame.replace(struct.pack(">H", 5004), struct.pack(">H", 5006), 2))
        for time_ns, frame in records(payload_type=111, ssrc=2, lost=(7,))
    ]
    result = verify(records(), opus, sdp=description() + OPUS)
    tone, other = sorted(result.streams, key=lambda stream: stream.ssrc or 0, reverse=True)
    assert (tone.verdict, other.inconclusive is None, other.encoding) == ("pass", False, None)
    assert other.inconclusive.endswith("stream.sdp:9: payload type 111 (opus/48000/2) is not supported")
    assert other.transport.packets_lost == 1


@pytest.mark.parametrize(
    ("sdp", "reason"),
    [
        (description(encoding="opus/48000/2"), "payload type 97 (opus/48000/2) is not supported"),
        (description().replace("RTP/AVP", "RTP/SAVP"), "the payload is encrypted (RTP/SAVP)"),
        (description(payload_type=0).replace("a=rtpmap:0 L24/48000/2\n", "").replace("AVP", "SAVPF"), "encrypted"),
        (description().replace("a=rtpmap", "a=ortpmap"), "no valid a=rtpmap line describes its encoding"),
    ],
)
def test_a_description_without_audio_that_can_be_decoded_is_refused_with_the_reason(verify, sdp, reason):
    with pytest.raises(RequestError) as caught:
        verify(records(), sdp=sdp)
    assert reason in str(caught.value)
    assert str(caught.value).endswith("; --reference none verifies transport alone")
    payload_type = 97 if "97" in sdp else 0
    [stream] = verify(records(payload_type=payload_type), sdp=sdp, reference=None).streams
    assert (stream.verdict, stream.encoding, stream.transport.packets_received) == ("pass", None, 500)


def test_encrypted_audio_is_not_decoded_whatever_the_request_says(verify):
    sdp = description().replace("RTP/AVP", "RTP/SAVP")
    with pytest.raises(RequestError, match=r"the payload is encrypted"):
        verify(records(), sdp=sdp, encoding=parse_rtpmap("L24/48000/2"))


def test_an_encoding_of_the_request_holds_where_the_description_tells_none(verify):
    sdp = description().replace("a=rtpmap", "a=ortpmap")
    assert warnings_of(verify(records(), sdp=sdp, encoding=parse_rtpmap("L24/48000/2")))[0] == "pass"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "m=audio 5004",
            "m=audio 0",
            "6: m=: 'audio 0 RTP/AVP 97' has port 0, which means that this medium is not in use",
        ),
        ("m=audio", "m=video", " describes no audio, but video"),
        (
            "239.1.2.3/32",
            "desk",
            "4: c=: 'IN IP4 desk' holds no IP address; it would be IN IP4 ADDRESS or IN IP6 ADDRESS",
        ),
    ],
)
def test_a_description_without_audio_that_can_be_received_says_why(verify, old, new, reason):
    with pytest.raises(RequestError) as caught:
        verify(records(), sdp=description().replace(old, new))
    assert str(caught.value).partition("stream.sdp:")[2] == reason


@pytest.mark.parametrize("reference", ["tone:997", "none"])
@pytest.mark.parametrize(("sent", "said"), [("L24/48000/4", "L24/48000/2"), ("L16/48000/2", "L24/48000/2")])
def test_an_encoding_that_is_another_one_is_told_first_and_put_right(verify, sent, said, reference):
    result = verify(records(sent), sdp=description(encoding=said), reference=parse_reference(reference))
    [stream] = result.streams
    assert (str(result.verdict), stream.events, str(stream.encoding)) == ("inconclusive", [], sent[:3])
    assert f"6: {said} announced, but payloads of" in stream.inconclusive
    assert stream.inconclusive.endswith(f"; announce a=rtpmap:97 {sent}")


@pytest.mark.parametrize(("real_rate_hz", "reason"), [(44100, "every 1.09 ms say L24/44100/2"), (53000, None)])
def test_a_clock_of_another_rate_is_told(verify, real_rate_hz, reason):
    result = verify(records(seconds=2, real_rate_hz=real_rate_hz), sdp=description(), reference=None)
    verdict, warnings = warnings_of(result)
    if reason is None:  # no encoding has such a rate: the sender is too fast
        assert verdict == "pass"
        assert warnings[0] == "6: L24/48000/2 announced, but packets arrived at about 53000 frames a second"
    else:
        assert verdict == "inconclusive"
        assert reason in result.streams[0].inconclusive


def test_channels_are_taken_from_packets_of_a_stream_with_losses(verify):
    result = verify(records("L16/48000/8", lost=(1, 2)), sdp=description(encoding="L16/48000/2"), reference=None)
    assert (result.streams[0].channels, result.streams[0].transport.packets_lost) == (8, 2)


def test_another_streams_payload_type_is_not_taken_for_ours(verify):
    result = verify(records(destination="239.9.9.9", payload_type=99), sdp=description())
    assert result.arrived == []
    [missing] = result.streams
    assert (missing.verdict, missing.ssrc, missing.destination) == ("inconclusive", None, "239.1.2.3:5004")
    assert result.discarded == {"unmatched": 500}


def test_channel_order_labels_the_channels(verify):
    [stream] = verify(records(), sdp=description(lines="a=fmtp:97 channel-order=SMPTE2110.(ST)")).streams
    data = stream_as_dict(stream)
    assert data["channel_order"] == "SMPTE2110.(ST)"
    assert [signal["label"] for signal in data["signal"]] == ["L", "R"]
    [stream] = verify(records(), encoding=parse_rtpmap("L24/48000/2")).streams
    assert stream_as_dict(stream)["channel_order"] is None
    assert [signal.label for signal in stream.signal] == [None, None]


# Redundant legs ---------------------------------------------------------------------------------------------------

DUP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=tone
t=0 0
a=group:DUP one two
m=audio 5004 RTP/AVP 97
c=IN IP4 239.1.2.3/32
a=rtpmap:97 L24/48000/2
a=ptime:1
a=mid:one
m=audio 5004 RTP/AVP 97
c=IN IP4 239.2.2.3/32
a=rtpmap:97 L24/48000/2
a=ptime:1
a=mid:two
"""


def legs(**second):
    first = {key: second.pop(key) for key in ("lost", "damaged") if key in second}
    other = {"lost": second.pop("other_lost", ()), "delay_ns": 700_000, **second}
    return records(**first), records(sender="192.0.2.8", destination="239.2.2.3", **other)


def test_two_legs_that_complete_each_other_are_one_clean_stream(verify):
    [stream] = verify(*legs(lost=(10, 11, 200), other_lost=(30, 400)), sdp=DUP).streams
    assert (stream.verdict, stream.events, stream.warnings) == ("pass", [], [])
    data = stream_as_dict(stream)
    assert (data["transport"]["packets_received"], data["transport"]["packets_lost"]) == (500, 0)
    assert [(leg["destination"], leg["packets_received"], leg["packets_lost"]) for leg in data["legs"]] == [
        ("239.1.2.3:5004", 497, 3),
        ("239.2.2.3:5004", 498, 2),
    ]
    first, second = data["legs"]
    assert (first["skew_seconds"], second["skew_seconds"]) == pytest.approx((0, 0.0007))
    assert second["max_skew_seconds"] == pytest.approx(0.0007)
    assert data["packets_differing"] == 0


def test_what_both_legs_lost_is_one_gap(verify):
    [stream] = verify(*legs(lost=(10, 200, 201), other_lost=(200, 201)), sdp=DUP).streams
    [gap] = stream.events
    assert (gap.kind, gap.start_frame, gap.duration_frames) == ("gap", 200 * 48, 96)
    assert "lost on all legs" in gap.message


def test_a_damaged_copy_that_came_second_is_told_and_does_no_harm(verify):
    [stream] = verify(*legs(), sdp=DUP).streams
    assert stream.packets_differing == 0
    first, second = records(), records(destination="239.2.2.3", delay_ns=700_000, damaged=(100,))
    [stream] = verify(first, second, sdp=DUP).streams
    assert (stream.verdict, stream.packets_differing) == ("pass", 1)
    told = f"the legs carry different payloads in 1 packet (sequence {65_400 + 100}); the first copy is used"
    assert stream.warnings == [told]
    # The other way round it is the damaged copy that counts.
    [stream] = verify(*legs(damaged=(100,)), sdp=DUP).streams
    assert [event.kind for event in stream.events] == ["click"]


def test_a_leg_that_brings_nothing_or_falls_silent_is_told(verify):
    [stream] = verify(records(), sdp=DUP).streams
    assert stream.warnings == ["no packet arrived on leg 2 (239.2.2.3:5004): no redundancy"]
    assert [leg.packets_received for leg in stream.legs] == [500, 0]
    first, second = records(seconds=2), records(destination="239.2.2.3", seconds=0.5)
    [stream] = verify(first, second, sdp=DUP).streams
    assert stream.warnings == ["no packet arrived on leg 2 (239.2.2.3:5004) for the last 1.5 s"]


def test_legs_without_a_description_are_merged_on_request(verify):
    form = parse_rtpmap("L24/48000/2")
    both = legs(lost=(10,), other_lost=(30,))
    assert len(verify(*both, encoding=form).streams) == 2
    [stream] = verify(*both, encoding=form, redundant=True).streams
    assert (stream.verdict, [leg.packets_lost for leg in stream.legs]) == ("pass", [1, 1])
    [one] = verify(both[0], encoding=form, redundant=True).streams
    assert one.legs == []
    assert one.warnings == ["packets arrived on only one leg: no redundancy"]
    two = verify(*both, records(ssrc=2), encoding=form, redundant=True).streams
    assert [len(stream.legs) for stream in two] == [2, 0]


def test_a_sender_that_comes_back_on_both_legs_is_one_stream(verify):
    first, second = legs(), legs(ssrc=2)
    later_ns = 2_000_000_000
    again = [[(time_ns + later_ns, frame) for time_ns, frame in leg] for leg in (records(ssrc=2), second[1])]
    [stream] = verify(*first, *again, sdp=DUP).streams
    assert [event.kind for event in stream.events] == ["ssrc_change"]
    assert stream.transport.packets_received == 1000
    assert [leg.packets_received for leg in stream.legs] == [1000, 1000]
    assert stream.packets_differing == 0


def test_redundant_is_refused_where_it_says_nothing(verify):
    with pytest.raises(RequestError, match=r"stream\.sdp: --redundant applies to captures"):
        verify(records(), sdp=DUP, redundant=True)
    with pytest.raises(RequestError, match=r"rtp://127\.0\.0\.1:5004: --redundant applies to captures"):
        check("rtp://127.0.0.1:5004", redundant=True)


# Picking streams --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("picked", "ssrcs"),
    [
        (["0x5eed0001"], [0x5EED0001]),
        (["239.1.2.9"], [3]),
        (["239.1.2.3:5004"], [0x5EED0001, 2]),
        (["192.0.2.9"], [2]),
        (["192.0.2.9:5004", "0x3"], [2, 3]),
        (["0X00000003"], [3]),
    ],
)
def test_streams_are_picked_by_ssrc_sender_or_destination(verify, picked, ssrcs):
    streams = (records(), records(ssrc=2, sender="192.0.2.9"), records(ssrc=3, destination="239.1.2.9"))
    result = verify(*streams, encoding=parse_rtpmap("L24/48000/2"), streams=picked)
    assert [stream.ssrc for stream in result.streams] == ssrcs
    assert result.discarded == {"not_selected": 500 * (3 - len(ssrcs))}


def test_what_picks_nothing_names_what_there_is(verify):
    with pytest.raises(RequestError) as caught:
        verify(records(), records(ssrc=2, destination="239.1.2.9"), streams=["0x7"])
    assert str(caught.value).endswith(
        "--stream matches none of its streams: 0x5eed0001 192.0.2.7:5004 to 239.1.2.3:5004; "
        "0x00000002 192.0.2.7:5004 to 239.1.2.9:5004"
    )


@pytest.mark.parametrize("text", ["0x", "0x123456789", "0x-1", "host", "239.1.2.3:x", "239.1.2.3:65536", "", "[::1]:x"])
def test_a_bad_pick_is_named(verify, text):
    with pytest.raises(RequestError, match=r"^--stream: ") as caught:
        verify(records(), streams=[text])
    assert repr(text) in str(caught.value)


def test_fragments_are_told(verify):
    parts = [(START_NS, ethernet(ipv4(bytes(40), fragment=0x2000))), (START_NS, ethernet(ipv4(bytes(40), fragment=5)))]
    result = verify(records(), parts, encoding=parse_rtpmap("L24/48000/2"))
    assert result.discarded == {"fragment": 2}
    assert "2 IP fragments were not put together: audio in them counts as lost" in result.warnings
    assert json.dumps(result.to_dict())
