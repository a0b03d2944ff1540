"""Both receivers against the same expectations, over loopback."""

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow, gather
from rtpverify.sources.live import flow_table, recvmmsg, sockets
from rtpverify.sources.live.asyncio_udp import DgramReceiver
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.live.flow_table import FlowTable
from rtpverify.sources.live.recvmmsg import MAX_BATCH, UdpReceiver
from rtpverify.sources.open_receiver import open_receiver
from rtpverify.sources.ring.endpoint_receiver import RingReceiver
from tests.helpers.patience import PATIENCE_SECONDS, until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


needs_capture = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs the right to capture packets"
)


@pytest.fixture(
    params=[
        pytest.param(UdpReceiver, marks=linux_only),
        DgramReceiver,
        pytest.param(RingReceiver, marks=needs_capture),
    ]
)
def make(request):
    return request.param


@dataclass
class Datagram:
    payload: bytes
    flow: Flow
    arrival_ns: int


ANY = "0.0.0.0"  # noqa: S104  (every address of this host is the point)


async def collect(receiver, count, timeout_seconds=PATIENCE_SECONDS):
    """Drain until ``count`` datagrams came or the time is up."""
    found = []
    end = time.monotonic() + timeout_seconds
    while len(found) < count and time.monotonic() < end:
        await asyncio.sleep(0.002)
        batch = receiver.drain()
        if batch is None:
            continue
        for offset, length, arrival_ns, flow in zip(
            batch.offset, batch.length, batch.arrival_ns, batch.flow, strict=True
        ):
            payload = batch.arena[offset : offset + length].tobytes()
            found.append(Datagram(payload, batch.flows[flow], int(arrival_ns)))
    return found


async def drained(receiver, discarded):
    """Drain what is discarded, with nothing else among it, until the receiver has counted so much."""

    def holds():
        assert receiver.drain() is None
        return receiver.discarded == discarded

    await until(holds, lambda: receiver.discarded)


def free_port(address="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))
        return sock.getsockname()[1]


@pytest.fixture
def send():
    """Send from a given address; the sockets stay open, so their ports stay distinct."""
    opened = {}

    def send_to(payload, address, port, source="127.0.0.1", which=0, interface=None):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if (source, which) not in opened:
            sock = opened[source, which] = socket.socket(family, socket.SOCK_DGRAM)
            sock.bind((source, 0))
            if family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            elif interface is not None:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface))
        opened[source, which].sendto(payload, (address, port))
        return opened[source, which].getsockname()[1]

    yield send_to
    for sock in opened.values():
        sock.close()


@pytest.fixture
def ipv6_interface():
    """Return name and address of an interface that has IPv6 multicast; loopback has not."""
    for name, address in sockets.interface_addresses():
        if address.version == 6 and not address.is_loopback and not address.is_link_local:
            return name, str(address)
    pytest.skip("needs an interface with an IPv6 address")


async def stamped(receiver, send, port):
    """Wait until the kernel stamps datagrams as they arrive, which it begins some time after it was asked to."""
    while True:
        send(b"", "127.0.0.1", port)
        sent_ns = time.time_ns()
        await asyncio.sleep(0.005)
        [item] = await collect(receiver, 1)
        if item.arrival_ns <= sent_ns or not isinstance(receiver, UdpReceiver):
            return


async def test_payload_flow_and_time_of_every_datagram(make, send):
    port = free_port()
    with make([Endpoint("127.0.0.1", port)]) as receiver:
        await stamped(receiver, send, port)
        assert receiver.drain() is None
        before_ns = time.time_ns()
        payloads = [bytes([k]) * (k * 7) for k in range(200)]
        for payload in payloads:
            source_port = send(payload, "127.0.0.1", port)
        found = await collect(receiver, len(payloads))
        after_ns = time.time_ns()
        assert [item.payload for item in found] == payloads
        assert {item.flow for item in found} == {Flow(f"127.0.0.1:{source_port}", f"127.0.0.1:{port}")}
        times_ns = [item.arrival_ns for item in found]
        assert times_ns == sorted(times_ns)
        assert before_ns <= times_ns[0] <= times_ns[-1] <= after_ns
        assert receiver.drain() is None
        assert receiver.dropped == 0
        assert not receiver.discarded


async def test_a_receiver_is_clear_of_what_came_before_it_was_found_empty(make, send):
    """Whatever arrived before ``clear_ns`` has been handed over; it goes on while nothing comes."""
    port = free_port()
    with make([Endpoint("127.0.0.1", port)]) as receiver:
        assert receiver.clear_ns == 0
        handed_over = 0
        for turn in range(20):
            for _ in range(turn):
                send(b"x" * 40, "127.0.0.1", port)
            sent_ns = time.time_ns()
            while receiver.clear_ns <= sent_ns:
                await asyncio.sleep(0)
                batch = receiver.drain()
                handed_over += 0 if batch is None else len(batch)
                assert receiver.clear_ns <= time.time_ns()
            assert handed_over == sum(range(turn + 1))


@linux_only
async def test_a_full_batch_leaves_it_open_whether_more_came(send):
    port = free_port()
    with UdpReceiver([Endpoint("127.0.0.1", port)]) as receiver:
        receiver.drain()
        before_ns = receiver.clear_ns
        for _ in range(MAX_BATCH + 1):
            send(b"x" * 40, "127.0.0.1", port)
        batch = receiver.drain()
        assert len(batch) == MAX_BATCH
        assert before_ns < receiver.clear_ns == batch.arrival_ns[-1]
        assert len(batch := receiver.drain()) == 1
        assert receiver.clear_ns > batch.arrival_ns[-1]


async def test_many_endpoints_and_senders_keep_apart(make, send):
    ports = [free_port() for _ in range(5)]
    expected = {}
    with make([Endpoint("127.0.0.1", port) for port in ports]) as receiver:
        for turn in range(3):
            for port in ports:
                for which in range(4):
                    payload = struct.pack("!III", turn, port, which)
                    source_port = send(payload, "127.0.0.1", port, which=which)
                    expected[payload] = Flow(f"127.0.0.1:{source_port}", f"127.0.0.1:{port}")
        found = await collect(receiver, len(expected))
        assert {item.payload: item.flow for item in found} == expected
        assert len(found) == len(expected)
        assert len(receiver.flows) == len(set(receiver.flows)) == len(ports) * 4


async def test_ipv6_beside_ipv4(make, send):
    port6, port4 = free_port("::1"), free_port()
    with make([Endpoint("::1", port6), Endpoint("127.0.0.1", port4)]) as receiver:
        expected = {}
        found = []
        for turn in range(10):
            payload6, payload4 = b"six%d" % turn, b"four%d" % turn
            expected[payload6] = Flow(f"[::1]:{send(payload6, '::1', port6, '::1')}", f"[::1]:{port6}")
            expected[payload4] = Flow(f"127.0.0.1:{send(payload4, '127.0.0.1', port4)}", f"127.0.0.1:{port4}")
            found += await collect(receiver, 2)
        assert {item.payload: item.flow for item in found} == expected
        assert len(receiver.flows) == 2


async def test_flows_past_the_bound_are_discarded_and_counted(make, send, monkeypatch):
    monkeypatch.setattr(flow_table, "RESERVED_FLOWS", 0)
    port = free_port()
    with make([Endpoint("127.0.0.1", port)], max_flows=3) as receiver:
        for turn in range(2):
            for which in range(5):
                send(bytes([turn, which]), "127.0.0.1", port, which=which)
            found = await collect(receiver, 3)
            await drained(receiver, {"flows": 2 * (turn + 1)})
            assert [item.payload for item in found] == [bytes([turn, which]) for which in range(3)]


async def test_a_unicast_endpoint_may_name_its_sender(make, send):
    port = free_port(ANY)
    endpoints = [Endpoint(ANY, port, sender) for sender in ("127.0.0.2", "127.0.0.3")]
    with make(endpoints) as receiver:
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"):
            send(source.encode(), "127.0.0.1", port, source)
        found = await collect(receiver, 2)
        await drained(receiver, {"sender": 2})
        assert [item.payload for item in found] == [b"127.0.0.2", b"127.0.0.3"]
        assert {item.flow.destination for item in found} == {f"{ANY}:{port}"}


@linux_only
@pytest.mark.parametrize("interface", ["lo", "127.0.0.1"])
async def test_multicast_hears_its_group_alone(make, send, interface):
    port = free_port(ANY)
    endpoints = [Endpoint(group, port, None, interface) for group in ("239.192.7.1", "239.192.7.2")]
    with make(endpoints) as receiver:
        for last in (1, 2, 3):
            send(bytes([last]), f"239.192.7.{last}", port)
        found = await collect(receiver, 2)
        assert [(item.payload, item.flow.destination) for item in sorted(found, key=lambda item: item.payload)] == [
            (b"\1", f"239.192.7.1:{port}"),
            (b"\2", f"239.192.7.2:{port}"),
        ]
        await asyncio.sleep(0.01)
        assert receiver.drain() is None


@linux_only
async def test_source_specific_multicast_hears_its_sender_alone(make, send):
    port = free_port(ANY)
    with (
        make([Endpoint("232.7.7.7", port, "127.0.0.2", "lo")]) as receiver,
        # A neighbour that takes every source must not let the others in.
        make([Endpoint("232.7.7.7", port, None, "lo")]) as neighbour,
    ):
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            send(source.encode(), "232.7.7.7", port, source)
        found = await collect(receiver, 1)
        assert [item.payload for item in found] == [b"127.0.0.2"]
        assert len(await collect(neighbour, 3)) == 3
        assert receiver.drain() is None
        assert not receiver.discarded


@linux_only
@pytest.mark.parametrize("make", [UdpReceiver, DgramReceiver])  # a ring does not see what never leaves the host
async def test_ipv6_multicast(make, send, ipv6_interface):
    name, address = ipv6_interface
    port = free_port("::")
    # ff01 and ff31 never leave the host.
    endpoints = [Endpoint("ff01::7:7", port, None, name), Endpoint("ff31::7:8", port, address, address)]
    with make([*endpoints, Endpoint("ff31::7:9", port, "2001:db8::1", name)]) as receiver:
        for group in ("ff01::7:7", "ff31::7:8", "ff31::7:9"):
            send(group.encode(), group, port, address, interface=name)
        found = await collect(receiver, 2)
        assert {item.payload.decode(): item.flow for item in found} == {
            endpoint.address: Flow(found[0].flow.sender, endpoint.destination) for endpoint in endpoints
        }
        await asyncio.sleep(0.01)
        assert receiver.drain() is None


@linux_only
@pytest.mark.parametrize("make", [UdpReceiver, DgramReceiver])
async def test_what_the_kernel_drops_is_counted_without_a_further_packet(make, send):
    port = free_port()
    sent = 2000
    with make([Endpoint("127.0.0.1", port)], receive_buffer_bytes=4096) as receiver:
        assert receiver.receive_buffer_bytes < 64_000
        await asyncio.sleep(0)
        for _ in range(sent):
            send(bytes(300), "127.0.0.1", port)
        dropped = receiver.dropped
        assert 0 < dropped < sent
        assert receiver.dropped == dropped
        found = await collect(receiver, sent - dropped)
        assert len(found) == sent - dropped
        assert receiver.drain() is None
    assert receiver.dropped == dropped


@linux_only
@pytest.mark.parametrize("endpoints", [1, 3])
async def test_the_fullest_buffer_since_the_last_look_is_told(send, endpoints):
    ports = [free_port() for _ in range(endpoints)]
    with UdpReceiver([Endpoint("127.0.0.1", port) for port in ports], receive_buffer_bytes=4096) as receiver:
        assert receiver.take_fill() is None
        for _ in range(2000):
            send(bytes(300), "127.0.0.1", ports[-1])
        for _ in range(endpoints):  # each drain asks one socket
            receiver.drain()
            send(bytes(300), "127.0.0.1", ports[-1])
        full = receiver.take_fill()
        assert (full > 0.9) == (endpoints == 1)
        assert full > 0
        assert receiver.take_fill() is None
        receiver.drain()
        assert receiver.take_fill() < 0.9


@linux_only
@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        (Endpoint("203.0.113.9", 5004), "address 203.0.113.9 is not on this host"),
        (Endpoint("239.1.1.1", 5004, None, "nosuch0"), "no interface 'nosuch0' on this host; there are lo"),
        (Endpoint("239.1.1.1", 5004, None, "203.0.113.9"), "no interface '203.0.113.9'"),
        (Endpoint("ff02::1", 5004, None, "nosuch0"), "no interface 'nosuch0'"),
    ],
)
async def test_an_endpoint_that_cannot_be_opened_is_told(make, endpoint, reason):
    with pytest.raises(SourceError) as error:
        make([Endpoint("127.0.0.1", free_port()), endpoint])
    assert str(error.value).startswith(f"{endpoint.destination}: {reason}")
    assert "\n" not in str(error.value)


async def test_a_port_in_use_is_told_and_nothing_stays_open(make):
    free, port = free_port(), free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(
            SourceError, match=f"^127.0.0.1:{port}: port {port} is in use; end the program that uses it"
        ):
            make([Endpoint("127.0.0.1", free), Endpoint("127.0.0.1", port)])
    make([Endpoint("127.0.0.1", free), Endpoint("127.0.0.1", port)]).close()


async def test_closing_twice_and_opening_again(make, send):
    port = free_port()
    for _ in range(3):
        receiver = make([Endpoint("127.0.0.1", port)])
        await asyncio.sleep(0)
        receiver.close()
        receiver.close()
        await asyncio.sleep(0.01)
    with make([Endpoint("127.0.0.1", port)]) as receiver:
        send(b"x", "127.0.0.1", port)
        assert len(await collect(receiver, 1)) == 1


@linux_only
async def test_a_datagram_longer_than_its_slot_is_discarded_and_counted(send):
    port = free_port()
    with UdpReceiver([Endpoint("127.0.0.1", port)]) as receiver:
        for size in (2048, 2049, 60_000, 5):
            send(bytes(size), "127.0.0.1", port)
        found = await collect(receiver, 2)
        assert [len(item.payload) for item in found] == [2048, 5]
        assert receiver.discarded == {"truncated": 2}


@linux_only
def test_a_flooded_socket_starves_no_other(send):
    first, second = free_port(), free_port()
    with UdpReceiver([Endpoint("127.0.0.1", first), Endpoint("127.0.0.1", second)]) as receiver:
        send(b"waiting", "127.0.0.1", second)
        for _ in range(MAX_BATCH + 10):
            send(b"", "127.0.0.1", first)
        batch = receiver.drain()
        assert len(batch) == MAX_BATCH
        (row,) = np.flatnonzero(batch.length)
        assert gather(batch.arena, batch.offset[row : row + 1], 7).tobytes() == b"waiting"
        assert len(receiver.drain()) == 11


@linux_only
def test_sockets_take_turns_and_it_is_known_how_far_each_was_read(send, monkeypatch):
    monkeypatch.setattr(recvmmsg, "MAX_BATCH", 100)
    monkeypatch.setattr(recvmmsg, "LEAST_SHARE", 8)
    ports = [free_port() for _ in range(20)]
    with UdpReceiver([Endpoint("127.0.0.1", port) for port in ports]) as receiver:
        receiver.drain()
        began_ns = receiver.clear_ns
        for turn in range(30):
            for port in ports[: 20 if turn < 10 else 1]:
                send(b"x", "127.0.0.1", port)
        sent_ns = time.time_ns()
        taken: dict[str, list[int]] = {f"127.0.0.1:{port}": [] for port in ports}
        while sum(map(len, taken.values())) < 220:
            batch = receiver.drain()
            for flow, at_ns in zip(batch.flow, batch.arrival_ns, strict=True):
                taken[batch.flows[flow].destination].append(int(at_ns))
            flooded, *others = taken.values()
            if len(flooded) <= 10:
                assert max(map(len, others)) - min(map(len, others)) <= 8
            behind = [
                its[-1] if its else began_ns for its in taken.values() if len(its) < (30 if its is flooded else 10)
            ]
            assert receiver.clear_ns >= began_ns
            assert not behind or receiver.clear_ns <= min(behind)
        assert receiver.drain() is None
        assert receiver.clear_ns > sent_ns
        assert [len(its) for its in taken.values()] == [30] + [10] * 19
        assert all(its == sorted(its) for its in taken.values())


@linux_only
def test_what_is_thrown_away_at_the_end_counts_as_dropped(send):
    ports = [free_port(), free_port()]
    with UdpReceiver([Endpoint("127.0.0.1", port) for port in ports]) as receiver:
        for port in (ports[0], *ports):
            send(b"early", "127.0.0.1", port)
        until_ns = time.time_ns()
        send(b"late", "127.0.0.1", ports[0])
        receiver.abandon(until_ns)
        assert receiver.dropped == 3
        assert receiver.clear_ns >= until_ns


@linux_only
def test_addresses_with_one_hash_stay_apart(send, monkeypatch):
    monkeypatch.setattr("rtpverify.sources.live.recvmmsg._HASH", np.zeros(4, np.uint64))
    port = free_port()
    with UdpReceiver([Endpoint("127.0.0.1", port)]) as receiver:
        for turn in range(2):
            ports = [send(bytes([turn, which]), "127.0.0.1", port, which=which) for which in range(3)]
            batch = receiver.drain()
            assert [batch.flows[k].sender for k in batch.flow] == [f"127.0.0.1:{port}" for port in ports]


async def test_the_queue_behind_asyncio_dgram_is_bounded_and_counted(send):
    port = free_port()
    with DgramReceiver([Endpoint("127.0.0.1", port)], max_queued=10) as receiver:
        for k in range(25):
            send(bytes([k]), "127.0.0.1", port)
        await until(lambda: receiver.dropped == 15)
        batch = receiver.drain()
        assert gather(batch.arena, batch.offset, 1)[:, 0].tolist() == list(range(10))


async def test_the_backend_can_be_chosen():
    with open_receiver([Endpoint("127.0.0.1", free_port())], "asyncio-dgram") as receiver:
        assert isinstance(receiver, DgramReceiver)
    with open_receiver([Endpoint("127.0.0.1", free_port())]) as receiver:
        assert isinstance(receiver, UdpReceiver if sys.platform == "linux" else DgramReceiver)


def test_dropped_packets_are_counted_past_the_wrap_of_the_kernels_counter(monkeypatch):
    counts = iter([0xFFFFFFFE, 5, 5, 0x80000000])

    class Fake:
        def fileno(self):
            return 3

        def getsockopt(self, *_):
            return struct.pack("9I", *[0] * 8, next(counts))

    monkeypatch.setattr(sockets, "_LINUX", True)
    item = sockets.ReceiveSocket(Fake(), Endpoint("127.0.0.1", 5004), None)
    assert [item.dropped() for _ in range(4)] == [0xFFFFFFFE, 0x100000005, 0x100000005, 0x180000000]


async def test_more_endpoints_of_another_family_are_received_on_too(make, send):
    first, second = free_port(), free_port("::1")
    with make([]) as receiver:
        assert receiver.drain() is None
        assert receiver.receive_buffer_bytes > 0
        receiver.add([Endpoint("127.0.0.1", first)])
        send(b"one", "127.0.0.1", first)
        assert [datagram.payload for datagram in await collect(receiver, 1)] == [b"one"]
        receiver.add([Endpoint("::1", second)])
        send(b"two", "::1", second, source="::1")
        send(b"three", "127.0.0.1", first)
        found = {datagram.payload: datagram.flow for datagram in await collect(receiver, 2)}
        assert found[b"two"].destination == f"[::1]:{second}"
        assert found[b"three"].destination == f"127.0.0.1:{first}"
        with pytest.raises(SourceError, match="in use"):
            receiver.add([Endpoint("127.0.0.1", first)])
        send(b"four", "127.0.0.1", first)
        assert [datagram.payload for datagram in await collect(receiver, 1)] == [b"four"]


async def test_an_endpoint_that_is_removed_frees_its_port_and_the_others_lose_nothing(make, send):
    ports = [free_port() for _ in range(3)]
    stays, goes, comes = (Endpoint("127.0.0.1", port) for port in ports)
    with make([stays, goes]) as receiver:
        send(b"0", stays.address, stays.port)
        send(b"gone", goes.address, goes.port)
        assert len(await collect(receiver, 2)) == 2
        flows = list(receiver.flows)
        for turn in range(20):
            send(b"before", stays.address, stays.port)
            receiver.remove([goes])
            send(b"between", stays.address, stays.port)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind((goes.address, goes.port))
            receiver.add([goes if turn % 2 else comes])
            if turn % 2 == 0:
                receiver.remove([comes])
                receiver.add([goes])
            send(b"again", goes.address, goes.port)
            found = await collect(receiver, 3)
            assert sorted(item.payload for item in found) == [b"again", b"before", b"between"]
            assert {item.flow for item in found} == set(flows)
        assert receiver.flows == flows
        assert receiver.dropped == 0


@linux_only
async def test_senders_of_a_group_come_and_go_while_the_others_go_on(make, send):
    port, group = free_port(), "239.77.0.1"
    first, second = (Endpoint(group, port, sender, "127.0.0.1") for sender in ("127.0.0.1", "127.0.0.2"))

    async def heard(receiver, count):
        for source in ("127.0.0.1", "127.0.0.2"):
            send(source.encode(), group, port, source=source)
        await asyncio.sleep(0.05)
        return [item.payload.decode() for item in await collect(receiver, count)]

    with make([first]) as receiver:
        assert await heard(receiver, 1) == ["127.0.0.1"]
        receiver.add([second])
        assert await heard(receiver, 2) == ["127.0.0.1", "127.0.0.2"]
        receiver.remove([first])
        assert await heard(receiver, 1) == ["127.0.0.2"]
        with pytest.raises(SourceError, match="in use"):
            receiver.add([second])
        with pytest.raises(SourceError, match="in use"):
            receiver.add([Endpoint(group, port, None, "127.0.0.1")])
        assert await heard(receiver, 1) == ["127.0.0.2"]
        receiver.remove([second])
        receiver.add([Endpoint(group, port, None, "127.0.0.1")])
        assert sorted(await heard(receiver, 2)) == ["127.0.0.1", "127.0.0.2"]
        assert len(receiver.flows) == 2


async def test_where_one_of_many_cannot_be_added_none_is(make, send):
    port, other, taken = (free_port() for _ in range(3))
    with make([Endpoint("127.0.0.1", port)]) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", taken))
        with pytest.raises(SourceError, match=f"port {taken} is in use"):
            receiver.add([Endpoint("127.0.0.1", other), Endpoint("127.0.0.1", taken)])
        send(b"x", "127.0.0.1", port)
        assert [item.payload for item in await collect(receiver, 1)] == [b"x"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", other))


async def test_flows_that_are_forgotten_make_room_and_come_back_as_new_ones(make, send, monkeypatch):
    monkeypatch.setattr(flow_table, "RESERVED_FLOWS", 0)
    port = free_port()
    with make([Endpoint("127.0.0.1", port)], max_flows=3) as receiver:
        for which in range(4):
            send(b"x", "127.0.0.1", port, which=which)
        first = await collect(receiver, 3)
        await drained(receiver, {"flows": 1})
        before = receiver.flows
        receiver.keep_flows([2])
        assert receiver.flows == [first[2].flow]
        assert len(before) == 3  # a batch that still holds the list stays right
        for which in (3, 2, 0):
            send(b"y", "127.0.0.1", port, which=which)
        again = await collect(receiver, 3)
        assert [item.flow for item in again][1:] == [first[2].flow, first[0].flow]
        assert receiver.flows == [first[2].flow, again[0].flow, first[0].flow]


@cache
def port_of(descriptor):
    """Return the port that a descriptor is bound to."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return sock.getsockname()[1]


@linux_only
async def test_a_socket_that_fails_is_told_and_takes_nothing_from_the_others(send, monkeypatch):
    ports = [free_port() for _ in range(3)]
    with UdpReceiver([Endpoint("127.0.0.1", port) for port in ports]) as receiver:
        port_of.cache_clear()
        original = recvmmsg.mmsg.receive

        def receive(descriptor, address, count):
            if port_of(descriptor) == ports[1]:
                raise OSError(errno.EIO, "Input/output error")
            return original(descriptor, address, count)

        monkeypatch.setattr(recvmmsg.mmsg, "receive", receive)
        found, told = [], []

        async def drain_some():
            """Drain until all came that can, and the failure was told three times more."""
            before = len(told)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(found) % 40 or not found or len(told) < before + 3:
                    clear_ns = receiver.clear_ns
                    try:
                        batch = receiver.drain()
                    except SourceError as error:
                        told.append(str(error))
                        batch = None
                    assert receiver.clear_ns == clear_ns  # it never was found empty
                    found.extend([] if batch is None else batch.flow.tolist())
                    await asyncio.sleep(0.001)

        for _ in range(2):
            for number in range(20):
                for port in ports:
                    send(str(number).encode(), "127.0.0.1", port)
            await drain_some()
        assert set(told) == {f"127.0.0.1:{ports[1]}: Input/output error"}
        assert len(found) == 80
        monkeypatch.setattr(recvmmsg.mmsg, "receive", original)
        assert len(await collect(receiver, 40)) == 40
        assert receiver.dropped == 0


@linux_only
async def test_datagrams_lost_by_a_defect_are_lost_by_this_host(send, monkeypatch):
    port = free_port()
    with UdpReceiver([Endpoint("127.0.0.1", port)]) as receiver:
        learn = FlowTable.learn
        monkeypatch.setattr(FlowTable, "learn", lambda *_: 1 / 0)
        for _ in range(5):
            send(b"lost", "127.0.0.1", port)
        lost = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            while receiver.dropped < 5:
                with contextlib.suppress(ZeroDivisionError):
                    lost += receiver.drain() is not None
                await asyncio.sleep(0.001)
        assert lost == 0
        monkeypatch.setattr(FlowTable, "learn", learn)
        send(b"again", "127.0.0.1", port)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (batch := receiver.drain()) is None:
                await asyncio.sleep(0.001)
        assert (len(batch), batch.host_dropped.tolist()) == (1, [5])


async def test_a_pump_that_failed_goes_on(send, monkeypatch):
    port = free_port()
    receiver = DgramReceiver([Endpoint("127.0.0.1", port)])
    try:
        learn = FlowTable.learn
        monkeypatch.setattr(FlowTable, "learn", lambda *_: 1 / 0)
        send(b"lost", "127.0.0.1", port)
        with pytest.raises(ZeroDivisionError):
            await collect(receiver, 1)
        monkeypatch.setattr(FlowTable, "learn", learn)
        send(b"again", "127.0.0.1", port)
        assert [one.payload for one in await collect(receiver, 1)] == [b"again"]
    finally:
        receiver.close()
