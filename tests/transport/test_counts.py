"""Bursts and gaps of RFC 3611, against the definition taken literally."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.transport.counts import G_MIN, Bursts, PacketCounts, Reception


def pattern(lost, count):
    """Return (bursts, packets in bursts, lost in them, lost alone) by looking at every packet."""
    missing = [index for index in range(count) if index in lost]
    groups = []
    for index in missing:
        if groups and index - groups[-1][-1] - 1 < G_MIN:
            groups[-1].append(index)
        else:
            groups.append([index])
    bursts = [group for group in groups if len(group) > 1]
    alone = len(groups) - len(bursts)
    return len(bursts), sum(group[-1] - group[0] + 1 for group in bursts), sum(map(len, bursts)), alone


@pytest.mark.parametrize(
    ("report", "waited_ns", "units"),
    [(0, 10**9, 0), (7, 10**9, 65_536), (7, 500_000_000, 32_768), (7, -5, 0), (7, 10**15, 2**32 - 1)],
)
def test_how_long_ago_the_latest_report_came(report, waited_ns, units):
    reception = Reception(PacketCounts(), 0, None, 0, report, 10**18)
    assert reception.delay_since_last_report(10**18 + waited_ns) == units


@given(lost=st.sets(st.integers(0, 300), max_size=60))
def test_against_the_definition(lost):
    bursts = Bursts()
    for _, run in groupby(enumerate(sorted(lost)), key=lambda item: item[1] - item[0]):
        numbers = [number for _, number in run]
        bursts.add(numbers[0], numbers[-1])
    count, inside, lost_inside, alone = pattern(lost, 301)
    found = bursts.pattern(301)
    assert found.bursts == count
    assert found.burst_density == (pytest.approx(lost_inside / inside) if count else None)
    assert found.burst_packets == (pytest.approx(inside / count) if count else None)
    assert found.gap_density == pytest.approx(alone / (301 - inside))
    assert found == bursts.pattern(301)  # to ask changes nothing


def test_the_example_of_the_rfc():
    """RFC 3611 section 4.7.2: losses at 16 packets apart are single, nearer ones a burst."""
    bursts = Bursts()
    for number in (0, 17, 18 + 17):
        bursts.add(number, number)
    assert bursts.pattern(100).bursts == 0
    bursts.add(35 + 16, 35 + 16)
    assert bursts.pattern(100).bursts == 1
