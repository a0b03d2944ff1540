"""What somebody sees who looks at a stream is what was sent, held against what it should be."""

import numpy as np
import pytest

from rtpverify.daemon.web.oscilloscope import MOST_COLUMNS, measure, take
from rtpverify.dsp.levels import dbfs
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.rtp.payload import parse_rtpmap
from rtpverify.sources.audio.reference_text import parse_reference
from tests.engine.test_verifier import START_NS, Sender, batch_of


def verified(sender, reference="tone:997", lost=()):
    spec = StreamSpec("bench", encoding=parse_rtpmap(sender.encoding), reference=parse_reference(reference))
    verifier = Verifier([spec])
    packets = sender.send(lost)
    for start in range(0, len(packets), 100):
        verifier.feed(batch_of(packets[start : start + 100]))
    verifier.advance(START_NS + 10**12)
    (stream,) = verifier.streams
    return verifier, stream


def scope_of(stream, *arguments):
    taken = take(stream, *arguments)
    assert taken is not None
    return measure(taken)


def test_a_clean_tone_stands_still_with_its_reference_over_it():
    _, stream = verified(Sender(seconds=2.0))
    scope = scope_of(stream, 1, 0.02)
    assert scope.frames == 960
    assert 0 <= scope.start_seconds < 1 / 48000
    assert scope.frames_per_column == 1
    assert scope.amplitude == pytest.approx(0.5, rel=1e-6)
    assert scope.omega * 48000 / (2 * np.pi) == pytest.approx(997, rel=1e-7)
    seconds = scope.start_seconds + np.arange(960) / 48000
    drawn = scope.amplitude * np.cos(scope.omega * 48000 * seconds + scope.phase_rad) + scope.dc
    assert np.abs(drawn - scope.low).max() < 1.5 * scope.step
    assert scope.step == 2.0**-23
    assert scope.phase_rad == pytest.approx(-np.pi / 2, abs=1e-9)
    # Rounding to 24 bits leaves half a step.
    assert np.abs(scope.residual_low).max() < 0.75 * scope.step
    assert 0.5 * scope.step < scope.threshold < scope.step


def test_the_spectrum_shows_the_tone_at_its_level_and_nothing_beside_it():
    _, stream = verified(Sender(seconds=2.0))
    scope = scope_of(stream, 1, 0.02)
    peak = scope.spectrum_dbfs.argmax()
    assert scope.spectrum_hz[peak] == pytest.approx(997, rel=0.02)
    assert scope.spectrum_dbfs[peak] == pytest.approx(dbfs(0.5 * np.sqrt(0.5)), abs=1)
    beside = np.abs(scope.spectrum_hz - 997) > 10 * scope.resolution_hz + 20
    assert scope.spectrum_dbfs[beside].max() < -150
    assert np.all(np.diff(scope.spectrum_hz) > 0)


def test_a_fault_is_seen_where_it_was_though_the_tone_went_on_from_another_place():
    _, stream = verified(Sender(seconds=2.0, slips={60_000: 48}))
    (slip,) = (event for event in stream.log.events.values())
    assert slip.start_frame == 60_000
    scope = scope_of(stream, 2, 0.02, slip.start_frame)
    assert scope.start_frame == 60_000 - 288
    assert scope.start_seconds == -288 / 48000
    residual = np.abs(scope.residual_low)
    assert residual[:288].max() < scope.step
    assert residual[288] > 1000 * scope.step


def test_frames_that_never_arrived_are_no_numbers():
    _, stream = verified(Sender(seconds=2.0), lost=(1980, 1981))
    scope = scope_of(stream, 1, 0.02, 1980 * 48)
    lost = np.flatnonzero(np.isnan(scope.low)) + scope.start_frame
    assert lost.tolist() == list(range(1980 * 48, 1982 * 48))
    assert np.isnan(scope.residual_low[lost - scope.start_frame]).all()


def test_a_long_span_comes_as_columns_that_hide_no_frame():
    _, stream = verified(Sender(seconds=2.0, clicks={80_000: 0.3}))
    scope = scope_of(stream, 1, 1.0)
    assert len(scope.low) <= MOST_COLUMNS
    assert scope.frames == 48_000
    at = (80_000 - scope.start_frame) // scope.frames_per_column
    assert scope.residual_high[at] == pytest.approx(0.3, abs=1e-6)
    assert scope.residual_high[np.arange(len(scope.low)) != at].max() < 1e-6


def test_without_a_tone_there_is_no_reference_but_what_arrived():
    _, stream = verified(Sender(seconds=1.0, amplitude=0.0))
    scope = scope_of(stream, 1, 0.02)
    assert scope.amplitude is None
    assert scope.residual_low is None
    assert scope.low.tolist() == [0.0] * 960
    assert scope.reference_hz == 997


def test_what_is_followed_on_transport_alone_shows_no_frames():
    _, stream = verified(Sender(seconds=0.5), "none")
    assert take(stream, 1, 0.02) is None


def test_a_glance_shows_the_last_second_of_every_channel():
    sender = Sender(seconds=3.0)
    _, stream = verified(sender)
    glance = stream.track.analysis.detector.glance(np.array([stream.track.row]))
    assert glance.followed.tolist() == [[True, True]]
    assert glance.rms[0] == pytest.approx([0.5 / np.sqrt(2)] * 2, rel=1e-6)
    assert dbfs(glance.residual_rms[0, 0]) == pytest.approx(-146.3, abs=0.5)
    # Sent is sin(ωt + 0.1) = cos(ωt + 0.1 - π/2).
    assert glance.phase_rad[0] == pytest.approx([0.1 - np.pi / 2] * 2, abs=1e-5)


def test_the_phase_at_a_glance_shows_a_slip():
    _, before = verified(Sender(seconds=3.0))
    _, after = verified(Sender(seconds=3.0, slips={60_000: 48}))
    phases = [one.track.analysis.detector.glance(np.array([one.track.row])).phase_rad[0, 0] for one in (before, after)]
    step = np.angle(np.exp(1j * (phases[1] - phases[0])))
    assert step == pytest.approx(np.angle(np.exp(2j * np.pi * 997 * 48 / 48000)), abs=1e-5)


def test_the_wire_at_a_glance_is_that_of_the_result():
    verifier, stream = verified(Sender(seconds=1.0), lost=(500, 501))
    wire, transport = verifier.wire(stream), verifier.result_of(stream).transport
    assert (wire.packets_expected, wire.packets_lost) == (1000, 2)
    assert (wire.packets_expected, wire.packets_lost) == (transport.packets_expected, transport.packets_lost)
    assert wire.last_arrival_ns == verifier.last_arrival_ns(stream) > START_NS


def test_a_channel_that_is_not_followed_still_has_a_level():
    _, stream = verified(Sender(seconds=0.5, frequency_hz=300.0), "tone:997")
    glance = stream.track.analysis.detector.glance(np.array([stream.track.row]))
    assert glance.rms[0] == pytest.approx([0.5 / np.sqrt(2)] * 2, rel=0.05)
    _, silent = verified(Sender(seconds=0.5, amplitude=0.0))
    glance = silent.track.analysis.detector.glance(np.array([silent.track.row]))
    assert not glance.followed.any()
    assert glance.rms[0].tolist() == [0.0, 0.0]
    assert np.isnan(glance.residual_rms).all()
