from __future__ import annotations

import pytest

from rtpverify.errors import RequestError
from rtpverify.sources.address import RtpAddress, parse_rtp_address


@pytest.mark.parametrize(
    ("text", "address", "destination"),
    [
        ("rtp://127.0.0.1:5004", RtpAddress("127.0.0.1", 5004), "127.0.0.1:5004"),
        ("rtp://192.0.2.7@239.1.2.3:5004", RtpAddress("239.1.2.3", 5004, "192.0.2.7"), "239.1.2.3:5004"),
        ("rtp://[::1]:65535", RtpAddress("::1", 65535), "[::1]:65535"),
        ("rtp://[fe80::1]@[ff3e::8000:1]:1", RtpAddress("ff3e::8000:1", 1, "fe80::1"), "[ff3e::8000:1]:1"),
    ],
)
def test_an_address_reads_and_writes_the_same(text: str, address: RtpAddress, destination: str) -> None:
    assert parse_rtp_address(text) == address
    assert address.destination == destination
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("udp://127.0.0.1:5004", "udp://127.0.0.1:5004"),
        ("rtp://127.0.0.1", "port"),
        ("rtp://127.0.0.1:0", "'0'"),
        ("rtp://127.0.0.1:65536", "'65536'"),
        ("rtp://127.0.0.1:5004x", "'5004x'"),
        ("rtp://127.0.0.1:٥", "'٥'"),
        ("rtp://nowhere:5004", "'nowhere'"),
        ("rtp://@127.0.0.1:5004", "''"),
        ("rtp://::1:5004", "brackets"),
        ("rtp://[127.0.0.1]:5004", "brackets"),
        ("rtp://127.0.0.300:5004", "'127.0.0.300'"),
    ],
)
def test_a_wrong_address_is_named(text: str, names: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_rtp_address(text)
    assert str(caught.value).startswith(text)
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)
