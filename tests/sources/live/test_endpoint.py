import pytest

from rtpverify.errors import ConfigurationError
from rtpverify.sources.live.endpoint import Endpoint, join_address, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("rtp://127.0.0.1:5004", Endpoint("127.0.0.1", 5004)),
        ("rtp://239.1.2.3:5004?interface=eth0", Endpoint("239.1.2.3", 5004, None, "eth0")),
        ("rtp://192.0.2.7@232.1.2.3:5004", Endpoint("232.1.2.3", 5004, "192.0.2.7")),
        ("rtp://[::1]:65535", Endpoint("::1", 65535)),
        ("rtp://[2001:db8::7]@[ff3e::1]:1", Endpoint("ff3e::1", 1, "2001:db8::7")),
        (
            "rtp://10.0.0.1@239.0.0.1:5004?interface=192.0.2.2",
            Endpoint("239.0.0.1", 5004, "10.0.0.1", "192.0.2.2"),
        ),
    ],
)
def test_reads_and_writes_back(text, endpoint):
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text


def test_localhost_is_the_only_name():
    assert parse_endpoint("rtp://localhost:5004") == Endpoint("127.0.0.1", 5004)
    assert parse_endpoint("rtp://Localhost@239.1.2.3:5004") == Endpoint("239.1.2.3", 5004, "127.0.0.1")


def test_ipv6_is_written_in_canonical_form_and_its_scope_is_the_interface():
    assert parse_endpoint("rtp://[FE80:0::1%eth0]:5004") == Endpoint("fe80::1", 5004, None, "eth0")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("udp://127.0.0.1:5004", "udp://"),
        ("rtp://127.0.0.1", "ADDRESS:PORT"),
        ("rtp://:5004", "ADDRESS:PORT"),
        ("rtp://::1:5004", "brackets"),
        ("rtp://studio:5004", "'studio'"),
        ("rtp://127.0.0.1:0", "'0'"),
        ("rtp://127.0.0.1:65536", "'65536'"),
        ("rtp://127.0.0.1:²", "'²'"),
        ("rtp://@127.0.0.1:5004", "sender ''"),
        ("rtp://x@127.0.0.1:5004", "sender 'x'"),
        ("rtp://[::1]@127.0.0.1:5004", "IP version"),
        ("rtp://127.0.0.1:5004?iface=lo", "'iface'"),
        ("rtp://127.0.0.1:5004?interface=", "interface ''"),
    ],
)
def test_a_mistake_is_told_with_place_and_value(text, value):
    with pytest.raises(ConfigurationError) as error:
        parse_endpoint(text, "bench.toml, streams[2].source")
    message = str(error.value)
    assert message.startswith("bench.toml, streams[2].source: ")
    assert value in message
    assert "\n" not in message


def test_multicast_is_known_by_its_address():
    assert Endpoint("239.1.2.3", 5004).is_multicast
    assert Endpoint("ff02::1", 5004).is_multicast
    assert not Endpoint("192.0.2.1", 5004).is_multicast


def test_join_address():
    assert join_address("192.0.2.7", 5004) == "192.0.2.7:5004"
    assert join_address("::1", 5004) == "[::1]:5004"
