"""Rings against frames put on a cable: each is seen once, with its bytes, or in a count."""

import contextlib
import socket
import time

import pytest

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow
from rtpverify.sources.ring.receiver import TapReceiver
from rtpverify.sources.ring.tap import Tap, parse_taps
from tests.helpers import captures
from tests.helpers.cable import Cable, collect, in_own_network, needs_cable
from tests.helpers.patience import PATIENCE_SECONDS

pytestmark = needs_cable


@pytest.fixture
def cable():
    made = Cable()
    made.plug_in()
    yield made
    made.pull_out()


def frame(payload, **options):
    return captures.ethernet(captures.ipv4(captures.udp(payload)), **options)


def with_checksum(payload, checksum):
    """Return a frame whose UDP checksum is given."""
    udp = captures.udp(payload)
    return captures.ethernet(captures.ipv4(udp[:6] + checksum + udp[8:]))


def test_every_frame_is_seen_once_with_its_bytes(cable):
    payloads = [f"packet {number}".encode() for number in range(300)]
    before_ns = time.time_ns()
    with TapReceiver([Tap(cable.end)]) as receiver:
        assert receiver.drain() is None
        assert before_ns <= receiver.clear_ns <= time.time_ns()
        cable.put(*(frame(payload) for payload in payloads))
        found = collect(receiver, len(payloads))
        assert [payload for payload, _ in found] == payloads
        assert len({flow for _, flow in found}) == 1
        assert receiver.flows == [found[0][1]]
        assert receiver.dropped == 0
        assert not receiver.discarded


def test_time_of_arrival_is_the_kernels(cable):
    with TapReceiver([Tap(cable.end)]) as receiver:
        before_ns = time.time_ns()
        cable.put(frame(b"now"))
        after_ns = time.time_ns()
        while (batch := receiver.drain()) is None:
            pass
        assert before_ns <= batch.arrival_ns[0] <= after_ns + 1_000_000_000


def test_tagged_frames_and_ipv6(cable):
    with TapReceiver([Tap(cable.end)]) as receiver:
        cable.put(
            frame(b"tagged", vlans=(0x8100,)),
            frame(b"tagged twice", vlans=(0x88A8, 0x8100)),
            captures.ethernet(captures.ipv6(captures.udp(b"version 6"))),
        )
        assert [payload for payload, _ in collect(receiver, 3)] == [b"tagged", b"tagged twice", b"version 6"]


def test_what_is_no_udp_is_neither_seen_nor_counted(cable):
    with TapReceiver([Tap(cable.end)]) as receiver:
        tcp = bytearray(captures.ipv4(captures.udp(b"no UDP")))
        tcp[9] = 6
        cable.put(captures.ethernet(bytes(tcp)), frame(b"UDP"))
        assert [payload for payload, _ in collect(receiver, 1)] == [b"UDP"]
        assert not receiver.discarded


def test_a_filter_chooses(cable):
    with TapReceiver(parse_taps(f"capture://{cable.end}?filter=udp dst port 6000")) as receiver:
        other = captures.ethernet(captures.ipv4(captures.udp(b"wanted", destination_port=6000)))
        cable.put(frame(b"unwanted"), other)
        assert [payload for payload, _ in collect(receiver, 1)] == [b"wanted"]


def test_a_wrong_checksum_is_counted(cable):
    with TapReceiver([Tap(cable.end)]) as receiver:
        cable.put(with_checksum(b"damaged", b"\x12\x34"), with_checksum(b"without", bytes(2)))
        assert [payload for payload, _ in collect(receiver, 1)] == [b"without"]
        assert receiver.discarded == {"checksum": 1}


def test_a_frame_longer_than_its_slot_says_how_much_is_gone(cable):
    with TapReceiver([Tap(cable.end, slot_bytes=512)]) as receiver:
        cable.put(frame(bytes(1000)))
        while (batch := receiver.drain()) is None:
            pass
        assert batch.length[0] + batch.cut_bytes[0] == 1000
        assert 0 < batch.length[0] < 512


def test_frames_that_a_full_ring_cannot_hold_are_counted_where_they_are_gone(cable):
    with TapReceiver([Tap(cable.end, ring_mb=1)]) as receiver:
        slots = (1 << 20) // 2048
        kept = []
        for first in (0, 1000):
            cable.put(*(frame(number.to_bytes(4, "big")) for number in range(first, first + slots + 88)))
            while (batch := receiver.drain()) is not None:
                numbers = [int.from_bytes(batch.arena[at : at + 4].tobytes(), "big") for at in batch.offset]
                kept += zip(numbers, batch.host_dropped.tolist(), strict=True)
        assert receiver.dropped == 2 * 88
        assert receiver.take_fill() == 1.0
        assert len(kept) == 2 * slots
        assert all(dropped == (0 if number < 1000 else 88) for number, dropped in kept)


def test_what_this_host_sends_only_on_request(cable):
    for outgoing, wanted in ((False, []), (True, [b"sent"])):
        with TapReceiver([Tap(cable.far_end, outgoing=outgoing)]) as receiver:
            cable.put(frame(b"sent"))
            assert [payload for payload, _ in collect(receiver, len(wanted))] == wanted


def test_loopback_shows_each_packet_once():
    with (
        TapReceiver(parse_taps("capture://lo")) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        far.bind(("127.0.0.1", 0))
        near.bind(("127.0.0.1", 0))
        sender, destination = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in (near, far))
        # The last is longer than the interface passes at once: its fragments are put together.
        payloads = [b"one", b"two", bytes(1000)]
        for payload in payloads:
            near.sendto(payload, far.getsockname())
        ours = Flow(sender, destination)
        found = []
        give_up = time.monotonic() + PATIENCE_SECONDS
        while len(found) < len(payloads) and time.monotonic() < give_up:
            batch = receiver.drain()
            if batch is not None:
                found += [
                    batch.arena[offset : offset + length].tobytes()
                    for offset, length, flow in zip(batch.offset, batch.length, batch.flow, strict=True)
                    if batch.flows[flow] == ours
                ]
        assert found == payloads


def test_fragments_are_put_together():
    def put_together():
        cable = Cable()
        cable.plug_in()
        whole = captures.udp(bytes(range(200)))
        first = captures.ipv4(whole[:104], fragment=0x2000)
        second = captures.ipv4(whole[104:], fragment=104 // 8)
        with TapReceiver([Tap(cable.end)]) as receiver:
            cable.put(captures.ethernet(first), captures.ethernet(second))
            found = [payload for payload, _ in collect(receiver, 1)]
        cable.pull_out()
        return found

    assert in_own_network(put_together) == [bytes(range(200))]


def test_several_interfaces(cable):
    other = Cable()
    other.plug_in()
    try:
        with TapReceiver([Tap(cable.end), Tap(other.end)]) as receiver:
            cable.put(frame(b"here"), frame(b"and here"))
            other.put(frame(b"there"))
            assert sorted(payload for payload, _ in collect(receiver, 3)) == [b"and here", b"here", b"there"]
    finally:
        other.pull_out()


def test_an_interface_that_goes_and_comes_again(cable):
    with TapReceiver([Tap(cable.end)]) as receiver:
        cable.put(frame(b"before"))
        assert [payload for payload, _ in collect(receiver, 1)] == [b"before"]
        cable.pull_out()
        with pytest.raises(SourceError, match=f"capture://{cable.end}: no interface '{cable.end}' on this host; there"):
            receiver.drain()
        cable.plug_in()
        with contextlib.suppress(SourceError):  # that it was down meanwhile
            receiver.drain()
        cable.put(frame(b"after"))
        assert [payload for payload, _ in collect(receiver, 1)] == [b"after"]


def test_an_interface_that_is_not_there():
    with pytest.raises(SourceError, match=r"capture://nowhere0: no interface 'nowhere0' on this host; there are .*lo"):
        TapReceiver([Tap("nowhere0")])


def test_a_filter_that_is_wrong():
    with pytest.raises(SourceError, match=r"capture://lo\?filter=.*: filter 'udp porter 5': .*syntax error"):
        TapReceiver([Tap("lo", filter="udp porter 5")])


def test_without_the_right_the_message_says_what_to_do(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("rtpverify.sources.ring.packet_ring.socket.socket", refuse)
    with pytest.raises(SourceError, match=r"no right to capture packets: run as root, or .*cap_net_raw"):
        TapReceiver([Tap("lo")])
