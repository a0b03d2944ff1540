"""Descriptions of what is sent say what the reader of descriptions understands."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.payload import FORMATS, Encoding
from rtpverify.rtp.sdp_reader import parse_sdp
from rtpverify.rtp.sdp_writer import DescribedStream, write_sdp

ADDRESSES = st.sampled_from(["127.0.0.1", "239.1.2.3", "192.0.2.7"]) | st.sampled_from(["ff3e::8000:1", "2001:db8::7"])


@st.composite
def streams(draw):
    address = draw(ADDRESSES)
    own = "2001:db8::1" if ":" in address else "192.0.2.1"
    ports = draw(st.lists(st.integers(1024, 65_000), min_size=1, max_size=2, unique=True))
    rate_hz = draw(st.sampled_from([8000, 44_100, 48_000, 96_000]))
    return DescribedStream(
        name="tone",
        destinations=tuple((address, port) for port in ports),
        senders=(own,) * len(ports),
        payload_type=draw(st.integers(96, 127)),
        encoding=Encoding(draw(st.sampled_from(sorted(FORMATS))), rate_hz, 2 * draw(st.integers(1, 32))),
        packet_frames=draw(st.integers(1, 960)),
        ttl=draw(st.integers(1, 255)),
        has_rtcp=draw(st.booleans()),
    )


@given(st.lists(streams(), min_size=1, max_size=4))
def test_what_is_written_is_read(described):
    text = write_sdp("bench", 17, described)
    found = parse_sdp(text, "test")
    assert (found.name, list(found.warnings)) == ("bench", [])
    media = iter(found.audio)
    for stream in described:
        legs = [next(media) for _ in stream.destinations]
        for medium, (address, port), sender in zip(legs, stream.destinations, stream.senders, strict=True):
            assert (medium.connection.address, medium.port) == (address, port)
            assert medium.encodings == {stream.payload_type: stream.encoding}
            frames = stream.packet_frames
            assert medium.packet_frames(stream.encoding) == (frames, frames)
            assert medium.rtcp_port == (port + 1 if stream.has_rtcp else None)
            assert set(medium.senders) <= {sender}
        if len(legs) > 1:
            assert tuple(medium.mid for medium in legs) in [tuple(group) for group in found.duplicates]
    assert next(media, None) is None


def test_a_sender_that_nobody_knows_filters_nothing():
    form = Encoding("L24", 48_000, 2)
    known = DescribedStream("tone", (("239.1.2.3", 5004),), ("192.0.2.1",), 97, form, 48, 1, False)
    assert "a=source-filter: incl IN IP4 239.1.2.3 192.0.2.1" in write_sdp("bench", 17, [known])
    assert "source-filter" not in write_sdp("bench", 17, [replace(known, senders=("0.0.0.0",))])  # noqa: S104
