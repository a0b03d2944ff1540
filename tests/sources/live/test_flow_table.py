from rtpverify.rtp.batch import Flow
from rtpverify.sources.live.flow_table import FLOWS_FULL, WRONG_SENDER, FlowTable


def test_flows_are_numbered_in_order_and_bounded():
    table = FlowTable(max_flows=2)
    assert table.index("192.0.2.1", 1, "239.0.0.1:5004", None) == 0
    assert table.index("::1", 2, "[::1]:5004", None) == 1
    assert table.index("192.0.2.1", 3, "239.0.0.1:5004", None) == FLOWS_FULL
    assert table.flows == [Flow("192.0.2.1:1", "239.0.0.1:5004"), Flow("[::1]:2", "[::1]:5004")]


def test_another_sender_takes_no_place():
    table = FlowTable(max_flows=1)
    assert table.index("192.0.2.1", 1, "239.0.0.1:5004", {"192.0.2.2"}) == WRONG_SENDER
    assert table.index("192.0.2.2", 1, "239.0.0.1:5004", {"192.0.2.2"}) == 0
