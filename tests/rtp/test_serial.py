"""Differences of numbers that wrap."""

import pytest

from rtpverify.rtp.serial import wrap_difference


@pytest.mark.parametrize(
    ("later", "earlier", "expected"), [(0, 65535, 1), (65535, 0, -1), (32767, 0, 32767), (32768, 0, -32768), (5, 5, 0)]
)
def test_wrap_difference(later: int, earlier: int, expected: int) -> None:
    assert wrap_difference(later, earlier, 16) == expected
    assert wrap_difference(later + 0x50000, earlier, 16) == expected
