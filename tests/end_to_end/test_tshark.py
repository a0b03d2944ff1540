"""Where our counts differ from tshark's on purpose, and why."""

import struct

import pytest

from tests.end_to_end import wire
from tests.end_to_end.programs import check_capture, require
from tests.helpers import captures

PORT = 5004


@pytest.fixture
def both(tmp_path):
    """Count packets, given as sequence numbers and timestamps, with tshark and with rtpverify."""
    require("tshark")

    def count(packets):
        records = []
        for index, (sequence, timestamp) in enumerate(packets):
            rtp = struct.pack(">BBHII", 0x80, 97, sequence % 2**16, timestamp % 2**32, 9) + bytes(96)
            records.append((10**18 + 1_000_000 * index, captures.ethernet(captures.ipv4(captures.udp(rtp)))))
        path = tmp_path / "made.pcap"
        path.write_bytes(captures.pcap(records))
        _, result = check_capture(path, "--encoding", "L16/48000/1", "--reference", "none")
        [theirs], [ours] = wire.statistics(path, PORT), result["streams"]
        return theirs, ours["transport"], [event["kind"] for event in ours["events"]]

    return count


def steady(count, sequence=100, timestamp=0):
    return [(sequence + index, timestamp + 48 * index) for index in range(count)]


def test_losses_across_the_wrap_are_the_same(both):
    packets = [packet for packet in steady(400, sequence=65_400) if packet[0] not in (65_450, 65_536, 65_537)]
    theirs, ours, kinds = both(packets)
    assert (theirs.packets, theirs.lost) == (ours["packets_received"], ours["packets_lost"]) == (397, 3)
    assert kinds == ["gap", "gap"]


def test_a_restart_of_the_sender_loses_nothing(both):
    """tshark takes the jump in sequence numbers for lost packets; no packet of this stream is missing."""
    theirs, ours, kinds = both(steady(200) + steady(200, sequence=30_000, timestamp=9_000_000))
    assert theirs.lost == 30_000 - 300
    assert (ours["packets_received"], ours["packets_lost"], kinds) == (400, 0, ["restart"])


def test_copies_are_not_packets_received(both):
    """tshark counts each copy as a packet, and takes it off the losses; one copy hides one loss."""
    packets = steady(200)
    packets.insert(100, packets[99])
    del packets[50]
    theirs, ours, _ = both(packets)
    assert (theirs.packets, theirs.lost) == (200, 0)
    assert (ours["packets_received"], ours["packets_duplicated"], ours["packets_lost"]) == (199, 1, 1)


def test_a_packet_that_comes_too_late_is_lost(both):
    """tshark counts what came at any time; whoever plays the stream did without this packet."""
    packets = steady(400)
    packets.insert(300, packets.pop(100))
    theirs, ours, kinds = both(packets)
    assert (theirs.packets, theirs.lost) == (400, 0)
    assert (ours["packets_received"], ours["packets_lost"], ours["packets_late"], kinds) == (399, 1, 1, ["gap"])


def test_reordering_is_the_same(both):
    packets = steady(200)
    packets.insert(103, packets.pop(100))
    theirs, ours, kinds = both(packets)
    assert (theirs.packets, theirs.lost) == (ours["packets_received"], ours["packets_lost"]) == (200, 0)
    assert (ours["packets_reordered"], kinds) == (1, [])
