from rtpverify.rtp.batch import Flow
from rtpverify.sources.live import flow_table
from rtpverify.sources.live.flow_table import FLOWS_FULL, RESERVED_FLOWS, WRONG_SENDER, FlowTable


def test_flows_are_numbered_in_order_and_bounded(monkeypatch):
    monkeypatch.setattr(flow_table, "RESERVED_FLOWS", 1)
    table = FlowTable(max_flows=2)
    assert table.index("192.0.2.1", 1, "239.0.0.1:5004", None) == 0
    assert table.index("::1", 2, "[::1]:5004", None) == 1
    assert table.index("192.0.2.1", 3, "239.0.0.1:5004", None) == FLOWS_FULL
    assert table.flows == [Flow("192.0.2.1:1", "239.0.0.1:5004"), Flow("[::1]:2", "[::1]:5004")]


def test_another_sender_takes_no_place():
    table = FlowTable(max_flows=1)
    assert table.index("192.0.2.1", 1, "239.0.0.1:5004", {"192.0.2.2"}) == WRONG_SENDER
    assert table.index("192.0.2.2", 1, "239.0.0.1:5004", {"192.0.2.2"}) == 0


def test_a_flood_to_one_destination_leaves_room_for_the_others():
    table = FlowTable(max_flows=100)
    assert [table.index("192.0.2.1", port, "239.0.0.1:5004", None) for port in (1, 2)] == [0, 1]
    given = [table.index("192.0.2.9", port, "239.0.0.2:5004", None) for port in range(1000)]
    assert given.count(FLOWS_FULL) == 1000 - 98
    given = [table.index("192.0.2.1", port, "239.0.0.1:5004", None) for port in range(1, 1000)]
    assert len(table.flows) == 100 + RESERVED_FLOWS - 2
    assert given.count(FLOWS_FULL) == 999 - RESERVED_FLOWS
    table.keep([0, 1])
    assert table.index("192.0.2.9", 5, "239.0.0.2:5004", None) == 2
