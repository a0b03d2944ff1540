"""Streams that end, come back, or never come: arrival times in, events out, however the input is cut."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.engine.expectation import Selection, StreamSpec
from rtpverify.engine.presence import Ends
from rtpverify.engine.verifier import StreamEvent, Verifier
from rtpverify.events import Event, SenderChangeSize
from rtpverify.live.sdp_session import session_of
from rtpverify.result import Verdict
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.rtp.sdp_reader import parse_sdp
from rtpverify.transport.redundancy import LegEnds

START_NS = 1_790_000_000_000_000_000
PACKET_FRAMES, PACKET_SECONDS = 480, 0.01
FLOWS = [
    Flow("192.0.2.7:5004", "239.1.2.3:5004"),
    Flow("192.0.2.7:5006", "239.1.2.4:5004"),
    Flow("192.0.2.8:5004", "239.1.2.3:5004"),
    Flow("192.0.2.7:5005", "239.1.2.3:5005"),
]
L16 = parse_rtpmap("L16/48000/1")
SPEC = StreamSpec("desk", destination="239.1.2.3:5004", encoding=L16)
OTHER = StreamSpec("mic", destination="239.1.2.4:5004", encoding=L16)

Packet = tuple[int, int, bytes]
"""Arrival in ns, flow, datagram."""


def at(seconds: float) -> int:
    """Return a time so long after the first packet."""
    return START_NS + round(seconds * 1e9)


@dataclass(frozen=True)
class Sending:
    """A stretch of packets of one source."""

    start: float
    stop: float
    number: int | None = None
    """Of the first packet: that of its time where it is None, so that a sender goes on where it was due."""
    ssrc: int = 1
    flow: int = 0
    payload_type: int = 97
    mark: bool = False
    timestamp: int | None = None

    def packets(self) -> list[Packet]:
        first = round(self.start / PACKET_SECONDS)
        count = round(self.stop / PACKET_SECONDS) - first
        number = first if self.number is None else self.number
        timestamp = number * PACKET_FRAMES if self.timestamp is None else self.timestamp
        bytes_each = PACKET_FRAMES * 2 if self.payload_type == 97 else 80
        frames_each = PACKET_FRAMES if self.payload_type == 97 else 80
        return [
            (
                at(self.start + k * PACKET_SECONDS),
                self.flow,
                struct.pack(
                    ">BBHII",
                    0x80,
                    self.payload_type | (0x80 if self.mark and k == 0 else 0),
                    (number + k) & 0xFFFF,
                    (timestamp + k * frames_each) & 0xFFFFFFFF,
                    self.ssrc,
                )
                + bytes(bytes_each),
            )
            for k in range(count)
        ]


def goodbye(seconds: float, ssrc: int = 1, flow: int = 3) -> Packet:
    """Return an empty receiver report and a BYE."""
    report = struct.pack(">BBHI", 0x80, 201, 1, ssrc) + struct.pack(">BBHI", 0x81, 203, 1, ssrc)
    return at(seconds), flow, report


def batch_of(packets: list[Packet]) -> PacketBatch:
    length = np.array([len(datagram) for _, _, datagram in packets], np.int64)
    return PacketBatch(
        arena=np.frombuffer(b"".join(datagram for _, _, datagram in packets), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        arrival_ns=np.array([arrival for arrival, _, _ in packets], np.int64),
        flow=np.array([flow for _, flow, _ in packets], np.int64),
        flows=FLOWS,
    )


class Watch:
    """A verifier that watches, and what it told."""

    def __init__(self, *specs: StreamSpec, **options: Any) -> None:
        self.verifier = Verifier(specs or [SPEC], **{"ends": Ends.WATCHED, **options})
        self.told: list[StreamEvent] = []

    def run(self, *sent: Sending | Packet, until: float, step: float = 0.06, start: float = 0.0) -> Watch:
        """Take packets, and let the clock go on every ``step`` seconds up to a time."""
        packets = sorted(
            (packet for item in sent for packet in (item.packets() if isinstance(item, Sending) else [item])),
            key=lambda packet: packet[0],
        )
        now, place = start, 0
        while now < until:
            now = min(now + step, until)
            stop = place
            while stop < len(packets) and packets[stop][0] < at(now):
                stop += 1
            if stop > place:
                self.told += self.verifier.feed(batch_of(packets[place:stop]))
            place = stop
            self.told += self.verifier.advance(at(now))
        assert place == len(packets)
        return self

    @property
    def events(self) -> list[Event]:
        """Every event, as it was told last, in order of appearance."""
        return list({item.event.id: item.event for item in self.told}.values())

    @property
    def brief(self) -> list[tuple[str, int, bool, bool]]:
        """Kind and start of every event, whether it is open and whether a fault."""
        return [(str(event.kind), event.start_frame, event.open, event.fault) for event in self.events]


# Watched -------------------------------------------------------------------------------------------------------------


def test_an_end_is_told_after_a_second_and_stays_open() -> None:
    watch = Watch().run(Sending(0, 2), until=2.98)
    assert watch.events == []
    assert watch.verifier.is_up("desk")
    watch.run(until=3.0, start=2.98)
    [event] = watch.events
    assert (str(event.kind), event.start_frame, event.open, event.fault) == ("ended", 96_000, True, True)
    assert (str(event.cause), event.time_ns, event.packets) == ("unknown", at(1.99), (199, 199))
    assert not watch.verifier.is_up("desk")
    watch.run(until=60, start=3, step=1.0)
    assert len(watch.told) == 1


def test_it_closes_with_its_duration_when_packets_come_again() -> None:
    watch = Watch().run(Sending(0, 2), Sending(7, 8), until=8.1)
    assert watch.brief == [("ended", 96_000, False, True), ("gap", 96_000, False, True)]
    ended, gap = watch.events
    assert ended.size.ended_seconds == pytest.approx(7 - 1.99)
    assert ended.message == "no packet for 5.0 s, then it came back"
    assert gap.size.packets_lost == 500
    assert watch.verifier.is_up("desk")
    opened = [item.event.id for item in watch.told if item.is_new and str(item.event.kind) == "ended"]
    assert [item.event.id for item in watch.told if str(item.event.kind) == "ended"] == opened * 2


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(Sending(5, 6, number=200), id="sequence unbroken: no stall"),
        pytest.param(Sending(5, 6, number=30_000, timestamp=77), id="other numbers: no restart"),
        pytest.param(Sending(5, 6, number=200, timestamp=500 * 480), id="its clock ran on: no timestamp_jump"),
    ],
)
def test_one_interruption_is_one_event(again: Sending) -> None:
    watch = Watch().run(Sending(0, 2), again, until=6)
    assert watch.brief == [("ended", 96_000, False, True)]
    assert watch.events[0].size.ended_seconds == pytest.approx(3.01)


def test_a_shorter_silence_is_a_stall() -> None:
    watch = Watch().run(Sending(0, 2), Sending(2.9, 4, number=200), until=4)
    assert watch.brief == [("stall", 96_000, False, True)]


def test_what_breaks_later_is_told() -> None:
    watch = Watch().run(Sending(0, 2), Sending(5, 6, number=200), Sending(6, 7, number=9000, timestamp=9), until=7)
    assert watch.brief == [("ended", 96_000, False, True), ("restart", 144_000, False, True)]


def test_a_sender_that_stops_and_returns_twice() -> None:
    watch = Watch().run(Sending(0, 1), Sending(3, 4, number=100), Sending(9, 10, number=200), until=12)
    assert watch.brief == [
        ("ended", 48_000, False, True),
        ("ended", 96_000, False, True),
        ("ended", 144_000, True, True),
    ]
    assert [event.size.ended_seconds for event in watch.events[:2]] == pytest.approx([2.01, 5.01])
    assert len({event.id for event in watch.events}) == 3


TAKEN_OVER = SenderChangeSize(
    from_sender=FLOWS[0].sender, to_sender=FLOWS[2].sender, from_ssrc="0x00000001", to_ssrc="0x00000002"
)


@pytest.mark.parametrize(
    ("sent", "expected", "began"),
    [
        pytest.param(
            [Sending(0, 2), Sending(2.05, 6, ssrc=2, flow=2)], [("sender_change", 0, False, True)], 2.05, id="at once"
        ),
        pytest.param(
            [Sending(0, 3), Sending(1, 6, ssrc=2, flow=2)],
            [("sender_change", 95_520, False, True)],
            2.99,
            id="after both",
        ),
        pytest.param(
            [Sending(0, 2), Sending(5, 8, ssrc=2, flow=2)],
            [("ended", 96_000, False, True), ("sender_change", 0, False, False)],
            5.0,
            id="after an end that was reported",
        ),
        pytest.param(
            [Sending(0, 2), goodbye(2.0), Sending(2.05, 6, ssrc=2, flow=2)],
            [("sender_change", 0, False, False)],
            2.05,
            id="after a goodbye",
        ),
    ],
)
@pytest.mark.parametrize("step", [0.01, 0.06, 0.7])
def test_another_address_takes_over(sent: list[Sending], expected: list[Any], began: float, step: float) -> None:
    watch = Watch().run(*sent, until=6 if expected[0][0] != "ended" else 8, step=step)
    assert watch.brief == expected
    event = watch.events[-1]
    assert (str(event.cause), event.time_ns, event.size) == ("upstream", at(began), TAKEN_OVER)
    assert watch.told[-1].stream.ssrc == 2


def test_a_sender_that_takes_its_place_back() -> None:
    other = Sending(2, 5, ssrc=2, flow=2)
    watch = Watch().run(Sending(0, 2), other, Sending(5, 8), until=8)
    changes = [event.size.to_sender for event in watch.events if str(event.kind) == "sender_change"]
    assert changes == [FLOWS[2].sender, FLOWS[0].sender]


@pytest.mark.parametrize(
    ("spec", "sent"),
    [
        pytest.param(SPEC, [Sending(0, 6), Sending(1, 3, ssrc=2, flow=2)], id="both send, and the second one stops"),
        pytest.param(StreamSpec(encoding=L16), [Sending(0, 2), Sending(2.05, 6, ssrc=2, flow=2)], id="whatever comes"),
        pytest.param(
            replace(SPEC, sender="192.0.2.7"), [Sending(0, 6), Sending(1, 6, ssrc=1, flow=2)], id="locked to its sender"
        ),
    ],
)
def test_no_other_address_took_over(spec: StreamSpec, sent: list[Sending]) -> None:
    watch = Watch(spec).run(*sent, until=6)
    assert "sender_change" not in {str(event.kind) for event in watch.events}


@pytest.mark.parametrize(
    ("ends", "now", "fault"), [(Ends.FAULT, at(6), False), (Ends.ALLOWED, at(6), True), (Ends.FAULT, None, True)]
)
def test_a_check_finds_at_its_end_who_took_over(ends: Ends, now: int | None, fault: bool) -> None:
    verifier = Verifier([SPEC], ends=ends)
    verifier.feed(batch_of(Sending(0, 2).packets() + Sending(2.05, 6, ssrc=2, flow=2).packets()))
    verifier.finish(now)
    before, after = verifier.result("check").streams
    assert [(str(event.kind), event.fault) for event in after.events] == [("sender_change", fault)]
    assert [str(event.kind) for event in before.events] == ["ended"] * (not fault)


def test_another_ssrc_that_comes_back_is_no_second_fault() -> None:
    watch = Watch().run(Sending(0, 2), Sending(5, 6, ssrc=2, number=7), until=6)
    assert watch.brief == [("ended", 96_000, False, True), ("ssrc_change", 96_000, False, False)]


def test_another_host_that_comes_in_its_place_ends_it_too() -> None:
    watch = Watch().run(Sending(0, 2), Sending(5, 6, ssrc=2, flow=2), until=6)
    assert watch.brief == [("ended", 96_000, False, True), ("sender_change", 0, False, False)]
    assert watch.events[0].size.ended_seconds == pytest.approx(3.01)
    assert watch.verifier.is_up("desk")


def test_a_stream_is_up_while_one_of_its_senders_is() -> None:
    watch = Watch().run(Sending(0, 2), Sending(0, 6, ssrc=2, flow=2), until=6)
    assert watch.verifier.is_up("desk")
    assert watch.brief == [("sender_change", 95_520, False, True)]


def test_a_goodbye_ends_it_at_once() -> None:
    watch = Watch().run(Sending(0, 2), goodbye(2.0), until=2.3)
    [event] = watch.events
    assert (str(event.kind), str(event.cause), event.open, event.time_ns) == ("ended", "upstream", True, at(1.99))
    assert "sent RTCP BYE" in event.message
    watch.run(Sending(2.5, 3, number=200), until=3, start=2.3)
    assert watch.brief == [("ended", 96_000, False, True)]
    assert watch.events[0].size.ended_seconds == pytest.approx(0.51)


def test_a_goodbye_and_a_new_ssrc_that_goes_on_is_no_end() -> None:
    watch = Watch().run(Sending(0, 2), goodbye(2.0), Sending(2.02, 5, ssrc=2, number=7), until=5)
    assert watch.brief == [("ssrc_change", 96_000, False, False)]


def test_packets_on_their_way_after_a_goodbye_change_nothing_and_a_sender_that_goes_on_is_up() -> None:
    assert Watch().run(Sending(0, 2), goodbye(1.97), until=2.3).brief == [("ended", 96_000, True, True)]
    assert Watch().run(Sending(0, 3), goodbye(1.97), until=3).brief == []


def test_long_packet_times_take_longer() -> None:
    packets = [(at(k * 0.2), 0, struct.pack(">BBHII", 0x80, 97, k, k * 9600, 1) + bytes(2 * 9600)) for k in range(10)]
    assert Watch().run(*packets, until=3.7).brief == []
    assert Watch().run(*packets, until=3.9).brief == [("ended", 96_000, True, True)]


def test_what_never_came_is_missing_once_its_time_is_over() -> None:
    slow = replace(OTHER, missing_after_seconds=30.0)
    watch = Watch(SPEC, slow).run(Sending(0, 12), until=12)
    assert watch.brief == []
    watch.run(Sending(12, 31), until=31, start=12)
    [told] = watch.told
    event = told.event
    assert (told.stream.name, str(event.kind), event.open, event.fault, event.start_frame) == (
        "mic", "missing", True, True, 0,
    )  # fmt: skip
    assert event.size.missing_seconds == pytest.approx(30, abs=0.1)
    assert event.time_ns == at(0.06)
    watch.run(Sending(31, 32), Sending(31.5, 32, flow=1, ssrc=9), until=32, start=31)
    assert watch.brief == [("missing", 0, False, True)]
    assert event.size.missing_seconds == pytest.approx(31.44)
    assert [item.event.id for item in watch.told] == [event.id] * 2
    assert watch.verifier.is_up("mic")


def test_what_is_no_longer_expected_closes_what_is_open() -> None:
    watch = Watch(SPEC, OTHER).run(Sending(0, 2), until=15)
    assert watch.brief == [("ended", 96_000, True, True), ("missing", 0, True, True)]
    for spec in (SPEC, OTHER):
        watch.told += watch.verifier.remove(spec)
    assert watch.brief == [("ended", 96_000, False, True), ("missing", 0, False, True)]
    ended, missing = watch.events
    assert ended.size.ended_seconds == pytest.approx(15 - 1.99)
    assert missing.size.missing_seconds == pytest.approx(14.94)
    watch.verifier.add(OTHER)
    watch.run(until=40, start=15, step=1.0)
    assert len({event.id for event in watch.events}) == 3


def test_the_end_of_the_watch_closes_what_is_open() -> None:
    watch = Watch(SPEC, OTHER).run(Sending(0, 2), until=15)
    watch.told += watch.verifier.finish(at(20))
    assert watch.brief == [("ended", 96_000, False, True), ("missing", 0, False, True)]
    assert watch.events[0].size.ended_seconds == pytest.approx(20 - 1.99)


# Senders that leave silence out --------------------------------------------------------------------------------------

SPEECH = StreamSpec("desk", destination="239.1.2.3:5004")


def speech(start: float, stop: float, number: int, **more: Any) -> Sending:
    """Return a talkspurt of PCMU whose timestamps follow the clock."""
    return Sending(start, stop, number=number, timestamp=round(start * 8000), payload_type=0, mark=True, **more)


def test_pauses_of_a_sender_that_has_paused_before_count_late() -> None:
    spurts = [speech(0, 1, 0), speech(1.5, 2.5, 100)]
    watch = Watch(SPEECH).run(*spurts, speech(8, 9, 200), until=9)
    assert watch.brief == []
    watch.run(until=18.9, start=9)
    assert watch.brief == []
    watch.run(until=19.1, start=18.9)
    assert watch.brief[0][0] == "ended"
    short = replace(SPEECH, down_after_seconds=3.0)
    assert Watch(short).run(*spurts, speech(8, 9, 200), until=9).brief[0][0] == "ended"


def test_comfort_noise_tells_a_pause_beforehand() -> None:
    noise = (at(1.0), 0, struct.pack(">BBHII", 0x80, 13, 100, 8000, 1) + b"\x40")
    assert Watch(SPEECH).run(speech(0, 1, 0), noise, speech(6, 7, 101), until=7).brief == []


def test_a_first_pause_that_nothing_told_before_turns_out_to_be_no_fault() -> None:
    watch = Watch(SPEECH).run(speech(0, 1, 0), until=3)
    assert [(kind, is_open, fault) for kind, _, is_open, fault in watch.brief] == [("ended", True, True)]
    watch.run(speech(5, 6, 100), until=6, start=3)
    assert [(kind, is_open, fault) for kind, _, is_open, fault in watch.brief] == [("ended", False, False)]


# However it is cut ---------------------------------------------------------------------------------------------------


@given(
    silences=st.lists(st.sampled_from([0.05, 0.5, 0.98, 1.2, 3.0]), min_size=1, max_size=4),
    moves=st.lists(st.sampled_from(["on", "unbroken", "restart"]), min_size=4, max_size=4),
    step=st.sampled_from([0.007, 0.06, 0.25, 5.0]),
)
@settings(max_examples=25)
def test_the_cut_into_batches_and_the_ticks_of_the_clock_change_nothing(
    silences: list[float], moves: list[str], step: float
) -> None:
    sent, now, number = [Sending(0, 0.5)], 0.5, 50
    for silence, move in zip(silences, moves, strict=False):
        now = round(now + silence, 2)
        number = {"on": round(now / PACKET_SECONDS), "unbroken": number, "restart": (number * 7 + 9000) % 2**16}[move]
        timestamp = number * PACKET_FRAMES + (12345 if move == "restart" else 0)
        sent.append(Sending(now, now + 0.5, number=number, timestamp=timestamp if move == "restart" else None))
        now, number = now + 0.5, number + 50

    def told(step: float) -> list[Any]:
        watch = Watch().run(*sent, until=now + 0.3, step=step)
        return sorted(
            (event.id, str(event.kind), event.start_frame, event.open, event.fault, event.time_ns, event.size)
            for event in watch.events
        )

    assert [str(entry) for entry in told(step)] == [str(entry) for entry in told(0.05)]
    ended = [entry for entry in told(step) if entry[1] == "ended"]
    assert len(ended) == sum(silence >= 1 for silence in silences)


# At the end of a check -----------------------------------------------------------------------------------------------


def checked(
    *sent: Sending | Packet, until: float, specs: Any = (SPEC,), ends: Ends = Ends.FAULT, **options: Any
) -> tuple[Verifier, list[Event]]:
    watch = Watch(*specs, ends=ends, **options).run(*sent, until=until)
    assert watch.events == [event for event in watch.events if str(event.kind) not in ("ended", "missing")]
    watch.told += watch.verifier.finish(at(until))
    return watch.verifier, watch.events


def test_a_stream_that_stopped_before_the_end_of_a_check_is_a_fault() -> None:
    verifier, [event] = checked(Sending(0, 1), until=5)
    assert (str(event.kind), event.start_frame, event.open, event.fault) == ("ended", 48_000, False, True)
    assert event.size.ended_seconds == pytest.approx(5 - 0.99)
    assert "--until-end" in event.message
    assert verifier.result("x").verdict is Verdict.FAIL


@pytest.mark.parametrize("stop", [4.1, 5.0])
def test_one_that_stopped_within_the_last_second_did_not_end(stop: float) -> None:
    verifier, events = checked(Sending(0, stop), until=5)
    assert events == []
    assert verifier.result("x").verdict is Verdict.PASS


def test_a_goodbye_within_the_last_second_counts() -> None:
    _, [event] = checked(Sending(0, 4.9), goodbye(4.9), until=5)
    assert (str(event.kind), str(event.cause)) == ("ended", "upstream")
    assert checked(Sending(0, 5), goodbye(4.5), until=5)[1] == []


def test_a_sender_that_may_end_is_no_fault() -> None:
    assert checked(Sending(0, 1), until=5, ends=Ends.ALLOWED)[1] == []


def test_an_interruption_within_a_check_is_what_the_next_packet_shows() -> None:
    assert [str(event.kind) for event in checked(Sending(0, 1), Sending(3, 5, number=100), until=5)[1]] == ["stall"]


def test_each_source_of_a_check_is_to_last() -> None:
    _, events = checked(Sending(0, 2), Sending(0, 5, ssrc=2, flow=2), until=5)
    assert [(str(event.kind), event.start_frame, event.fault) for event in events if event.fault] == [
        ("ended", 96_000, True)
    ]


def test_all_have_ended_once_nothing_comes_of_any_for_a_second() -> None:
    two = Watch(SPEC, OTHER, ends=Ends.ALLOWED)
    assert not two.verifier.has_ended(at(100))
    two.run(Sending(0, 1), Sending(0.5, 3, flow=1, ssrc=2), until=3.5)
    assert not two.verifier.has_ended(at(3.98))
    assert two.verifier.has_ended(at(3.99))


# Described and never seen --------------------------------------------------------------------------------------------

TWO_MEDIA = """v=0
o=- 1 1 IN IP4 192.0.2.7
s=two
t=0 0
m=audio 5004 RTP/AVP 97
c=IN IP4 239.1.2.3/32
a=rtpmap:97 L16/48000
{filter}m=audio 5004 RTP/AVP 97
c=IN IP4 239.1.2.4/32
a=rtpmap:97 L16/48000
"""


def described(source_filter: str = "") -> list[StreamSpec]:
    text = TWO_MEDIA.format(filter=source_filter)
    streams = session_of(parse_sdp(text, "two.sdp"), "two.sdp").streams(StreamSpec())
    return [spec for _, spec in streams]


def test_a_medium_that_never_came_fails_where_another_did() -> None:
    verifier, [event] = checked(Sending(0, 5), until=5, specs=described())
    assert (str(event.kind), event.fault, event.open, event.time_ns is not None) == ("missing", True, False, True)
    result = verifier.result("x")
    assert result.verdict is Verdict.FAIL
    came, missing = result.to_dict()["streams"]
    assert came["verdict"] == "pass"
    assert (missing["ssrc"], missing["verdict"], missing["destination"]) == (None, "fail", "239.1.2.4:5004")
    assert (missing["encoding"], missing["sample_rate"], missing["channels"]) == ("L16", 48000, 1)
    assert missing["transport"]["packets_received"] == missing["transport"]["packets_expected"] == 0
    assert missing["transport"]["jitter_seconds"] is missing["packet_time_seconds"] is None
    assert "two.sdp:8" in missing["events"][0]["message"]


def test_where_nothing_came_it_is_inconclusive() -> None:
    verifier, events = checked(until=5, specs=described())
    assert [(str(event.kind), event.fault) for event in events] == [("missing", False)] * 2
    result = verifier.result("x")
    assert (result.verdict, result.exit_status, result.arrived) == (Verdict.INCONCLUSIVE, 3, [])


def test_an_address_alone_describes_nothing() -> None:
    verifier, events = checked(until=5, specs=[StreamSpec(destination="239.1.2.3:5004")])
    assert events == verifier.result("x").streams == []


def test_any_of_several_senders_of_a_medium_is_enough() -> None:
    specs = described("a=source-filter: incl IN IP4 239.1.2.3 192.0.2.7 192.0.2.8\n")
    assert len(specs) == 3
    verifier, events = checked(Sending(0, 5), Sending(0, 5, flow=1, ssrc=2), until=5, specs=specs)
    assert (events, len(verifier.result("x").streams)) == ([], 2)
    _, events = checked(Sending(0, 5, flow=1, ssrc=2), until=5, specs=specs)
    assert {str(event.kind) for event in events} == {"missing"}


def test_one_leg_is_enough() -> None:
    legs = (LegEnds("239.1.2.3:5004"), LegEnds("239.1.2.4:5004"))
    spec = replace(described()[0], destination=None, legs=legs)
    assert checked(Sending(0, 5), until=5, specs=[spec])[1] == []
    _, [event] = checked(until=5, specs=[spec])
    assert "239.1.2.3:5004 and 239.1.2.4:5004" in event.message


@pytest.mark.parametrize(("picked", "missing"), [("239.1.2.3", 0), ("239.1.2.3:5004", 0), ("239.1.2.4:5004", 1)])
def test_what_was_not_picked_is_not_missing(picked: str, missing: int) -> None:
    selection = Selection.parse([picked])
    _, events = checked(Sending(0, 5), until=5, specs=described(), selection=selection)
    assert len(events) == missing
