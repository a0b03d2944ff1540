"""UDP checksums against the sum as RFC 1071 describes it, a word at a time."""

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.sources.capture.checksum import are_right


def ones_complement_sum(data):
    total = 0
    for (word,) in struct.iter_unpack("!H", data + bytes(len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def datagram(addresses, payload):
    """Return a UDP datagram with the right checksum."""
    length = 8 + len(payload)
    header = struct.pack("!HHHH", 5004, 5006, length, 0)
    upper = struct.pack("!IxxxB", length, 17)  # RFC 8200; IPv4's has the same sum
    checksum = 0xFFFF - ones_complement_sum(addresses + upper + header + payload)
    return header[:6] + struct.pack("!H", checksum or 0xFFFF) + payload


@given(
    st.lists(st.binary(min_size=0, max_size=40), min_size=1, max_size=6),
    st.sampled_from([8, 32]),
    st.randoms(use_true_random=False),
)
def test_a_wrong_bit_anywhere_shows(payloads, address_bytes, rng):
    addresses = [rng.randbytes(address_bytes) for _ in payloads]
    sent = [datagram(*pair) for pair in zip(addresses, payloads, strict=True)]
    broken = rng.randrange(len(sent))
    at = rng.choice([bit for bit in range(8 * len(sent[broken])) if bit // 8 not in (4, 5, 6, 7)])
    damaged = bytearray(sent[broken])
    damaged[at // 8] ^= 1 << at % 8
    after = [*sent[:broken], bytes(damaged), *sent[broken + 1 :]]
    wanted = [number != broken for number in range(len(sent))]
    for datagrams, expected in ((sent, [True] * len(sent)), (after, wanted)):
        offset = np.cumsum([0, *(len(one) for one in datagrams[:-1])]) + 8
        length = np.array([len(one) - 8 for one in datagrams])
        ends = np.frombuffer(b"".join(addresses), np.uint8).reshape(-1, address_bytes)
        arena = np.frombuffer(b"".join(datagrams), np.uint8)
        assert are_right(arena, offset, length, ends).tolist() == expected


def test_none_is_not_wrong():
    sent = bytearray(datagram(bytes(8), b"audio"))
    sent[6:8] = bytes(2)
    right = are_right(np.frombuffer(sent, np.uint8), np.array([8]), np.array([5]), np.zeros((1, 8), np.uint8))
    assert right.tolist() == [True]
