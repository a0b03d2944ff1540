"""Sockets and taps as one receiver: flows are numbered once, and an input that fails costs the others nothing."""

import socket
import time

import pytest

from rtpverify.errors import SourceError
from rtpverify.rtp.batch import Flow
from rtpverify.sources.joint_receiver import open_joint_receiver
from rtpverify.sources.live.endpoint import Endpoint
from tests.helpers import captures
from tests.helpers.cable import Cable, collect, needs_cable
from tests.helpers.patience import PATIENCE_SECONDS

GROUP = "239.1.2.3"
"""Where frames of the helpers are sent to."""


@pytest.fixture
def cable():
    made = Cable()
    made.plug_in()
    yield made
    made.pull_out()


def frame(payload, port):
    return captures.ethernet(captures.ipv4(captures.udp(payload, destination_port=port)))


def destinations(receiver):
    return [flow.destination for flow in receiver.flows]


def at_socket():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    sock.close()
    return Endpoint("127.0.0.1", port)


@needs_cable
def test_each_endpoint_has_its_packets_whatever_it_is_received_by(cable):
    near = at_socket()
    tapped = Endpoint(GROUP, 6000, interface=f"capture://{cable.end}")
    later = Endpoint(GROUP, 6002, interface=f"capture://{cable.end}")
    with open_joint_receiver([near]) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"at the socket", (near.address, near.port))
        first = collect(receiver, 1)
        receiver.add([tapped])
        cable.put(frame(b"nobody's", 7000), frame(b"from the tap", 6000), frame(b"too early", 6002))
        sock.sendto(b"again", (near.address, near.port))
        both = dict(collect(receiver, 2))
        receiver.add([later])
        cable.put(frame(b"in time", 6002))
        assert collect(receiver, 1) == [(b"in time", Flow(both[b"from the tap"].sender, later.destination))]
        assert first[0][1] == both[b"again"]
        assert both[b"from the tap"].destination == tapped.destination
        assert destinations(receiver) == [near.destination, tapped.destination, later.destination]
        assert 0 < receiver.clear_ns <= time.time_ns()
        receiver.keep_flows([1, 0])
        cable.put(frame(b"known", 6000), frame(b"forgotten", 6002))
        sock.sendto(b"known, too", (near.address, near.port))
        found = dict(collect(receiver, 3))
        assert destinations(receiver) == [tapped.destination, near.destination, later.destination]
        assert found[b"known"].destination == tapped.destination
        assert found[b"forgotten"].destination == later.destination
        receiver.remove([tapped, later])
        cable.put(frame(b"not received", 6000))
        sock.sendto(b"last", (near.address, near.port))
        assert [payload for payload, _ in collect(receiver, 1)] == [b"last"]
        assert receiver.dropped_to().keys() == {near.destination}


@needs_cable
def test_a_tap_that_went_is_reported_once_and_costs_the_others_nothing():
    cable = Cable()
    cable.plug_in()
    near = at_socket()
    tapped = Endpoint("0.0.0.0", 6000, interface=f"capture://{cable.end}")  # noqa: S104 - none is bound
    with open_joint_receiver([near, tapped]) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        cable.put(frame(b"any address", 6000))
        [(payload, flow)] = collect(receiver, 1)
        assert payload == b"any address"
        assert flow == Flow(flow.sender, "0.0.0.0:6000")
        cable.pull_out()
        faults, found = [], []
        give_up = time.monotonic() + PATIENCE_SECONDS
        while len(found) < 20 and time.monotonic() < give_up:
            sock.sendto(b"goes on", (near.address, near.port))
            try:
                batch = receiver.drain()
            except SourceError as error:
                faults.append(str(error))
            else:
                found += [batch] if batch is not None else []
        assert len(found) == 20
        assert 1 <= len(faults) == len(set(faults))
        assert cable.end in faults[0]


@pytest.mark.parametrize("text", ["capture://nosuch0", "capture://lo,nosuch0"])
@needs_cable
def test_where_a_tap_cannot_be_opened_nothing_is_added(text):
    near = at_socket()
    with open_joint_receiver([]) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(SourceError, match="no interface 'nosuch0'"):
            receiver.add([near, Endpoint("239.1.2.3", 6000, interface=text)])
        sock.bind((near.address, near.port))
