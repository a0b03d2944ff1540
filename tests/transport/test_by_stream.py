"""Grouping of rows by stream."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.transport.by_stream import group_by_stream


@given(streams=st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_groups_hold_each_row_once_in_order(streams: list[int]) -> None:
    stream = np.array(streams)
    groups = group_by_stream(stream)
    assert groups.stream.tolist() == sorted(set(streams))
    together = np.arange(len(streams))[groups.rows]
    for i, one in enumerate(groups.stream):
        expected = [row for row, value in enumerate(streams) if value == one]
        assert groups.rows_of(i).tolist() == expected
        assert together[groups.first[i] : groups.stop[i]].tolist() == expected
    assert groups.count.sum() == len(streams)
