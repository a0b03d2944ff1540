"""What is asked of a tap: read from one line, written as one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.errors import ConfigurationError
from rtpverify.sources.ring.tap import Tap, parse_taps

TAPS = st.builds(
    Tap,
    st.from_regex(r"[a-z][a-z0-9.\-]{0,14}", fullmatch=True),
    st.sampled_from(["", "udp port 5004", "host 192.0.2.1 && vlan 7", "net fd00::/8 or udp[8] = 0x80"]),
    st.integers(1, 16384),
    st.sampled_from([1 << power for power in range(9, 17)]),
    st.booleans(),
    st.booleans(),
)


@given(TAPS)
def test_what_is_written_is_read_again(tap):
    assert parse_taps(str(tap)) == [tap]


def test_defaults():
    [tap] = parse_taps("capture://eth0")
    assert tap == Tap("eth0")
    assert str(tap) == "capture://eth0"


def test_several_interfaces_share_the_options():
    taps = parse_taps("capture://eth0,eth1?ring_mb=8&outgoing=1")
    assert taps == [Tap("eth0", ring_mb=8, outgoing=True), Tap("eth1", ring_mb=8, outgoing=True)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("rtp://eth0", "capture://"),
        ("capture://", "''"),
        ("capture://eth0,", "''"),
        ("capture://eth0,eth0", "eth0 is named twice"),
        ("capture://any,eth0", "any is named twice"),
        ("capture://any?outgoing=1", "outgoing=1 needs the name of an interface"),
        ("capture://a/b", "'a/b'"),
        ("capture://a b", "'a b'"),
        ("capture://" + 16 * "x", 16 * "x"),
        ("capture://eth0?ring_mb=0", "ring_mb '0'"),
        ("capture://eth0?ring_mb=big", "ring_mb 'big'"),
        ("capture://eth0?ring_mb=²", "ring_mb '²'"),
        ("capture://eth0?slot_bytes=1000", "slot_bytes '1000' is not one of 512, 1024"),
        ("capture://eth0?outgoing=yes", "outgoing 'yes'"),
        ("capture://eth0?speed=9", "'speed'; known are filter"),
    ],
)
def test_a_mistake_is_named_with_its_value(text, part):
    with pytest.raises(ConfigurationError, match=r"^SOURCE: ") as raised:
        parse_taps(text)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)
