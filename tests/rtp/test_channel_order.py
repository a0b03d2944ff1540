"""Channel orders of ST 2110-30."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.channel_order import channel_labels


@pytest.mark.parametrize(
    ("order", "channels", "labels"),
    [
        ("SMPTE2110.(ST)", 2, ["L", "R"]),
        ("SMPTE2110.(51,ST)", 8, ["L", "R", "C", "LFE", "Ls", "Rs", "L", "R"]),
        ("SMPTE2110.(M, DM)", 3, ["M", "M1", "M2"]),
        ("SMPTE2110.(ST)", 4, ["L", "R", "", ""]),
        ("SMPTE2110.(U02,M)", 3, ["", "", "M"]),
        ("SMPTE2110.(ST)", 1, []),
        ("SMPTE2110.(XX)", 2, []),
        ("ST", 2, []),
    ],
)
def test_labels(order, channels, labels):
    assert channel_labels(order, channels) == labels


def test_wide_groups_are_whole():
    for symbol, channels in (("71", 8), ("222", 24), ("SGRP", 4), ("LtRt", 2)):
        assert "" not in channel_labels(f"SMPTE2110.({symbol})", channels)
        assert channel_labels(f"SMPTE2110.({symbol})", channels - 1) == []


@given(st.text(max_size=30), st.integers(1, 64))
def test_any_text_gives_labels_for_all_channels_or_none(text, channels):
    assert len(channel_labels(f"SMPTE2110.({text})", channels)) in (0, channels)
