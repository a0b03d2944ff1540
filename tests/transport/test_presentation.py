"""Presentation leads against times written by hand, in whole numbers of any size."""

from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.rtp.sdp import Media, MediaClock, ReferenceClock
from rtpverify.transport.presentation import FAR_SECONDS, Presentation, seconds_to_add

NOW = int(datetime(2026, 11, 22, 13, 8, 15, tzinfo=UTC).timestamp())


def medium(*clocks, media_clock=None):
    found = Media(line=1, port=5004, protocol="RTP/AVP", payload_types=(97,))
    found.reference_clocks = [ReferenceClock(clock, "") for clock in clocks]
    found.media_clock = media_clock
    return found


@pytest.mark.parametrize(
    ("clocks", "host_clock", "year", "expected"),
    [
        (["ptp"], "utc", 2026, 37),
        (["ptp"], "tai", 2026, 0),
        ([], "utc", 2016, 36),
        (["ptp"], "utc", 2014, 35),
        (["ntp"], "utc", 2026, 2_208_988_800),
        (["ntp"], "tai", 2026, 2_208_988_800 - 37),
        (["gps"], "utc", 2026, 18 - 315_964_800),
        (["gps"], "tai", 2026, -19 - 315_964_800),
        (["localmac", "ptp"], "tai", 2026, 0),
        (["localmac"], "utc", 2026, None),
    ],
)
def test_from_the_clock_of_the_host_to_that_of_the_sender(clocks, host_clock, year, expected):
    moment = int(datetime(year, 6, 1, tzinfo=UTC).timestamp())
    assert seconds_to_add(medium(*clocks), host_clock, moment) == expected


def test_a_media_clock_of_the_senders_own_says_nothing():
    assert seconds_to_add(medium("ptp", media_clock=MediaClock("sender", None)), "utc", NOW) is None
    assert seconds_to_add(None, "utc", NOW) == 37


@given(
    rate=st.sampled_from([8000, 44_100, 48_000, 96_000]),
    arrival_ns=st.integers(NOW * 10**9, (NOW + 10**8) * 10**9),
    lead_ns=st.integers(-900_000_000, 900_000_000),
    offset=st.integers(0, 2**32 - 1),
    add=st.sampled_from([0, 37, 2_208_988_800, -315_964_782]),
)
def test_the_lead_is_what_lies_between(rate, arrival_ns, lead_ns, offset, add):
    """Whatever the wrap: a packet sampled so that it is due ``lead_ns`` after its arrival has that lead."""
    link_offset = Fraction(5, 1000)
    sampled = Fraction(arrival_ns + lead_ns, 10**9) - link_offset
    ticks = int((sampled + add) * rate) + offset  # to the tick before
    presentation = Presentation()
    presentation.fresh_row(0)
    presentation.set(0, rate, add, offset, float(link_offset), 0.0)
    presentation.update(np.zeros(1, np.int64), np.array([ticks % 2**32]), np.array([arrival_ns]))
    latest, least = presentation.lead_seconds(0)
    exact = Fraction(ticks - offset, rate) - add + link_offset - Fraction(arrival_ns, 10**9)
    assert latest == least == pytest.approx(float(exact), abs=1e-9)
    assert presentation.packets_short(0) == (latest < 0)


def packets(presentation, stream, leads, rate=48_000):
    """Feed packets a millisecond apart, each with its lead (to the frame), link offset 2 ms."""
    arrival_ns = NOW * 10**9 + 10**6 * np.arange(len(leads), dtype=np.int64)
    sampled = arrival_ns / 1e9 - NOW + np.array(leads) - 0.002
    timestamp = (NOW * rate + np.rint(sampled * rate).astype(np.int64)) % 2**32
    presentation.update(np.full(len(leads), stream), timestamp, arrival_ns)


def test_least_latest_and_how_many_are_short():
    presentation = Presentation()
    for stream in range(3):
        presentation.fresh_row(stream)
    presentation.set(1, 48_000, 0, 0, 0.002, 0.0005)
    packets(presentation, 1, [0.0010, 0.0004, -0.0002, 0.0009])
    packets(presentation, 2, [0.001])
    latest, least = presentation.lead_seconds(1)
    assert latest == pytest.approx(0.0009, abs=1 / 48_000)
    assert least == pytest.approx(-0.0002, abs=1 / 48_000)
    assert presentation.packets_short(1) == 2
    assert presentation.lead_seconds(0) is presentation.lead_seconds(2) is presentation.packets_short(2) is None
    presentation.stop(1)
    packets(presentation, 1, [-0.5])
    assert presentation.packets_short(1) == 2


@pytest.mark.parametrize("off", [-5000.0, -1.2, 1.2, 40_000.0])
def test_timestamps_of_another_clock_have_no_lead(off):
    presentation = Presentation()
    presentation.fresh_row(0)
    presentation.set(0, 48_000, 0, 0, 0.002, 0.0)
    packets(presentation, 0, [off] * 10)
    assert presentation.lead_seconds(0) is presentation.packets_short(0) is None
    assert presentation.off_seconds(0) == pytest.approx(abs(off - 0.002), abs=0.01)
    assert presentation.off_seconds(0) > FAR_SECONDS


def test_a_clock_that_agrees_is_not_off():
    presentation = Presentation()
    presentation.fresh_row(0)
    assert presentation.off_seconds(0) is None
    presentation.set(0, 48_000, 0, 0, 0.002, 0.0)
    assert presentation.off_seconds(0) is None
    packets(presentation, 0, [0.001])
    assert presentation.off_seconds(0) is None
