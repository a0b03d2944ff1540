"""The whole core, from packets to events: what is told, where, and that the cut into batches changes nothing."""

import struct
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.engine.verifier import Verifier
from rtpverify.events import PayloadTypeChangeSize
from rtpverify.limits import with_values
from rtpverify.reference import Tone
from rtpverify.result import stream_as_dict
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import encode, parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference

START_NS = 1_790_000_000_000_000_000
FREQUENCY_HZ = 997.0
L24, L16, FAST, LONG, GSTREAMER, G711 = (
    ("L24/48000/2", 48),
    ("L16/48000/2", 48),
    ("L24/48000/1", 6),
    ("L16/44100/2", 882),
    ("L24/48000/2", 232),
    ("PCMA/8000/1", 240),
)


@dataclass
class Sender:
    """Makes the packets of one stream; faults of the signal are made before they are packetised."""

    encoding: str = "L24/48000/2"
    packet_frames: int = 48
    seconds: float = 1.0
    frequency_hz: float = FREQUENCY_HZ
    amplitude: float = 0.5
    payload_type: int = 97
    ssrc: int = 0x5EED0001
    sequence: int = 65_400
    timestamp: int = 2**32 - 9_000
    flow: int = 0
    slips: dict[int, int] = field(default_factory=dict)
    dropouts: dict[int, int] = field(default_factory=dict)
    clicks: dict[int, float] = field(default_factory=dict)

    @property
    def form(self):
        return parse_rtpmap(self.encoding)

    @property
    def packets(self):
        return round(self.seconds * self.form.sample_rate_hz / self.packet_frames)

    def samples(self):
        """Return the frames sent, shape (frames, channels); a slip of d frames leaves d frames out."""
        frame = np.arange(self.packets * self.packet_frames)
        content = frame + sum((np.where(frame >= at, by, 0) for at, by in self.slips.items()), np.zeros_like(frame))
        tone = self.amplitude * np.sin(2 * np.pi * self.frequency_hz * content / self.form.sample_rate_hz + 0.1)
        for at, length in self.dropouts.items():
            tone[at : at + length] = 0.0
        for at, by in self.clicks.items():
            tone[at] += by
        return np.repeat(tone[:, None], self.form.channels, axis=1)

    def send(self, lost=(), copied=(), delayed=None, start_ns=START_NS):
        """Return the packets in order of arrival: (arrival in ns, flow, datagram)."""
        octets, size = bytes(encode(self.form, self.samples())), self.packet_frames * self.form.bytes_per_frame
        period_ns = 1e9 * self.packet_frames / self.form.sample_rate_hz
        arrived = []
        for index in range(self.packets):
            if index in lost:
                continue
            header = struct.pack(
                ">BBHII",
                0x80,
                self.payload_type,
                (self.sequence + index) % 2**16,
                (self.timestamp + index * self.packet_frames) % 2**32,
                self.ssrc,
            )
            datagram = header + octets[index * size : (index + 1) * size]
            place = index + (delayed or {}).get(index, 0.0)
            arrived += [
                (start_ns + round((place + 0.1 * copy) * period_ns), self.flow, datagram)
                for copy in range(2 if index in copied else 1)
            ]
        return sorted(arrived, key=lambda packet: packet[0])


UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""To make a plan that fails smaller would take minutes."""

FLOWS = [
    *(Flow(f"192.0.2.{index + 1}:5004", "239.1.2.3:5004") for index in range(4)),
    Flow("192.0.2.1:5006", "239.1.2.3:5004"),
]


def batch_of(packets):
    length = np.array([len(datagram) for _, _, datagram in packets], np.int64)
    return PacketBatch(
        arena=np.frombuffer(b"".join(datagram for _, _, datagram in packets), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        arrival_ns=np.array([arrival for arrival, _, _ in packets], np.int64),
        flow=np.array([flow for _, flow, _ in packets], np.int64),
        flows=FLOWS,
    )


def spec_of(*senders, reference=f"tone:{FREQUENCY_HZ:g}", **limits):
    encodings = {sender.payload_type: sender.form for sender in senders}
    base = StreamSpec("stream", encodings=encodings, reference=parse_reference(reference))
    return StreamSpec(
        "stream", encodings=encodings, reference=base.reference, limits=with_values(base.limits, limits, "test")
    )


def verify(packets, specs, cuts=(), **options):
    """Feed packets cut before the given positions; return the verifier at its end and everything it told."""
    verifier = Verifier([specs] if isinstance(specs, StreamSpec) else specs, **options)
    told = []
    edges = [0, *sorted(set(cuts)), len(packets)]
    for start, stop in pairwise(edges):
        told += verifier.feed(batch_of(packets[start:stop]))
    told += verifier.finish()
    return verifier, told


def check(sender, **transport):
    """Verify one stream; return its result."""
    verifier, _ = verify(sender.send(**transport), spec_of(sender), cuts=range(0, sender.packets, 100))
    [stream] = verifier.result("test").streams
    return stream


def brief(events):
    """Return what identifies events: kind, start, length, channel."""
    return [(str(event.kind), event.start_frame, event.duration_frames, event.channel) for event in events]


def assert_same(one, other):
    """Assert that two verifiers found the same: events and counts exactly, figures to what rounding leaves open."""
    first, second = one.result("test"), other.result("test")
    assert first.discarded == second.discarded
    assert len(first.streams) == len(second.streams)
    for a, b in zip(first.streams, second.streams, strict=True):
        assert_same_stream(a, b)


def assert_same_stream(one, other):
    """Assert the same of what was found of one stream."""
    assert brief(one.events) == brief(other.events)
    a_dict, b_dict = stream_as_dict(one), stream_as_dict(other)
    for signal, same in zip(a_dict.pop("signal"), b_dict.pop("signal"), strict=True):
        for name, tolerance in TOLERANCES.items():
            assert_near(signal.pop(name), same.pop(name), tolerance, name)
        assert_near(signal, same, 1e-6)
    assert_near(a_dict, b_dict, 1e-6)


def assert_near(one, other, tolerance, place=""):
    """Assert that nested data is the same, and its floats nearly so."""
    assert type(one) is type(other), place
    if isinstance(one, dict):
        assert list(one) == list(other), place
        for key, value in one.items():
            assert_near(value, other[key], tolerance, f"{place}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), place
        for index, (value, same) in enumerate(zip(one, other, strict=True)):
            assert_near(value, same, tolerance, f"{place}[{index}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=0, abs=tolerance), place
    else:
        assert one == other, place


TOLERANCES = {
    "frequency_hz": 1e-4,
    "frequency_error_ppm": 0.1,
    "level_dbfs": 1e-4,
    "dc_offset": 1e-7,
    "residual_dbfs": 0.2,
    "thd_plus_n_db": 0.2,
    "thd_db": 3.0,
    "noise_floor_dbfs": 0.2,
}
"""How far measurements of nearly the same stretch of signal may lie apart."""


@st.composite
def plans(draw):
    """Plan a stream: its format, what goes wrong in its signal, and what on the wire."""
    form = draw(st.sampled_from([L24, L16, LONG, GSTREAMER]))
    sender = Sender(*form, seconds=draw(st.sampled_from([0.3, 0.8])))
    frame, packet = st.integers(0, sender.packets * sender.packet_frames - 1), st.integers(0, sender.packets - 1)
    return {
        "form": form,
        "seconds": sender.seconds,
        "flow": draw(st.integers(0, 1)),
        "sequence": draw(st.integers(0, 65535)),
        "timestamp": draw(st.integers(0, 2**32 - 1)),
        "start_ns": draw(st.integers(0, 10**8)),
        "slips": draw(st.dictionaries(frame, st.sampled_from([48, -48, 7]), max_size=2)),
        "dropouts": draw(st.dictionaries(frame, st.integers(1, 600), max_size=2)),
        "clicks": draw(st.dictionaries(frame, st.sampled_from([0.3, -0.01]), max_size=2)),
        "lost": draw(st.sets(packet, max_size=5)),
        "copied": draw(st.sets(packet, max_size=3)),
        "delayed": draw(st.dictionaries(packet, st.floats(0.5, 100), max_size=4)),
    }


def sender_of(plan, index):
    names = ("seconds", "flow", "sequence", "timestamp", "slips", "dropouts", "clicks")
    return Sender(*plan["form"], payload_type=97 + index, ssrc=index, **{name: plan[name] for name in names})


class TestTold:
    """One fault, one event, in its place."""

    @pytest.mark.parametrize("form", [L24, L16, FAST, LONG, GSTREAMER, G711])
    def test_clean(self, form):
        result = check(Sender(*form))
        assert brief(result.events) == []
        assert str(result.verdict) == "pass"
        assert result.signal[0].frequency_hz == pytest.approx(FREQUENCY_HZ, rel=1e-6 if form is not G711 else 1e-4)

    @pytest.mark.parametrize("form", [L24, L16, FAST, LONG, GSTREAMER, G711])
    def test_lost_packets_are_a_gap_and_nothing_else(self, form):
        sender = Sender(*form, seconds=2.0)
        lost = [sender.packets // 2, sender.packets // 2 + 1, sender.packets * 3 // 4]
        result = check(sender, lost=lost)
        frames = sender.packet_frames
        assert brief(result.events) == [
            ("gap", lost[0] * frames, 2 * frames, None),
            ("gap", lost[2] * frames, frames, None),
        ]
        first = sender.sequence + lost[0]
        assert result.events[0].packets == (first, first + 1)
        assert result.transport.packets_lost == 3
        assert result.transport.packets_received == sender.packets - 3
        assert result.transport.packets_expected == sender.packets

    def test_a_loss_right_after_the_start(self):
        result = check(Sender(), lost=[2, 3, 5])
        assert brief(result.events) == [("gap", 96, 96, None), ("gap", 240, 48, None)]

    @pytest.mark.parametrize("by", [1, 48, 240, -48, -97, 20_000])
    @pytest.mark.parametrize("form", [L24, L16])
    def test_slip(self, form, by):
        [event] = check(Sender(*form, seconds=2.0, slips={40_021: by})).events
        assert (str(event.kind), event.start_frame, event.duration_frames, event.channel) == ("slip", 40_021, 0, None)
        assert event.size.slip_frames == by
        assert str(event.cause) == "upstream"
        packet = 65_400 + 40_021 // 48
        assert event.packets == (packet, packet)

    @pytest.mark.parametrize("length", [12, 48, 240, 4800])
    def test_dropout(self, length):
        assert brief(check(Sender(seconds=2.0, dropouts={40_021: length})).events) == [
            ("dropout", 40_021, length, None)
        ]

    @pytest.mark.parametrize("by", [0.1, -0.003, 3 * 2.0**-23])
    def test_click(self, by):
        [event] = check(Sender(seconds=2.0, clicks={40_021: by})).events
        assert (str(event.kind), event.start_frame, event.channel) == ("click", 40_021, None)
        assert abs(event.size.deviation) == pytest.approx(abs(by), rel=1e-3, abs=2.0**-23)

    def test_faults_side_by_side_are_all_told(self):
        sender = Sender(seconds=3.0, slips={60_005: 48}, dropouts={90_011: 300}, clicks={110_017: 0.25})
        result = check(sender, lost=[700, 701])
        assert brief(result.events) == [
            ("gap", 33_600, 96, None),
            ("slip", 60_005, 0, None),
            ("dropout", 90_011, 300, None),
            ("click", 110_017, 1, None),
        ]

    def test_arrival_of_an_event(self):
        events = check(Sender(seconds=2.0, slips={40_021: 48}), lost=[500]).events
        # A gap is seen when the packet behind it comes.
        assert [event.time_ns for event in events] == [START_NS + 501_000_000, START_NS + 833_000_000]


class TestOrder:
    @pytest.mark.parametrize("delays", [{0: 1.5}, {0: 2.5}, {0: 1.5, 1: 1.7, 2: 3.5}])
    def test_first_packets_reordered(self, delays):
        result = check(Sender(slips={20_000: 48}), delayed=delays)
        assert brief(result.events) == [("slip", 20_000, 0, None)]
        assert result.transport.packets_lost == 0
        assert result.transport.packets_reordered > 0
        assert result.frames == 48_000

    def test_reordered_and_duplicated_packets_are_counted_and_no_fault(self):
        result = check(Sender(), delayed={300: 2.5, 400: 1.5}, copied=[500, 501, 600])
        assert brief(result.events) == []
        counts = result.transport
        assert (counts.packets_reordered, counts.packets_duplicated, counts.packets_lost) == (2, 3, 0)
        assert counts.packets_received == counts.packets_expected == 1000

    def test_a_late_packet_is_a_gap(self):
        result = check(Sender(), delayed={300: 80.5})
        assert brief(result.events) == [("gap", 14_400, 48, None)]
        counts = result.transport
        assert (counts.packets_late, counts.packets_lost, counts.packets_reordered) == (1, 1, 0)

    def test_counts_past_a_limit_are_events(self):
        sender = Sender()
        spec = spec_of(sender, max_reordered=0, max_duplicated=2)
        packets = sender.send(delayed={300: 2.5}, copied=[500, 501])
        assert [str(event.kind) for event in verify(packets, spec)[0].result("test").streams[0].events] == ["reorder"]

    def test_the_timestamps_and_sequence_numbers_of_a_sender_that_starts_over(self):
        before, after = Sender(seconds=0.5), Sender(seconds=0.5, sequence=7, timestamp=123_456)
        packets = before.send() + after.send(start_ns=START_NS + 500_000_000)
        [stream] = verify(packets, spec_of(before))[0].result("test").streams
        assert [str(event.kind) for event in stream.events] == ["restart"]
        assert stream.events[0].start_frame == 24_000
        assert stream.transport.packets_lost == 0

    def test_sequence_numbers_alone_skipped(self):
        sender = Sender()
        packets = sender.send()
        skipped = []
        for index, (arrival, flow, datagram) in enumerate(packets):
            number = struct.pack(">H", (sender.sequence + index + (3 if index >= 500 else 0)) % 65536)
            skipped.append((arrival, flow, datagram[:2] + number + datagram[4:]))
        [stream] = verify(skipped, spec_of(sender))[0].result("test").streams
        assert brief(stream.events) == [("gap", 24_000, 0, None)]
        assert stream.transport.packets_lost == 3

    def test_a_silence_on_the_wire_is_a_stall(self):
        sender = Sender()
        packets = [(at + (300_000_000 if i >= 500 else 0), f, d) for i, (at, f, d) in enumerate(sender.send())]
        [event] = verify(packets, spec_of(sender))[0].result("test").streams[0].events
        assert (str(event.kind), event.start_frame) == ("stall", 24_000)
        assert event.size.stall_seconds == pytest.approx(0.301)


class TestPackets:
    """Identity and form of packets."""

    def test_payload_that_is_no_whole_number_of_frames(self):
        sender = Sender()
        packets = sender.send()
        arrival, flow, datagram = packets[500]
        packets[500] = (arrival, flow, datagram[:-1])
        [stream] = verify(packets, spec_of(sender))[0].result("test").streams
        assert any("1 packet" in warning and "L24/48000/2" in warning for warning in stream.warnings)
        assert stream.transport.packets_left_out == 1
        assert str(stream.verdict) == "inconclusive"
        assert stream.inconclusive == "1 packet ignored (limit 0): 1 not decodable"

    def test_a_payload_type_of_unknown_encoding_is_followed_and_not_judged(self):
        sender = Sender(payload_type=98, amplitude=0.0)
        spec = StreamSpec("stream", reference=Tone((FREQUENCY_HZ,)))
        verifier, _ = verify(sender.send(lost=[500]), spec)
        [stream] = verifier.result("test").streams
        assert verifier.streams[0].encoding is None
        assert stream.inconclusive.startswith("payload type 98: encoding unknown; 288-byte payloads, 48 frames: ")
        assert "L16/48000/3 or L24/48000/2" in stream.inconclusive
        assert stream.transport.packets_lost == 1

    def test_a_change_of_payload_type_is_told_once(self):
        before = Sender(seconds=0.5)
        after = Sender(
            seconds=0.5, payload_type=98, sequence=before.sequence + 500, timestamp=before.timestamp + 24_000
        )
        packets = before.send() + after.send(start_ns=START_NS + 500_000_000)
        [stream] = verify(packets, spec_of(before))[0].result("test").streams
        changes = [event for event in stream.events if event.kind == "payload_type_change"]
        assert [event.start_frame for event in changes] == [24_000]
        assert changes[0].size == PayloadTypeChangeSize(from_payload_type=97, to_payload_type=98)

    def test_a_flow_that_no_spec_matches(self):
        wanted, other = Sender(flow=0), Sender(flow=1, ssrc=2)
        spec = StreamSpec("wanted", sender="192.0.2.1", encoding=wanted.form, reference=Tone((FREQUENCY_HZ,)))
        packets = sorted(wanted.send() + other.send(), key=lambda packet: packet[0])
        verifier, _ = verify(packets, spec, cuts=range(0, 2000, 64))
        assert [stream.flow.sender for stream in verifier.streams] == ["192.0.2.1:5004"]
        assert verifier.discarded == {"unmatched": 1000}

    def test_the_first_spec_that_matches_holds(self):
        sender = Sender(flow=1)
        specs = [
            StreamSpec("first", sender="192.0.2.1", encoding=sender.form),
            StreamSpec("second", sender="192.0.2.2", encoding=sender.form),
            StreamSpec("any", encoding=sender.form),
        ]
        assert [stream.name for stream in verify(sender.send(), specs)[0].streams] == ["second"]

    def test_two_streams_in_one_flow(self):
        one = Sender(ssrc=1, slips={24_000: 48})
        two = Sender(ssrc=2, encoding="L16/48000/1", payload_type=98, sequence=5, timestamp=0, amplitude=0.1)
        packets = sorted(one.send() + two.send(lost=[700]), key=lambda packet: packet[0])
        verifier, _ = verify(packets, spec_of(one, two), cuts=range(0, 2000, 100))
        first, second = sorted(verifier.result("test").streams, key=lambda stream: stream.ssrc)
        assert brief(first.events) == [("slip", 24_000, 0, None)]
        assert brief(second.events) == [("gap", 33_600, 48, None)]

    def test_streams_of_one_shape_and_different_encodings(self):
        one, two = Sender(ssrc=1), Sender("L16/48000/2", ssrc=2, payload_type=98)
        packets = sorted(one.send() + two.send(), key=lambda packet: packet[0])
        verifier, _ = verify(packets, spec_of(one, two), cuts=range(0, 2000, 100))
        for stream in verifier.result("test").streams:
            assert brief(stream.events) == []
            assert stream.signal[0].level_dbfs == pytest.approx(-6.0206, abs=1e-3)

    @settings(max_examples=20, deadline=None)
    @given(
        datagrams=st.lists(
            st.binary(max_size=40)
            | st.builds(lambda head, rest: b"\x80\x61" + head + rest, st.binary(min_size=10, max_size=10), st.binary()),
            max_size=200,
        ),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_random_datagrams_are_counted_and_change_nothing(self, datagrams, seed):
        sender = Sender(seconds=0.5)
        packets = [*sender.send(lost=[300])]
        rng = np.random.default_rng(seed)
        places = np.sort(rng.integers(0, len(packets), len(datagrams)))[::-1].tolist()
        for place, datagram in zip(places, datagrams, strict=True):
            packets.insert(place, (packets[place][0], 1, datagram))
        verifier, _ = verify(packets, spec_of(sender), cuts=range(0, len(packets), 50))
        streams = {stream.ssrc: stream for stream in verifier.result("test").streams}
        assert brief(streams[sender.ssrc].events) == [("gap", 14_400, 48, None)]
        assert _accounted(verifier) == len(packets)

    @settings(max_examples=40, deadline=None, phases=UNSHRUNK)
    @given(
        kinds=st.lists(st.sampled_from(["L24", "PCMA", "unknown", "unknown then PCMA"]), min_size=2, max_size=4),
        order=st.randoms(use_true_random=False),
        data=st.data(),
    )
    def test_streams_of_known_and_unknown_encodings_come_up_in_any_order(self, kinds, order, data):
        """Every figure of every stream can be asked for at any time, from its first packet on."""
        senders, sent = [], []
        for index, kind in enumerate(kinds):
            encoding, frames = L24 if kind == "L24" else ("PCMA/8000/1", 80)
            payload_type = {"L24": 97, "PCMA": 8}.get(kind, 112)
            sender = Sender(encoding, frames, 0.3, payload_type=payload_type, ssrc=index, flow=index)
            packets = sender.send(start_ns=START_NS + order.randrange(200_000_000))
            if kind == "unknown then PCMA":
                packets = [
                    (at, flow, d if i < 10 else d[:1] + b"\x08" + d[2:]) for i, (at, flow, d) in enumerate(packets)
                ]
            senders.append(sender)
            sent += packets
        sent.sort(key=lambda packet: packet[0])
        known = {97: parse_rtpmap("L24/48000/2"), 8: parse_rtpmap("PCMA/8000/1")}
        verifier = Verifier([StreamSpec("stream", encodings=known)])
        cuts = data.draw(st.lists(st.integers(1, len(sent) - 1), max_size=12))
        for start, stop in pairwise([0, *sorted(set(cuts)), len(sent)]):
            verifier.feed(batch_of(sent[start:stop]))
            for stream in verifier.streams:
                verifier.result_of(stream)
                verifier.wire(stream)
                verifier.reception(stream)
        verifier.finish()
        for result in verifier.result("test").streams:
            sender = senders[result.ssrc]
            assert (result.transport.packets_received, result.transport.packets_lost) == (sender.packets, 0)
            jitter = result.transport.jitter_seconds
            assert (jitter is None) == (kinds[result.ssrc] == "unknown")
            assert jitter is None or jitter < 1e-6

    def test_a_flood_of_sources_is_bounded(self):
        """Every packet of a source of its own, or of one of many sources that look like streams."""
        rng = np.random.default_rng(1)
        flood = []
        for index in range(6000):
            ssrc = index if index % 2 else 2**31 + index % 200
            header = struct.pack(">BBHII", 0x80, 97, index // 200, 48 * (index // 200), ssrc)
            flood.append((START_NS + 1000 * index, 1, header + rng.bytes(int(rng.integers(0, 300)))))
        sender = Sender(seconds=0.5)
        packets = sorted(sender.send() + flood, key=lambda packet: packet[0])
        verifier, _ = verify(packets, spec_of(sender), cuts=range(0, len(packets), 500), max_streams=8)
        assert len(verifier.streams) == 8 + 2  # one reserved place of each host
        # Of a hundred that come again some prove themselves and find no place.
        assert 0 < verifier.refused_streams["stream"] <= 100 - 9
        assert verifier.result("test").streams_refused == verifier.refused_streams.total()
        assert set(verifier.discarded) == {"probation", "too_many_streams"}
        assert _accounted(verifier) == len(packets)


def _accounted(verifier):
    """Return how many datagrams the counts of a finished verifier explain."""
    total = sum(verifier.discarded.values())
    for stream in verifier.streams:
        wire = verifier.result_of(stream).transport
        total += wire.packets_received + wire.packets_duplicated + wire.packets_late + wire.packets_stray
    return total


def measured(event):
    return {name: value for name, value in event.size.as_dict().items() if value is not None}


class TestSameAnswer:
    """From any cut into batches, and from packets and frames alike."""

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=UNSHRUNK)
    @given(plans=st.lists(plans(), min_size=1, max_size=3), data=st.data())
    def test_the_cut_into_batches_changes_nothing(self, plans, data):
        senders = [sender_of(plan, index) for index, plan in enumerate(plans)]
        sent = [
            sender.send(plan["lost"], plan["copied"], plan["delayed"], START_NS + plan["start_ns"])
            for sender, plan in zip(senders, plans, strict=True)
        ]
        packets = sorted((packet for of_one in sent for packet in of_one), key=lambda packet: packet[0])
        cuts = data.draw(st.lists(st.integers(1, len(packets) - 1), max_size=40))
        whole, told_whole = verify(packets, spec_of(*senders))
        pieces, told_pieces = verify(packets, spec_of(*senders), cuts)
        assert_same(pieces, whole)
        for told, verifier in ((told_whole, whole), (told_pieces, pieces)):
            assert Counter(item.event.id for item in told if item.is_new) == Counter(
                event.id for stream in verifier.streams for event in stream.log.events.values()
            )

    @pytest.mark.parametrize("cut", [1, 2, 3])
    def test_streams_that_are_admitted_in_the_same_batch(self, cut):
        """One of them with packets of an earlier batch."""
        one, two = Sender(seconds=0.1, ssrc=1), Sender(seconds=0.1, ssrc=2)
        packets = [packet for pair in zip(one.send(), two.send(), strict=True) for packet in pair]
        packets = [packets[1], packets[0], packets[2], packets[3], *packets[4:]]
        verifier, _ = verify(packets, spec_of(one), [cut])
        assert [stream.ssrc for stream in verifier.streams] == [1, 2]
        for stream in verifier.result("test").streams:
            assert (stream.transport.packets_received, brief(stream.events)) == (100, [])

    @pytest.mark.parametrize("reference", [f"tone:{FREQUENCY_HZ:g}", "none"])
    @pytest.mark.parametrize("silence_ns", [0, 400_000_000])
    def test_a_restart_that_a_cut_runs_through(self, reference, silence_ns):
        """The first packet behind it is held until the next one bears it out."""
        before, after = Sender(seconds=0.3), Sender(seconds=0.3, sequence=7, timestamp=123_456)
        packets = before.send() + after.send(start_ns=START_NS + 300_000_000)
        packets = [
            (at + (silence_ns if i >= 301 else 0) + 1000 * (i % 7), f, d) for i, (at, f, d) in enumerate(packets)
        ]
        spec = spec_of(before, reference=reference)
        whole, _ = verify(packets, spec)
        pieces, _ = verify(packets, spec, [301])
        assert_same(pieces, whole)
        assert [str(event.kind) for event in whole.result("test").streams[0].events] == ["restart"] + ["stall"] * bool(
            silence_ns
        )

    def test_a_silence_behind_a_late_packet(self):
        """It came after the silence too, and its number says nothing of what is missing."""
        sender = Sender(*LONG, seconds=0.3)
        packets = sender.send(lost=[12, 14], delayed={1: 48.7, 13: 52.1})
        whole, _ = verify(packets, spec_of(sender))
        pieces, _ = verify(packets, spec_of(sender), range(len(packets)))
        assert_same(pieces, whole)
        assert "stall" not in {str(event.kind) for event in whole.result("test").streams[0].events}

    def test_packet_by_packet(self):
        sender = Sender(seconds=0.6, slips={9_000: 48}, dropouts={15_000: 100}, clicks={20_000: 0.1})
        packets = sender.send(lost=[250, 251], copied=[100], delayed={0: 2.5, 120: 1.5, 400: 70.5})
        whole, _ = verify(packets, spec_of(sender))
        pieces, _ = verify(packets, spec_of(sender), range(len(packets)))
        assert_same(pieces, whole)
        assert len(whole.streams[0].log.events) == 5

    @pytest.mark.parametrize("form", [L24, L16, FAST, GSTREAMER])
    def test_packets_and_frames(self, form):
        sender = Sender(*form, seconds=2.0, slips={40_021: 48}, dropouts={60_000: 700}, clicks={80_000: 0.1})
        result = check(sender)
        encoding = sender.form
        spec = spec_of(sender)
        frames = FrameVerifier(
            spec.reference, spec.limits, encoding.sample_rate_hz, encoding.channels, encoding.name, encoding.bits
        )
        step = 2.0 ** (1 - encoding.bits)
        samples = np.round(sender.samples() / step) * step
        for start in range(0, len(samples), 10_007):
            frames.feed(samples[start : start + 10_007])
        frames.finish()
        [of_frames] = frames.result("test").streams
        assert brief(of_frames.events) == brief(result.events)
        assert [measured(event) for event in of_frames.events] == [
            pytest.approx(measured(event), rel=1e-9) for event in result.events
        ]
        assert len(of_frames.events) == 3
        for one, other in zip(of_frames.signal, result.signal, strict=True):
            assert one.frequency_hz == pytest.approx(other.frequency_hz, rel=1e-12)
            assert one.residual_dbfs == pytest.approx(other.residual_dbfs, abs=1e-6)

    def test_a_result_asked_for_on_the_way_changes_nothing(self):
        sender = Sender(seconds=1.0, slips={20_000: 48})
        packets = sender.send(lost=[600])
        asked = Verifier([spec_of(sender)])
        for start in range(0, len(packets), 37):
            asked.feed(batch_of(packets[start : start + 37]))
            asked.advance(packets[min(start + 36, len(packets) - 1)][0])
            asked.result("test")
        asked.finish()
        assert_same(asked, verify(packets, spec_of(sender))[0])
