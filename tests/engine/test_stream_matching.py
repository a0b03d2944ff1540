"""Senders that change who they are, or what their numbers are: each change is told once, and nothing beside it."""

import struct

import numpy as np
import pytest

from rtpverify.engine.verifier import Verifier
from rtpverify.events import SsrcChangeSize
from rtpverify.rtp.payload import encode
from tests.engine.test_verifier import START_NS, Sender, assert_same, batch_of, brief, spec_of, verify


def later(packets, seconds):
    return [(at + round(1e9 * seconds), flow, datagram) for at, flow, datagram in packets]


def result_of(packets, *senders, cuts=(), **limits):
    verifier, _ = verify(packets, spec_of(*senders, **limits), cuts)
    return verifier.result("test").streams


def every_cut(packets, *senders):
    """Return the streams; the same must come out of any cut into batches."""
    whole, _ = verify(packets, spec_of(*senders))
    middle = len(packets) // 2
    for cuts in (range(middle - 8, middle + 12), [600, 1001]):
        assert_same(verify(packets, spec_of(*senders), cuts)[0], whole)
    return whole.result("test").streams


BEFORE = Sender(seconds=1.0)


class TestAnotherSsrc:
    """A sender comes back with another SSRC."""

    @pytest.mark.parametrize("pause_seconds", [0.0, 0.003, 0.08, 2.0])
    def test_is_one_event(self, pause_seconds):
        after = Sender(seconds=1.0, ssrc=7, sequence=30_000, timestamp=77, amplitude=0.1)
        packets = BEFORE.send() + later(after.send(), 1.0 + pause_seconds)
        [stream] = every_cut(packets, BEFORE)
        assert brief(stream.events) == [("ssrc_change", 48_000, 0, None)]
        [event] = stream.events
        assert event.size == SsrcChangeSize(from_ssrc="0x5eed0001", to_ssrc="0x00000007")
        assert event.time_ns == START_NS + round((1.0 + pause_seconds) * 1e9)
        assert stream.ssrc == 7
        assert (stream.frames, stream.transport.packets_received, stream.transport.packets_lost) == (96_000, 2000, 0)

    def test_and_another_port_and_payload_type(self):
        after = Sender(seconds=1.0, ssrc=7, sequence=30_000, timestamp=77, payload_type=98, flow=4)
        [stream] = result_of(BEFORE.send() + later(after.send(), 1.5), BEFORE, after)
        assert brief(stream.events) == [("ssrc_change", 48_000, 0, None)]
        assert (stream.payload_type, stream.sender) == (98, "192.0.2.1:5006")

    def test_what_comes_after_is_verified(self):
        after = Sender(seconds=1.0, ssrc=7, sequence=9, timestamp=77, slips={9_600: 48}, clicks={30_000: 0.2})
        [stream] = every_cut(BEFORE.send() + later(after.send(), 1.2), BEFORE)
        assert brief(stream.events) == [
            ("ssrc_change", 48_000, 0, None),
            ("slip", 57_600, 0, None),
            ("click", 78_000, 1, None),
        ]

    def test_again_and_again(self):
        packets = []
        for turn in range(6):
            packets += later(Sender(seconds=0.4, ssrc=turn % 2, sequence=turn, timestamp=9 * turn).send(), 0.6 * turn)
        [stream] = every_cut(packets, BEFORE)
        assert brief(stream.events) == [("ssrc_change", 19_200 * turn, 0, None) for turn in range(1, 6)]

    @pytest.mark.parametrize("overlap", [0.01, 0.05])
    def test_two_at_a_time_are_two_streams(self, overlap):
        after = Sender(seconds=1.0, ssrc=7, sequence=30_000, timestamp=77)
        packets = sorted(BEFORE.send() + later(after.send(), 1.0 - overlap), key=lambda packet: packet[0])
        streams = every_cut(packets, BEFORE)
        assert [(stream.ssrc, brief(stream.events)) for stream in streams] == [(0x5EED0001, []), (7, [])]

    def test_of_another_host_is_another_stream(self):
        after = Sender(seconds=1.0, ssrc=7, flow=1)
        streams = result_of(BEFORE.send() + later(after.send(), 1.2), BEFORE)
        assert [brief(stream.events) for stream in streams] == [[], [("sender_change", 0, 0, None)]]

    def test_takes_no_room(self):
        """A sender may come back more often than there may be streams."""
        packets = []
        for turn in range(5):
            packets += later(Sender(seconds=0.2, ssrc=turn).send(), 0.5 * turn)
        verifier, _ = verify(packets, spec_of(BEFORE), max_streams=1)
        assert [len(stream.log.events) for stream in verifier.streams] == [4]
        assert verifier.discarded == {}


class TestSameSsrc:
    @pytest.mark.parametrize("sequence", [7, 50_000])
    def test_a_restart_is_one_event(self, sequence):
        after = Sender(seconds=1.0, sequence=sequence, timestamp=123_456, amplitude=0.1, slips={24_000: 48})
        [stream] = every_cut(BEFORE.send() + later(after.send(), 1.4), BEFORE)
        assert brief(stream.events) == [("restart", 48_000, 0, None), ("slip", 72_000, 0, None)]

    def test_a_restart_with_the_very_same_numbers(self):
        [stream] = every_cut(BEFORE.send() + later(BEFORE.send(), 1.4), BEFORE)
        [event] = stream.events
        assert str(event.kind) == "restart"
        assert event.start_frame == 48_000
        assert 0 < stream.transport.packets_duplicated <= 60  # until it is seen that nothing new comes

    def test_content_that_is_wrong_after_a_restart_is_told(self):
        after = Sender(seconds=1.0, sequence=7, timestamp=5, frequency_hz=1203.0)
        [stream] = result_of(BEFORE.send() + later(after.send(), 1.4), BEFORE)
        assert [str(event.kind) for event in stream.events] == ["restart", "frequency"]

    @pytest.mark.parametrize("by", [4_800, 12, -480, 2**31 - 50_000])
    def test_frames_follow_a_timestamp_jump(self, by):
        after = Sender(
            seconds=1.0,
            sequence=BEFORE.sequence + 1000,
            timestamp=BEFORE.timestamp + 48_000 + by,
            slips={9_600: 48},
            dropouts={30_000: 12_000},
        )
        [stream] = every_cut(BEFORE.send() + later(after.send(), 1.0), BEFORE)
        assert brief(stream.events) == sorted(
            [
                ("timestamp_jump", 48_000, 0, None),
                ("slip", 57_600 + by, 0, None),
                ("dropout", 78_000 + by, 12_000, None),
            ],
            key=lambda event: event[1],
        )
        [jump] = [event for event in stream.events if event.kind == "timestamp_jump"]
        assert jump.size.timestamp_jump_frames == by
        assert stream.frames == 96_000 + by

    def test_a_timestamp_jump_to_before_the_start_has_no_frames_of_its_own(self):
        after = Sender(
            seconds=1.0, sequence=BEFORE.sequence + 1000, timestamp=BEFORE.timestamp - 900_000, slips={9_600: 48}
        )
        [stream] = every_cut(BEFORE.send() + later(after.send(), 1.0), BEFORE)
        assert brief(stream.events) == [("timestamp_jump", 48_000, 0, None), ("slip", 57_600, 0, None)]


class TestLockAfterBreak:
    """Whatever broke, 200 ms of audio later the stream is verified again, and the break was one event."""

    BREAKS = ("ssrc_change", "restart", "timestamp_jump")
    FORMATS = (("L24/48000/2", 48), ("L24/48000/2", 6), ("L16/44100/2", 882), ("PCMA/8000/1", 160))

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("kind", BREAKS)
    def test_the_tone_is_followed(self, kind, form):
        before, after = self.senders(kind, form)
        packets = before.send() + later(after.send(), 1.0 + (0.15 if kind == "ssrc_change" else 0.0))
        verifier = Verifier([spec_of(before)])
        locked_frames = None
        fed = before.packets
        verifier.feed(batch_of(packets[:fed]))
        [stream] = verifier.streams
        while locked_frames is None:
            some = packets[fed : fed + max(1, after.packets // 200)]
            verifier.feed(batch_of(some))
            fed += len(some)
            verifier.advance(some[-1][0] + 10**9)  # so that what is settled is judged at once
            row = np.array([stream.track.row])
            broken = any(str(event.kind) == kind for event in stream.log.events.values())
            if broken and stream.track.analysis.detector.glance(row).followed.all():
                locked_frames = (fed - before.packets) * form[1]
        assert locked_frames <= 0.2 * before.form.sample_rate_hz
        assert [str(event.kind) for event in stream.log.events.values()] == [kind]

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("kind", BREAKS)
    def test_a_fault_is_found_there(self, kind, form):
        before, after = self.senders(kind, form)
        at = round(0.2 * before.form.sample_rate_hz)
        after.clicks = {at: 0.2}
        packets = before.send() + later(after.send(), 1.0 + (0.15 if kind == "ssrc_change" else 0.0))
        [stream] = result_of(packets, before)
        first, click = stream.events
        assert (str(first.kind), str(click.kind)) == (kind, "click")
        assert click.start_frame - first.start_frame == at + getattr(first.size, "timestamp_jump_frames", 0) * (
            kind == "timestamp_jump"
        )

    def senders(self, kind, form):
        before = Sender(*form, seconds=1.0)
        after = Sender(*form, seconds=0.5, amplitude=0.3)
        if kind == "timestamp_jump":
            after.sequence = before.sequence + before.packets
            after.timestamp = before.timestamp + before.packets * form[1] + 777
        else:
            after.sequence, after.timestamp = 30_000, 77
            after.ssrc = 7 if kind == "ssrc_change" else before.ssrc
        return before, after


class TestPayloadType:
    def test_there_and_back(self):
        packets = []
        for turn, payload_type in enumerate([97, 98, 97]):
            part = Sender(
                seconds=0.3,
                payload_type=payload_type,
                sequence=BEFORE.sequence + 300 * turn,
                timestamp=BEFORE.timestamp + 14_400 * turn,
            )
            packets += later(part.send(), 0.3 * turn)
        [stream] = every_cut(packets, Sender(), Sender(payload_type=98))
        changes = [event for event in stream.events if event.kind == "payload_type_change"]
        assert [(event.start_frame, event.size.to_payload_type) for event in changes] == [(14_400, 98), (28_800, 97)]

    @pytest.mark.parametrize(
        ("encoding", "packet_frames"), [("L16/48000/2", 48), ("L24/48000/4", 96), ("PCMA/8000/1", 160)]
    )
    def test_audio_goes_on_being_verified_in_another_encoding(self, encoding, packet_frames):
        """Faults on both sides of the change are found where they are, and the change itself harms nothing."""
        first = Sender(seconds=1.0, slips={24_000: 48})
        then = Sender(encoding, packet_frames, seconds=1.0, payload_type=98, amplitude=0.3)
        rate_hz = then.form.sample_rate_hz
        then.sequence, then.timestamp = first.sequence + 1000, (first.timestamp + 48_000) % 2**32
        then.clicks = {rate_hz // 2: 0.2}
        packets = first.send() + later(then.send(), 1.0)
        [stream] = every_cut(packets, first, then)
        assert brief(stream.events) == [
            ("slip", 24_000, 0, None),
            ("payload_type_change", 48_000, 0, None),
            ("click", 48_000 + rate_hz // 2, 1, None if then.form.channels > 1 else 1),
        ]
        assert stream.encoding == encoding.partition("/")[0]
        assert stream.transport.packets_lost == 0
        assert stream.transport.jitter_seconds == pytest.approx(0, abs=1e-9)
        # The packet time is the most frequent one, and that of another clock rate is no packet time.
        assert stream.packet_time_seconds == (0.001 if rate_hz == 48_000 else packet_frames / rate_hz)
        assert stream.signal[0].level_dbfs == pytest.approx(20 * np.log10(0.3), abs=0.05)
        assert len(stream.signal) == then.form.channels
        assert stream.inconclusive is None
        assert any("encoding is" in warning and "from frame 48000 on" in warning for warning in stream.warnings)

    def test_and_back_again(self):
        """Time and again: each stretch is judged, in no more memory than one stretch of each encoding takes."""
        packets = []
        for turn in range(8):
            form, payload_type = (("L24/48000/2", 97), ("L16/48000/2", 98))[turn % 2]
            part = Sender(
                form,
                seconds=0.6,
                payload_type=payload_type,
                sequence=BEFORE.sequence + 600 * turn,
                timestamp=(BEFORE.timestamp + 28_800 * turn) % 2**32,
                clicks={14_400: 0.2},
            )
            packets += later(part.send(), 0.6 * turn)
        verifier, _ = verify(packets, spec_of(Sender(), Sender("L16/48000/2", payload_type=98)), range(0, 4800, 40))
        tracks = [track for stream in verifier.streams for track in (*stream.earlier, stream.track)]
        [stream] = verifier.result("test").streams
        expected = [("click", 28_800 * turn + 14_400, 1, None) for turn in range(8)]
        expected += [("payload_type_change", 28_800 * turn, 0, None) for turn in range(1, 8)]
        assert brief(stream.events) == sorted(expected, key=lambda event: event[1])
        timelines = {id(track.analysis): track.analysis.timeline.streams for track in tracks}
        assert list(timelines.values()) == [1, 1]

    def test_packets_that_were_overtaken_by_the_change(self):
        then = Sender("L16/48000/2", seconds=0.5, payload_type=98)
        then.sequence, then.timestamp = BEFORE.sequence + 1000, (BEFORE.timestamp + 48_000) % 2**32
        packets = BEFORE.send(delayed={998: 3.5, 997: 4.5}) + later(then.send(), 1.0)
        [stream] = every_cut(sorted(packets, key=lambda packet: packet[0]), BEFORE, then)
        assert brief(stream.events) == [("payload_type_change", 48_000, 0, None)]
        assert stream.transport.packets_reordered == 2

    def test_with_a_restart_at_once(self):
        then = Sender("L16/48000/2", seconds=0.5, payload_type=98, sequence=9_000, timestamp=77, clicks={12_000: 0.2})
        [stream] = every_cut(BEFORE.send() + later(then.send(), 1.3), BEFORE, then)
        assert sorted(brief(stream.events)) == [
            ("click", 60_000, 1, None),
            ("payload_type_change", 48_000, 0, None),
            ("restart", 48_000, 0, None),
        ]

    def test_to_one_that_nothing_tells(self):
        """The audio from there on is not checked, and the result says so."""
        then = Sender(seconds=0.5, payload_type=98)
        then.sequence, then.timestamp = BEFORE.sequence + 1000, (BEFORE.timestamp + 48_000) % 2**32
        [stream] = every_cut(BEFORE.send() + later(then.send(), 1.0), BEFORE)
        assert brief(stream.events) == [("payload_type_change", 48_000, 0, None)]
        assert stream.inconclusive.startswith("from frame 48000 on nothing is checked: payload type 98")
        assert (stream.encoding, stream.transport.packets_received) == ("L24", 1500)
        assert stream.signal[0].frequency_hz == pytest.approx(997)

    def test_to_one_in_which_the_reference_cannot_be(self):
        high = Sender(seconds=1.0, frequency_hz=9000.0)
        then = Sender("PCMA/8000/1", 160, seconds=0.5, payload_type=98)
        then.sequence, then.timestamp = high.sequence + 1000, (high.timestamp + 48_000) % 2**32
        verifier, _ = verify(high.send() + later(then.send(), 1.0), spec_of(high, then, reference="tone:9000"))
        [stream] = verifier.result("test").streams
        assert brief(stream.events) == [("payload_type_change", 48_000, 0, None)]
        assert "nothing is checked" in stream.inconclusive
        assert "9000" in stream.inconclusive


class Phone:
    """A telephone: G.711, packets of 20 ms, and what else it sends."""

    def __init__(self):
        self.sender = Sender("PCMA/8000/1", 160, payload_type=8, seconds=10.0, frequency_hz=997.0)
        self.samples = self.sender.samples()
        self.sequence, self.frame, self.packets = 65_500, 0, []

    def put(self, payload_type, payload, frame, *, marker=False):
        header = struct.pack(
            ">BBHII", 0x80, payload_type | marker << 7, self.sequence % 65536, (frame + 4_294_960_000) % 2**32, 9
        )
        self.packets.append((START_NS + frame * 125_000, 0, header + payload))
        self.sequence += 1

    def talk(self, packets, *, marker=False):
        for index in range(packets):
            audio = encode(self.sender.form, self.samples[self.frame : self.frame + 160])
            self.put(8, audio, self.frame, marker=marker and index == 0)
            self.frame += 160

    def results(self):
        return every_cut(self.packets, self.sender)


class TestSilenceSuppression:
    """Silence that a telephone leaves out is no fault."""

    @pytest.mark.parametrize("noise", [(), (0,), (0, 20, 40)])
    def test_a_pause(self, noise):
        phone = Phone()
        phone.talk(50, marker=True)
        for packets in noise:
            phone.put(13, b"\x40", phone.frame + 160 * packets)
        phone.frame += 160 * 75
        phone.talk(60, marker=True)
        [stream] = phone.results()
        assert (brief(stream.events), str(stream.verdict)) == ([], "pass")
        assert stream.frames == 160 * 185
        assert stream.transport.packets_received == stream.transport.packets_expected == 110 + len(noise)
        assert any("silence" in warning for warning in stream.warnings)

    def test_a_pause_ends_without_a_marker_where_noise_began_it(self):
        phone = Phone()
        phone.talk(50)
        phone.put(13, b"\x40", phone.frame)
        phone.frame += 160 * 75
        phone.talk(60)
        [stream] = phone.results()
        assert brief(stream.events) == []

    def test_frames_after_a_pause_count_on_the_media_timeline(self):
        phone = Phone()
        phone.samples[160 * 150] += 0.3
        phone.talk(50)
        phone.frame += 160 * 75
        phone.talk(60, marker=True)
        [stream] = phone.results()
        assert brief(stream.events) == [("click", 160 * 150, 1, 1)]

    def test_losses_on_both_sides_of_a_pause(self):
        phone = Phone()
        phone.talk(50)
        phone.frame += 160 * 75
        phone.talk(60, marker=True)
        del phone.packets[70], phone.packets[50], phone.packets[30]
        [stream] = phone.results()
        assert [str(event.kind) for event in stream.events] == ["gap", "gap", "gap"]
        assert stream.transport.packets_lost == 3

    def test_a_telephone_event_amid_the_audio(self):
        phone = Phone()
        phone.talk(50)
        start = phone.frame
        for index in range(8):
            duration = struct.pack(">BBH", 5, 0x80 | 10 if index > 4 else 10, min(160 * (index + 1), 800))
            phone.put(101, duration, start, marker=index == 0)
        phone.frame += 800
        phone.talk(50)
        [stream] = phone.results()
        assert brief(stream.events) == []
        assert stream.transport.packets_received == 108

    def test_a_jump_without_a_sign_of_silence_is_a_fault(self):
        phone = Phone()
        phone.talk(50)
        phone.frame += 160 * 75
        phone.talk(60)
        [stream] = phone.results()
        assert [str(event.kind) for event in stream.events] == ["timestamp_jump"]


def test_events_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr("rtpverify.engine.stream.MAX_EVENTS", 10)
    sender = Sender()
    verifier, told = verify(sender.send(lost=range(20, 900, 20)), spec_of(sender))
    [stream] = verifier.result("test").streams
    assert len(told) == 44
    assert len(stream.events) == 10
    assert any("34 further events" in warning for warning in stream.warnings)
    assert np.all([event.fault for event in stream.events])


def test_a_change_of_packet_time_is_a_warning():
    one, two = Sender(), Sender("L24/48000/2", 96, seconds=0.5)
    two.sequence, two.timestamp = one.sequence + 1000, one.timestamp + 48_000
    [stream] = every_cut(one.send() + later(two.send(), 1.0), one)
    assert brief(stream.events) == []
    assert stream.transport.packet_time_changes == 1
    assert "packet time changed from 1 to 2 ms" in stream.warnings


def test_figures_of_the_wire():
    sender = Sender()
    lost = [100, 200, 201, 205, 700]
    packets = [(at + (70_000_000 if i >= 400 else 0), f, d) for i, (at, f, d) in enumerate(sender.send(lost=lost))]
    [stream] = result_of(packets, sender)
    wire = stream.transport
    assert wire.loss_run_lengths == {"1": 3, "2": 1}
    assert (wire.loss_bursts, wire.burst_density, wire.burst_duration_seconds) == (1, 0.5, 0.006)
    assert wire.gap_density == pytest.approx(2 / 994)
    assert wire.longest_interval_seconds == pytest.approx(0.071)
    assert wire.max_tsdf_seconds == pytest.approx(0.07)
    assert sum(count for _, count in wire.interarrival_histogram) == 994
    assert dict(wire.interarrival_histogram)[0.1] == 1


def sender_report(seconds, packets, ssrc=BEFORE.ssrc):
    ntp, timestamp = round((4e9 + seconds) * 2**32), (BEFORE.timestamp + round(48_000 * seconds)) % 2**32
    return struct.pack(">BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp, packets, 288 * packets)


def goodbye(ssrc=BEFORE.ssrc):
    return struct.pack(">BBHIBBHI", 0x80, 201, 1, ssrc, 0x81, 203, 1, ssrc)


def with_reports(packets, reports, flow=4):
    """Add reports, each at a time in seconds."""
    more = [(START_NS + round(1e9 * seconds), flow, datagram) for seconds, datagram in reports]
    return sorted(packets + more, key=lambda packet: packet[0])


class TestReports:
    """What a sender reports of itself."""

    @pytest.mark.parametrize("said", [2000, 2100])
    def test_against_what_arrived(self, said):
        sender = Sender(seconds=3.0)
        reports = [(0.5, sender_report(0.5, 7500)), (2.5004, sender_report(2.5, 7500 + said))]
        packets = with_reports(sender.send(lost=[700, 2800]), reports)
        [stream] = every_cut(packets, sender)
        rtcp = stream.transport.rtcp
        assert rtcp.sender_reports == 2
        assert rtcp.media_clock_drift_ppm == pytest.approx(0.0, abs=1e-3)
        assert (rtcp.packets_sent, rtcp.packets_by_sequence) == (said, 2000)
        assert rtcp.octets_received == 288 * 1999
        assert rtcp.fraction_lost == pytest.approx(1 / 499)
        assert (rtcp.cumulative_lost, rtcp.extended_highest_sequence) == (2, sender.sequence + 2999)
        assert rtcp.delay_since_last_sender_report_seconds == pytest.approx(0.4986)
        assert any("RTCP sender reports count 2100 packets" in warning for warning in stream.warnings) == (said == 2100)

    def test_after_a_goodbye_nothing_is_a_fault(self):
        after = Sender(seconds=1.0, ssrc=7, sequence=30_000, timestamp=77)
        packets = with_reports(BEFORE.send() + later(after.send(), 1.5), [(1.0001, goodbye())])
        [stream] = every_cut(packets, BEFORE)
        assert brief(stream.events) == [("ssrc_change", 48_000, 0, None)]
        assert (stream.events[0].fault, str(stream.verdict)) == (False, "pass")

    def test_of_others_are_ignored(self):
        reports = [(0.5, goodbye(99)), (0.6, sender_report(0.6, 1, ssrc=99)), (0.7, b"\x80\xc8\x00\x00")]
        verifier, _ = verify(with_reports(BEFORE.send(), reports), spec_of(BEFORE))
        assert verifier.result("test").streams[0].transport.rtcp is None
        assert verifier.discarded["rtcp"] + verifier.discarded["short"] == 3

    def test_of_another_host_are_ignored(self):
        verifier, _ = verify(with_reports(BEFORE.send(), [(0.5, goodbye())], flow=1), spec_of(BEFORE))
        assert not verifier.streams[0].rtcp.said_goodbye
