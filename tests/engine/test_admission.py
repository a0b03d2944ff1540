"""What becomes a stream, what does not, and of which payload type it is."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtpverify.commands.check import check
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.errors import RequestError
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import encode, parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.helpers.captures import ethernet, ipv4, pcap, udp

START_NS = 1_790_000_000_000_000_000
PCMU = parse_rtpmap("PCMU/8000/1")
TONE = parse_reference("tone:1004")


def rtp(sequence, timestamp, payload, payload_type=0, ssrc=7, marker=False):
    head = struct.pack(">BBHII", 0x80, payload_type | marker << 7, sequence % 65_536, timestamp % 2**32, ssrc)
    return head + payload


def voice(packet):
    frame = 160 * packet + np.arange(160)
    return encode(PCMU, 0.25 * np.sin(2 * np.pi * 1004 * frame / 8000))


def event(duration, *, end=False):
    return struct.pack(">BBH", 5, 0x80 * end | 10, duration)


def batch_of(datagrams, ports=5004):
    """Return one datagram every 10 ms, from one port or one each."""
    ports = [ports] * len(datagrams) if isinstance(ports, int) else ports
    length = np.array([len(datagram) for datagram in datagrams], np.int64)
    known = sorted(set(ports))
    return PacketBatch(
        arena=np.frombuffer(b"".join(datagrams), np.uint8),
        offset=np.cumsum(length) - length,
        length=length,
        arrival_ns=START_NS + 10_000_000 * np.arange(len(datagrams)),
        flow=np.array([known.index(port) for port in ports], np.int64),
        flows=[Flow(f"192.0.2.7:{port}", "192.0.2.9:4000") for port in known],
    )


def verify(datagrams, spec=None, ports=5004, cuts=()):
    verifier = Verifier([spec or StreamSpec(reference=None)])
    whole = batch_of(datagrams, ports)
    edges = [0, *cuts, len(datagrams)]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        verifier.feed(
            PacketBatch(
                whole.arena,
                whole.offset[part],
                whole.length[part],
                whole.arrival_ns[part],
                whole.flow[part],
                whole.flows,
            )
        )
    verifier.finish()
    return verifier.result("test")


class TestOtherTraffic:
    """Datagrams that read as RTP and are none."""

    def bacnet(self, count):
        """BACnet/IP (Annex J): 0x81, function, length, then NPDU and APDU, which read as timestamp and SSRC."""
        rng = np.random.default_rng(1)
        found = []
        for index in range(count):
            body = bytes([1, 0x20, 0xFF, 0xFF, 0, 0xFF, 0x10, 8]) + bytes(int(rng.integers(0, 12)))
            found.append(struct.pack(">BBH", 0x81, (10, 11)[index % 2], 4 + len(body)) + body)
        return found

    def dns(self, count):
        rng = np.random.default_rng(2)
        return [
            struct.pack(">HHHHHH", int(rng.integers(0x8000, 0xC000)), 0x0100, 1, 0, 0, 0)
            + b"\x07example\x03org\0\0\x01\0\x01"
            for _ in range(count)
        ]

    def stun(self, count):
        return [struct.pack(">HHI", 1, 0, 0x2112A442) + index.to_bytes(12, "big") for index in range(count)]

    def quic(self, count):
        rng = np.random.default_rng(3)
        return [bytes([0x40 | int(rng.integers(64))]) + bytes(8) + rng.bytes(100) for _ in range(count)]

    @pytest.mark.parametrize("kind", ["bacnet", "dns", "stun", "quic"])
    def test_is_no_stream(self, kind):
        datagrams = getattr(self, kind)(300)
        result = verify(datagrams)
        assert (result.streams, result.warnings) == ([], [])
        assert sum(result.discarded.values()) == 300

    @given(seed=st.integers(0, 2**32), size=st.integers(12, 60), fixed=st.integers(0, 12))
    def test_of_random_bytes(self, seed, size, fixed):
        """Even where the version is right, and any other bytes are always the same."""
        rng = np.random.default_rng(seed)
        octets = rng.integers(0, 256, (100, size)).astype(np.uint8)
        octets[:, rng.choice(12, fixed, replace=False)] = rng.integers(0, 256, fixed)
        octets[:, 0] = 0x80
        octets[:, 8:12] = 7
        if fixed < 10:
            octets[:, 2:4] = rng.integers(0, 256, (100, 2))
        assert verify([row.tobytes() for row in octets]).streams == []

    def test_two_packets_are_enough_where_they_are_described(self):
        two = [rtp(sequence, 160 * sequence, voice(sequence)) for sequence in range(2)]
        assert verify(two).streams == []
        assert verify(two).discarded == {"probation": 2}
        for spec in (
            StreamSpec("desk"),
            StreamSpec(destination="192.0.2.9:4000"),
            StreamSpec(encodings={0: PCMU}),
        ):
            assert len(verify(two, spec).streams) == 1
        dynamic = [rtp(sequence, 160 * sequence, voice(sequence), 96) for sequence in range(2)]
        assert len(verify(dynamic, StreamSpec(encoding=PCMU)).streams) == 1

    @pytest.mark.parametrize("payload_type", [0, 96])
    @pytest.mark.parametrize(("packets", "step"), [(2, 160), (3, 160), (15, 0)])
    def test_too_few_packets_are_named_with_what_it_takes(self, packets, step, payload_type):
        datagrams = [rtp(n, step * n, voice(n), payload_type) for n in range(packets)]
        result = verify(datagrams)
        assert result.streams == []
        [warning] = result.warnings
        assert warning == (
            f"not verified: {packets} packets of payload type {payload_type} from 192.0.2.7:5004 to 192.0.2.9:4000 "
            "(SSRC 0x00000007). A payload type that nothing describes is taken for RTP from 4 packets in sequence "
            "with advancing timestamps on (17 without); described with --sdp, or from 96 on with --encoding, "
            "2 are enough"
        )
        enough = [rtp(n, step * n, voice(n), payload_type) for n in range(4 if step else 17)]
        assert len(verify(enough).streams) == 1
        assert verify(enough[:-1]).streams == []

    def test_a_single_packet_is_named_where_one_is_expected(self):
        single = [rtp(0, 0, voice(0), 96)]
        assert verify(single).warnings == []
        [warning] = verify(single, StreamSpec(encoding=PCMU)).warnings
        assert warning.startswith("not verified: 1 packet of payload type 96 from")

    def test_of_many_only_some_are_named(self):
        datagrams = [rtp(n, 160 * n, voice(n)) for n in range(2) for _ in range(6)]
        [warning] = verify(datagrams, ports=[5004 + 2 * n for n in range(6)] * 2).warnings
        assert (warning.count("2 packets of payload type 0"), ", and 2 more. A payload" in warning) == (4, True)

    @pytest.mark.parametrize("cuts", [(), (1, 2, 3, 4, 5), (3, 7)])
    @pytest.mark.parametrize("lost", [(), (1,), (2, 5)])
    def test_nothing_is_lost_of_a_stream_that_nothing_describes(self, cuts, lost):
        datagrams = [rtp(n, 160 * n, voice(n)) for n in range(65_530, 65_560) if n - 65_530 not in lost]
        [stream] = verify(datagrams, cuts=cuts).streams
        assert (stream.transport.packets_received, stream.transport.packets_lost) == (30 - len(lost), len(lost))


class TestBeside:
    """A stream is of its audio, whatever came first."""

    def result(self, datagrams, **spec):
        whole = verify(datagrams, StreamSpec(reference=TONE, **spec))
        for cuts in ((1, 2, 3, 4), (7,)):
            cut = verify(datagrams, StreamSpec(reference=TONE, **spec), cuts=cuts)
            assert cut.streams[0].transport == whole.streams[0].transport
        [stream] = whole.streams
        return stream

    @pytest.mark.parametrize("events", [1, 2, 5, 40, 63])
    def test_a_call_from_within_a_digit(self, events):
        packets = [rtp(n, 1000, event(160 * n, end=n > events - 4), 101) for n in range(events)]
        packets += [rtp(events + n, 1000 + 160 * (events + n), voice(n)) for n in range(100)]
        stream = self.result(packets)
        assert (stream.payload_type, stream.encoding) == (0, "PCMU")
        assert stream.transport.packets_received == events + 100
        assert (stream.transport.packets_lost, stream.transport.packets_beside) == (0, events)
        assert [one for one in stream.events if one.kind == "payload_type_change"] == []
        assert stream.signal[0].frequency_hz == pytest.approx(1004, abs=0.1)

    @pytest.mark.parametrize("at", [1, 2, 30])
    def test_events_among_audio(self, at):
        packets, sequence = [], 0
        for n in range(100):
            packets.append(rtp(sequence, 160 * n, voice(n)))
            sequence += 1
            for _ in range(2 if at <= n < at + 20 else 0):
                packets.append(rtp(sequence, 160 * at, event(160 * (n - at)), 101))
                sequence += 1
        stream = self.result(packets)
        assert (stream.payload_type, stream.transport.packets_lost, stream.transport.packets_beside) == (0, 0, 40)

    def test_comfort_noise_first(self):
        packets = [rtp(n, 1600 * n, b"\x40", 13) for n in range(3)]
        packets += [rtp(3 + n, 4800 + 160 * n, voice(n), marker=n == 0) for n in range(100)]
        stream = self.result(packets)
        assert (stream.payload_type, stream.transport.packets_lost, stream.transport.packets_beside) == (0, 0, 3)

    def test_nothing_but_events(self):
        result = verify([rtp(n, 1000, event(160 * n), 101) for n in range(20)])
        [stream] = result.streams
        assert (stream.payload_type, stream.encoding, stream.transport.packets_lost) == (101, None, 0)

    def test_digits_with_long_losses_between(self):
        """What came before a loss of more packets than belong together without it is part of the stream."""
        packets = [rtp(50 * digit + n, 8000 * digit, event(160 * n), 101) for digit in range(4) for n in range(12)]
        [stream] = verify(packets).streams
        assert (stream.transport.packets_received, stream.transport.packets_lost) == (48, 114)

    def test_nothing_but_a_short_event(self):
        """Its timestamp stands still, its duration goes on."""
        [stream] = verify([rtp(n, 1000, event(160 * n), 101) for n in range(4)]).streams
        assert stream.payload_type == 101


@pytest.mark.parametrize("before", [4, 5, 7, 30])
@pytest.mark.parametrize("lost", [17, 40, 500])
def test_a_long_loss_while_the_start_is_looked_at(before, lost):
    numbers = [*range(before), *range(before + lost, before + lost + 200)]
    [stream] = verify([rtp(n, 960 * n, bytes(range(80)), 111) for n in numbers]).streams
    assert (stream.transport.packets_received, stream.transport.packets_lost) == (before + 200, lost)


class TestCalls:
    """Calls one after the other, from one host to one port."""

    def calls(self, ports):
        datagrams, of = [], []
        for call, port in enumerate(ports):
            datagrams += [rtp(n, 160 * n, voice(n), ssrc=call + 1) for n in range(50)]
            of += [port] * 50
        return datagrams, of

    def test_from_ports_of_their_own_are_streams_of_their_own(self):
        datagrams, ports = self.calls([5004, 5006, 5008])
        result = verify(datagrams, ports=ports)
        assert [(stream.ssrc, stream.events) for stream in result.streams] == [(1, []), (2, []), (3, [])]

    @pytest.mark.parametrize("spec", [StreamSpec("desk"), StreamSpec(destination="192.0.2.9:4000")])
    def test_are_one_stream_where_one_is_configured(self, spec):
        datagrams, ports = self.calls([5004, 5006])
        [stream] = verify(datagrams, spec, ports).streams
        assert [str(one.kind) for one in stream.events] == ["ssrc_change"]

    def test_from_one_port_are_one_sender(self):
        [stream] = verify(*self.calls([5004, 5004])[:1]).streams
        assert [str(one.kind) for one in stream.events] == ["ssrc_change"]


class TestStreamsThatCannotBeDecoded:
    def capture(self, tmp_path, *streams):
        path = tmp_path / "capture.pcap"
        records = [
            (START_NS + 20_000_000 * n, ethernet(ipv4(udp(datagram, 5004 + 2 * index))))
            for index, stream in enumerate(streams)
            for n, datagram in enumerate(stream)
        ]
        path.write_bytes(pcap(sorted(records)))
        return str(path)

    def test_do_not_hide_the_others(self, tmp_path):
        rng = np.random.default_rng(1)
        call = [rtp(n, 160 * n, voice(n)) for n in range(100)]
        opus = [rtp(n, 960 * n, rng.bytes(int(rng.integers(60, 110))), 111, ssrc=8) for n in range(100)]
        result = check(self.capture(tmp_path, call, opus), reference=TONE)
        first, second = result.streams
        assert first.signal
        assert first.inconclusive is None
        assert "payload type 111: encoding unknown; payloads of " in second.inconclusive
        with pytest.raises(RequestError, match=r"payload type 111: encoding unknown; .* fit no PCM"):
            check(self.capture(tmp_path, opus), reference=TONE)
        assert str(check(self.capture(tmp_path, opus), reference=None).verdict) == "pass"


@pytest.mark.parametrize("kept", [2, 3])
def test_a_stream_of_which_only_every_other_packet_comes(kept):
    [stream] = verify([rtp(n, 160 * n, voice(n)) for n in range(0, 100, kept)]).streams
    assert stream.transport.packets_received == len(range(0, 100, kept))


def test_a_stream_whose_packets_overtake_one_another():
    order = np.argsort(np.arange(200) + np.random.default_rng(1).normal(0, 4, 200))
    [stream] = verify([rtp(n, 160 * n, voice(n)) for n in order.tolist()]).streams
    assert stream.transport.packets_received + stream.transport.packets_late == 200
