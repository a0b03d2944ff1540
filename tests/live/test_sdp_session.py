"""Session descriptions as files."""

import os
from pathlib import Path

import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.errors import ConfigurationError, SourceError
from rtpverify.live.sdp_session import is_session, read_session
from rtpverify.sources.live.endpoint import Endpoint

SDP = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=two rooms
t=0 0
a=framecount:soon
m=audio 5004 RTP/AVP 97
c=IN IP4 239.1.2.3/32
a=rtpmap:97 L24/48000/2
m=audio 5006 RTP/SAVP 0
c=IN IP4 239.1.2.4/32
a=source-filter: incl IN IP4 * 192.0.2.7 2001:db8::7
m=audio 0 RTP/AVP 0
c=IN IP4 239.1.2.5/32
m=video 5008 RTP/AVP x
"""


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.sdp", b"anything", True),
        ("A.SDP", b"", True),
        ("a.txt", SDP.encode(), True),
        ("description", b"\xef\xbb\xbf\r\n v=0\r\ns=x\r\n", True),
        ("a.txt", b"v=0.5 and more", False),
        ("a.wav", b"RIFF\0\0\0\0WAVEfmt ", False),
        ("a.txt", b"", False),
    ],
)
def test_a_description_is_known_by_its_name_or_start(tmp_path: Path, name: str, content: bytes, expected: bool) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_session(tmp_path / name) == expected


def test_what_is_no_file_is_none_and_a_pipe_is_not_touched(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [is_session(tmp_path / name) for name in ("nowhere", ".", "pipe")] == [False, False, False]


def test_streams_of_a_description_carry_what_could_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "rooms.sdp"
    path.write_text(SDP)
    session = read_session(path)
    assert [warning.removeprefix(f"{path}:")[:16] for warning in session.warnings] == [
        "5: a=framecount:",
        "12: m=: 'audio 0",
    ]
    streams = session.streams(StreamSpec())
    assert [endpoints for endpoints, _ in streams] == [
        [Endpoint("239.1.2.3", 5004)],
        [Endpoint("239.1.2.4", 5006, "192.0.2.7")],
    ]
    assert {spec.warnings for _, spec in streams} == {tuple(session.warnings)}
    (_, plain), (_, encrypted) = streams
    assert [str(plain.encoding_of(97)), encrypted.encoding_of(0)] == ["L24/48000/2", None]
    assert encrypted.why_undecodable(0) == f"{path}:9: the payload is encrypted (RTP/SAVP)"


def test_legs_of_which_one_is_not_in_use_are_one_stream(tmp_path: Path) -> None:
    path = tmp_path / "legs.sdp"
    leg = "m=audio {} RTP/AVP 97\nc=IN IP4 239.1.2.3\na=rtpmap:97 L16/48000\na=mid:{}\n"
    path.write_text("v=0\na=group:DUP 1 2\n" + leg.format(5004, 1) + leg.format(0, 2))
    ((endpoints, spec),) = read_session(path).streams(StreamSpec())
    assert (endpoints, spec.legs) == ([Endpoint("239.1.2.3", 5004)], ())


def test_what_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.sdp: No such file or directory$"):
        read_session(tmp_path / "nowhere.sdp")
    path = tmp_path / "a.sdp"
    path.write_text("v=0\nm=video 5004 RTP/AVP 97\nm=application 0 x\nm=video 1 x\n")
    with pytest.raises(ConfigurationError, match=r"a\.sdp: describes no audio, but video, application$"):
        read_session(path)
    path.write_text("v=0\nm=audio 0 RTP/AVP 0\nm=audio 5004 TCP/RTP/AVP 0\n")
    with pytest.raises(ConfigurationError) as caught:
        read_session(path)
    assert str(caught.value).startswith(f"{path}:2: m=: 'audio 0 RTP/AVP 0' has port 0")
    assert str(caught.value).endswith("(and 1 more audio media that cannot be received)")
