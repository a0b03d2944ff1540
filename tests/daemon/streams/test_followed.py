"""A change of what is followed happens as a whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from rtpverify.daemon.streams import followed as module
from rtpverify.daemon.streams.expected import FollowedStream, overlap
from rtpverify.daemon.streams.followed import CONFIGURED, Change, Roster
from rtpverify.engine.expectation import StreamSpec
from rtpverify.errors import SourceError
from rtpverify.sources.live.endpoint import Endpoint, parse_endpoint


class Receiver:
    """Holds endpoints; one port may be taken by others."""

    def __init__(self, taken: int = 0) -> None:
        self.endpoints: list[Endpoint] = []
        self.taken = taken
        self.refused = ""
        self.calls: list[tuple[str, list[int]]] = []

    def add(self, endpoints: Iterable[Endpoint]) -> None:
        more = list(endpoints)
        if more:
            self.calls.append(("add", [one.port for one in more]))
        for one in more:
            if one.port == self.taken or any(overlap(one, at) for at in self.endpoints):
                raise SourceError(f"{one.destination}: port {one.port} is in use")
            if one.interface is not None and one.interface == self.refused:
                raise SourceError(f"no interface {one.interface!r}")
        self.endpoints += more

    def remove(self, endpoints: Iterable[Endpoint]) -> None:
        less = list(endpoints)
        if less:
            self.calls.append(("remove", [one.port for one in less]))
        for one in less:
            self.endpoints.remove(one)

    @property
    def ports(self) -> list[int]:
        return sorted(one.port for one in self.endpoints)


def stream(name: str, *ports: int, address: str = "239.1.2.3", sender: str = "", interface: str = "") -> FollowedStream:
    at = f"{sender}@" if sender else ""
    endpoints = tuple(parse_endpoint(f"rtp://{at}{address}:{port}") for port in ports)
    return FollowedStream(endpoints, StreamSpec(name)).through(interface or None)


def roster_of(receiver: Receiver, *streams: FollowedStream) -> Roster:
    roster = Roster(receiver)  # type: ignore[arg-type]
    roster.update({CONFIGURED: streams})
    receiver.calls.clear()
    return roster


def test_streams_that_stay_are_not_touched() -> None:
    receiver = Receiver()
    roster = roster_of(receiver, stream("stays", 5004), stream("goes", 5006), stream("changes", 5008))
    change = roster.update({CONFIGURED: [stream("changes", 5010), stream("comes", 5012), stream("stays", 5004)]})
    assert (change.added, change.changed, change.removed) == (["comes"], ["changes"], ["goes"])
    assert receiver.calls == [("add", [5010, 5012]), ("remove", [5006, 5008])]
    assert sorted(one.name for one in roster) == ["changes", "comes", "stays"]


def test_nothing_to_do_is_no_change() -> None:
    receiver = Receiver()
    roster = roster_of(receiver, stream("a", 5004))
    assert not roster.update({CONFIGURED: [stream("a", 5004)]})
    assert receiver.calls == []


def test_another_expectation_at_the_same_place_keeps_the_socket() -> None:
    receiver = Receiver()
    roster = roster_of(receiver, stream("a", 5004))
    change = roster.update({CONFIGURED: [stream("b", 5004)]})
    assert (change.added, change.changed, change.removed) == (["b"], [], ["a"])
    assert receiver.calls == []


def test_a_stream_may_move_from_one_origin_to_another() -> None:
    receiver = Receiver()
    roster = roster_of(receiver, stream("a", 5004))
    assert not roster.update({CONFIGURED: [], "a.sdp": [stream("a", 5004)]})
    assert list(roster.origins) == ["a.sdp"]
    assert receiver.calls == []


@pytest.mark.parametrize("new", [[("a", 5006), ("b", 5099)], [("b", 5099), ("a", 5006)], [("b", 5099)]])
def test_where_a_port_is_taken_nothing_changes(new: list[tuple[str, int]]) -> None:
    receiver = Receiver(taken=5099)
    roster = roster_of(receiver, stream("a", 5004))
    with pytest.raises(SourceError, match="port 5099 is in use"):
        roster.update({CONFIGURED: [stream(name, port) for name, port in new]})
    assert receiver.ports == [5004]
    assert ("remove", [5004]) not in receiver.calls
    assert list(roster) == [stream("a", 5004)]


def test_what_takes_the_place_of_another_comes_after_it_and_gives_way_where_it_fails() -> None:
    receiver = Receiver()
    roster = roster_of(receiver, stream("a", 5004), stream("b", 5006))
    through = stream("a", 5004, interface="eth1")
    assert roster.update({CONFIGURED: [through, stream("b", 5006)]}).changed == ["a"]
    assert receiver.calls == [("remove", [5004]), ("add", [5004])]
    receiver.refused = "eth2"
    other = stream("a", 5004, interface="eth2")
    with pytest.raises(SourceError, match="no interface 'eth2'"):
        roster.update({CONFIGURED: [other, stream("b", 5006), stream("c", 5008)]})
    assert list(roster) == [through, stream("b", 5006)]
    assert receiver.endpoints == [*stream("b", 5006).endpoints, *through.endpoints]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (stream("a", 5010), "x.sdp: a is the name of a stream of the configuration already"),
        (stream("b", 5004), "x.sdp: b at 239.1.2.3:5004 also takes packets of a of the configuration"),
        (stream("b", 5006, 5004, sender="192.0.2.1"), "x.sdp: b at 239.1.2.3:5004 also takes packets of a of"),
    ],
)
def test_names_and_packets_belong_to_one_stream(more: FollowedStream, message: str) -> None:
    receiver = Receiver()
    roster = roster_of(receiver, stream("a", 5004))
    with pytest.raises(SourceError) as caught:
        roster.update({"x.sdp": [more]})
    assert str(caught.value).startswith(message)
    assert receiver.ports == [5004]


def test_no_more_streams_than_can_be_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STREAMS", 2)
    receiver = Receiver()
    roster = roster_of(receiver, stream("a", 5004))
    with pytest.raises(SourceError, match=r"^x\.sdp: 3 streams in all, more than 2$"):
        roster.update({"x.sdp": [stream("b", 5006), stream("c", 5008)]})
    assert roster.update({"x.sdp": [stream("b", 5006)]}).added == ["b"]


def test_rtcp_ports_are_received_on_and_kept_apart_too() -> None:
    receiver = Receiver()
    with_rtcp = FollowedStream((stream("a", 5004).endpoints[0].with_rtcp(),), StreamSpec("a"))
    roster = roster_of(receiver, with_rtcp)
    assert receiver.ports == [5004, 5005]
    with pytest.raises(SourceError, match=r"b at 239\.1\.2\.3:5005 also takes packets of a"):
        roster.update({"x.sdp": [stream("b", 5005)]})
    roster.update({CONFIGURED: [stream("a", 5004)], "x.sdp": [stream("b", 5005)]})
    assert receiver.calls == []
    assert receiver.ports == [5004, 5005]


def test_streams_of_different_senders_share_a_place() -> None:
    first, second = stream("a", 5004, sender="192.0.2.1"), stream("b", 5004, sender="192.0.2.2")
    receiver = Receiver()
    roster = roster_of(receiver, first)
    assert roster.update({"x.sdp": [second]}).added == ["b"]
    assert receiver.ports == [5004, 5004]


def test_an_interface_that_comes_back_is_joined_again(monkeypatch: pytest.MonkeyPatch) -> None:
    indexes: dict[str, int | None] = {"eth1": 3, "eth2": 4}
    monkeypatch.setattr(module, "_index", indexes.get)
    receiver = Receiver()
    roster = roster_of(receiver, stream("a", 5004, interface="eth1"), stream("b", 5006, interface="eth2"))
    assert roster.follow_interfaces() == ([], [])
    indexes["eth1"] = None
    assert roster.follow_interfaces() == (["eth1"], [])
    assert roster.missing_interfaces == ["eth1"]
    assert roster.follow_interfaces() == ([], [])
    indexes["eth1"], receiver.taken = 9, 5004
    assert roster.follow_interfaces() == ([], [])
    assert roster.missing_interfaces == ["eth1"]
    receiver.endpoints = [one for one in receiver.endpoints if one.port != 5004]
    receiver.taken, receiver.calls = 0, []
    receiver.remove = lambda endpoints: receiver.calls.append(("remove", [one.port for one in endpoints]))  # type: ignore[method-assign]
    assert roster.follow_interfaces() == ([], ["eth1"])
    assert receiver.calls == [("remove", [5004]), ("add", [5004])]
    assert roster.missing_interfaces == []


def test_a_change_is_false_where_nothing_is_different() -> None:
    assert not Change()
