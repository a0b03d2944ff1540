"""What sockets would receive on a cable, and nothing else; on loopback the tests of all receivers say the same."""

import socket

from rtpverify.rtp.batch import Flow
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.ring.endpoint_receiver import RingReceiver
from tests.helpers import captures
from tests.helpers.cable import Cable, collect, in_own_network, ip, needs_cable

pytestmark = needs_cable
GROUP, OTHER_GROUP, HERE, PORT = "239.1.2.3", "239.1.2.4", "10.9.8.1", 5004


def with_cable(function):
    """Call a function with a cable of which this host has one end, in a network of its own."""

    def plugged():
        cable = Cable()
        cable.plug_in()
        ip("addr", "add", f"{HERE}/24", "dev", cable.end)
        try:
            return function(cable)
        finally:
            cable.pull_out()

    return in_own_network(plugged)


def frame(payload, destination=GROUP, source="10.9.8.2", **options):
    return captures.ethernet(captures.ipv4(captures.udp(payload), source, destination), **options)


def test_a_group_and_nothing_else():
    def received(cable):
        with RingReceiver([Endpoint(GROUP, PORT, None, cable.end)]) as receiver:
            to_others = bytearray(frame(b"to another host"))
            to_others[:6] = bytes.fromhex("020000000099")
            cable.put(
                frame(b"one"),
                frame(b"other group", OTHER_GROUP),
                frame(b"tagged", vlans=(0x8100,)),
                bytes(to_others),
                captures.ethernet(captures.ipv4(captures.udp(b"other port", destination_port=5005), "10.9.8.2", GROUP)),
                frame(b"two"),
            )
            return collect(receiver, 2), dict(receiver.discarded), receiver.dropped

    found, discarded, dropped = with_cable(received)
    flow = Flow("10.9.8.2:5004", f"{GROUP}:{PORT}")
    assert found == [(b"one", flow), (b"two", flow)]
    assert (discarded, dropped) == ({}, 0)


def test_what_this_host_sends_to_a_group_it_joined():
    def received(cable):
        with (
            RingReceiver([Endpoint(GROUP, PORT, None, cable.end)]) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HERE))
            sender.sendto(b"from here", (GROUP, PORT))
            sender.sendto(b"to the cable alone", ("10.9.8.2", PORT))
            return [payload for payload, _ in collect(receiver, 1)]

    assert with_cable(received) == [b"from here"]


def test_another_sender_than_the_one_asked_for():
    def received(cable):
        endpoints = [Endpoint(GROUP, PORT, "10.9.8.2", cable.end), Endpoint(HERE, PORT, "10.9.8.2")]
        with RingReceiver(endpoints) as receiver:
            address = next(line for line in ip("link", "show", cable.end).stdout.split() if line.count(":") == 5)
            to_us = bytearray(frame(b"to us", HERE, "10.9.8.3"))
            to_us[:6] = bytes.fromhex(address.replace(":", ""))
            cable.put(frame(b"stranger", source="10.9.8.3"), bytes(to_us), frame(b"friend"))
            return [payload for payload, _ in collect(receiver, 1)], dict(receiver.discarded)

    # Of a group, the kernel does not pass strangers to a socket; at an address of this host they are counted.
    assert with_cable(received) == ([b"friend"], {"sender": 1})


def test_on_loopback_a_packet_takes_one_slot():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        with RingReceiver([Endpoint("127.0.0.1", port)]) as receiver:
            for number in range(10):
                sender.sendto(bytes([number]), ("127.0.0.1", port))
            found = collect(receiver, 10)
            assert [payload for payload, _ in found] == [bytes([number]) for number in range(10)]
            slots = receiver.receive_buffer_bytes // 2048
            assert round(receiver.take_fill() * slots) == 10
