"""What a session description says."""

import pytest

from rtpverify.rtp.payload import Encoding
from rtpverify.rtp.sdp import Connection, Media, SourceFilter

L24 = Encoding("L24", 48000, 2)
L16 = Encoding("L16", 44100, 2)


def medium(protocol: str = "RTP/AVP", **more: object) -> Media:
    return Media(line=6, port=5004, protocol=protocol, payload_types=(97,), **more)


@pytest.mark.parametrize(
    ("encoding", "said", "frames"),
    [
        (L24, {}, None),
        (L24, {"ptime_ms": 0.12}, (6, 6)),
        (L24, {"ptime_ms": 0.333333333333}, (16, 16)),
        (L16, {"ptime_ms": 1.08843537415}, (48, 48)),
        (L16, {"ptime_ms": 1.09}, (48, 48)),
        (L24, {"ptime_ms": 5.0, "framecount": (48, 48)}, (48, 48)),
        (L24, {"ptime_ms": 1.0, "framecount": (48, 768)}, (48, 48)),
        (L16, {"ptime_ms": 4.35374165, "framecount": (64, 192)}, (192, 192)),
        (L24, {"framecount": (48, 768)}, (48, 768)),
    ],
)
def test_frames_of_a_packet(encoding: Encoding, said: dict[str, object], frames: tuple[int, int] | None) -> None:
    assert medium(**said).packet_frames(encoding) == frames


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "rtp/savp"])
def test_profiles_that_encrypt(protocol: str) -> None:
    assert medium(protocol).is_encrypted
    assert medium(protocol).why_undecodable(97) == f"the payload is encrypted ({protocol})"


def test_why_audio_cannot_be_decoded() -> None:
    assert not medium().is_encrypted
    assert medium().why_undecodable() == "no valid a=rtpmap line describes its encoding"
    opus = medium(rtpmaps={111: "opus/48000/2"})
    assert opus.why_undecodable() == "payload type 111 (opus/48000/2) is not supported"
    assert opus.why_undecodable(111) == "payload type 111 (opus/48000/2) is not supported"
    assert opus.why_undecodable(97) == "payload type 97: encoding unknown"
    both = medium(rtpmaps={111: "opus/48000/2", 9: "G722/8000"})
    assert both.why_undecodable() == "none of 111 (opus/48000/2), 9 (G722/8000) is decoded here"
    assert medium(encodings={97: L24}).is_decodable


def test_senders_are_those_of_filters_that_concern_the_address() -> None:
    def senders(*filters: SourceFilter) -> tuple[str, ...]:
        return medium(connection=Connection("239.1.2.3"), source_filters=list(filters)).senders

    assert senders(SourceFilter(True, "*", ("192.0.2.7", "2001:db8::7"))) == ("192.0.2.7",)
    assert senders(SourceFilter(True, "239.1.2.3", ("192.0.2.7",))) == ("192.0.2.7",)
    assert senders(SourceFilter(True, "239.9.9.9", ("192.0.2.7",)), SourceFilter(False, "*", ("192.0.2.8",))) == ()
