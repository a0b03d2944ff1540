"""Bits of samples: empty low ones, bytes in the other order, wrong ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.dsp.sample_words import empty_low_bits, swap_bytes, wrong_bits


def tone():
    return 0.5 * np.sin(2 * np.pi * 997 / 48000 * np.arange(4800) + 0.2)


def rounded(x, bits):
    return np.rint(x * 2 ** (bits - 1)) / 2 ** (bits - 1)


@pytest.mark.parametrize("used", range(8, 16))
def test_empty_low_bits_are_counted(used):
    assert empty_low_bits(rounded(tone(), used), 16) == 16 - used
    assert empty_low_bits(rounded(tone(), 16), 16) == 0


def test_too_few_values_tell_nothing_of_low_bits():
    assert empty_low_bits(np.array([0.5, -0.5, 0.5]), 16) == 0
    assert empty_low_bits(np.zeros(1000), 16) == 0
    assert empty_low_bits(np.zeros(0), 16) == 0


@pytest.mark.parametrize("bits", [16, 24])
@given(data=st.data())
def test_bytes_swapped_are_those_of_the_wire(bits, data):
    values = data.draw(st.lists(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1), min_size=1, max_size=20))
    x = np.array(values) / 2 ** (bits - 1)
    wire = [int(v).to_bytes(bits // 8, "big", signed=True) for v in values]
    expected = np.array([int.from_bytes(item, "little", signed=True) for item in wire]) / 2 ** (bits - 1)
    assert np.array_equal(swap_bytes(x, bits), expected)
    assert np.array_equal(swap_bytes(swap_bytes(x, bits), bits), x)


@pytest.mark.parametrize("bits", [16, 24])
@given(data=st.data())
def test_wrong_bits_are_counted(bits, data):
    most = 2 ** (bits - 1)
    was, came = (np.array(data.draw(st.lists(st.integers(-most, most - 1), min_size=5, max_size=5))) for _ in range(2))
    differing = sum(bin((int(a) ^ int(b)) & (2**bits - 1)).count("1") for a, b in zip(was, came, strict=True))
    assert wrong_bits(came / most, was / most, bits) == differing
