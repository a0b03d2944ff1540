"""RTP streams against a looped recording: locked from any point, lost packets told once, events in time."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from rtpverify.daemon.web.oscilloscope import MOST_COLUMNS, measure, take
from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.limits import PROFILES
from rtpverify.reference import Recording
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import encode, parse_rtpmap
from tests.helpers.programme import RATE_HZ, Audio, converted, music, quantised
from tests.helpers.seeds import generator

FLOWS = [Flow("192.0.2.1:5004", "239.1.2.3:5004")]
PACKET = 48
AT_ONCE = 10
"""Packets that arrive together: 10 ms."""


def fed(frames, lost=(), profile="digital", encoding="L16", loop=None):
    """Feed packets of 1 ms, some of them lost; return the verifier and each event with the frame it was told at."""
    audio = Audio(quantised(music(6, seed=6)) if loop is None else loop)
    recording = Recording(Path("loop.wav"), lambda _: audio, 2, RATE_HZ)
    form = parse_rtpmap(f"{encoding}/48000/2")
    verifier = Verifier([StreamSpec("stream", encodings={97: form}, reference=recording, limits=PROFILES[profile])])
    told = []
    for first in range(0, len(frames) // PACKET, AT_ONCE):
        numbers = [n for n in range(first, min(first + AT_ONCE, len(frames) // PACKET)) if n not in lost]
        data = [
            struct.pack(">BBHII", 0x80, 97, 65000 + n & 0xFFFF, n * PACKET, 0x5EED)
            + encode(form, frames[n * PACKET : (n + 1) * PACKET])
            for n in numbers
        ]
        length = np.array([len(item) for item in data], np.int64)
        batch = PacketBatch(
            arena=np.frombuffer(b"".join(data), np.uint8),
            offset=np.cumsum(length) - length,
            length=length,
            arrival_ns=10**18 + np.array(numbers, np.int64) * 1_000_000,
            flow=np.zeros(len(data), np.int64),
            flows=FLOWS,
        )
        told += [(item.event, (numbers[-1] + 1) * PACKET) for item in verifier.feed(batch) if item.is_new]
    return verifier, told


def stream(frames, lost=(), profile="digital", encoding="L16", loop=None):
    """Feed as above to the end; return the result and each event with the frame it was told at."""
    verifier, told = fed(frames, lost, profile, encoding, loop)
    told += [(item.event, len(frames)) for item in verifier.finish() if item.is_new]
    return verifier.result("test").streams[0], told


@pytest.mark.parametrize("start", [1000, 4 * RATE_HZ + 11])
def test_lost_packets_are_told_once_and_faults_within_a_quarter_second(start):
    loop = quantised(music(6, seed=6))
    frames = np.concatenate([loop[start:], loop])[: 4 * RATE_HZ + 48]
    frames = np.delete(frames, slice(2 * RATE_HZ, 2 * RATE_HZ + 48), axis=0)
    frames[3 * RATE_HZ : 3 * RATE_HZ + 48] = 0.0
    result, told = stream(frames, lost=(1500, 1501, 1502))
    events = {str(event.kind): (event, frame) for event, frame in told}
    assert sorted(events) == ["dropout", "gap", "slip"]
    assert (events["gap"][0].start_frame, events["gap"][0].duration_frames) == (1500 * PACKET, 3 * PACKET)
    slip, dropout = events["slip"][0], events["dropout"][0]
    assert (slip.start_frame, slip.size.slip_frames) == (2 * RATE_HZ, 48)
    assert (dropout.start_frame, dropout.duration_frames) == (3 * RATE_HZ, 48)
    for event, frame in (events["slip"], events["dropout"]):
        assert frame - event.start_frame <= RATE_HZ // 4
    channel = result.comparison.channels[0]
    assert channel.frames_compared == len(frames) // PACKET * PACKET - 3 * PACKET


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
@pytest.mark.parametrize("seed", range(3))
def test_what_companding_rounds_off_is_no_fault(encoding, seed):
    """However much louder it becomes than where the noise was learnt; true faults are found under it."""
    rng = np.random.default_rng(seed)
    knots = rng.choice([0.001, 0.01, 0.05, 0.3, 0.9], 16)
    envelope = np.interp(np.arange(6 * RATE_HZ), np.arange(16) * 6 * RATE_HZ / 15, knots)
    loop = quantised(music(6, seed=seed) * envelope[:, None])
    frames = loop[: 5 * RATE_HZ].copy()
    result, told = stream(frames, encoding=encoding, loop=loop)
    assert (str(result.verdict), told) == ("pass", [])
    at = RATE_HZ + int(np.abs(loop[RATE_HZ : 4 * RATE_HZ, 0]).argmax())
    frames[at, 0] *= 0.5
    result, told = stream(frames, encoding=encoding, loop=loop)
    assert [(str(event.kind), event.channel, event.start_frame) for event, _ in told] == [("click", 1, at)]


@pytest.mark.parametrize("encoding", ["PCMU", "PCMA"])
@pytest.mark.parametrize("rms_dbfs", [-55, -65, -70])
def test_what_companding_makes_of_near_silence_is_no_fault(encoding, rms_dbfs):
    """A-law has no zero: what is smaller than its smallest step becomes half a step, and louder by that."""
    noise = np.random.default_rng(-rms_dbfs).normal(size=(3 * RATE_HZ, 2))
    smooth = np.apply_along_axis(np.convolve, 0, noise, np.ones(4) / 2, "same")
    loop = quantised(10 ** (rms_dbfs / 20) * smooth)
    result, told = stream(loop[: 5 * RATE_HZ // 2], encoding=encoding, loop=loop)
    assert (str(result.verdict), told) == ("pass", [])


def test_a_fault_right_after_the_lock_is_told_within_two_seconds():
    loop = quantised(music(6, seed=6))
    frames = np.concatenate([loop[150000:], loop])[: 3 * RATE_HZ]
    frames[RATE_HZ // 4 : RATE_HZ // 4 + 48] = 0.0
    _, told = stream(frames)
    [(event, frame)] = told
    assert (str(event.kind), event.start_frame) == ("dropout", RATE_HZ // 4)
    assert frame <= 2 * RATE_HZ


PER_KIND = int(os.environ.get("RTPVERIFY_CORPUS_CASES", "1"))


def test_random_losses_are_gaps_and_nothing_else():
    rng = generator("losses")
    for _ in range(PER_KIND):
        loop, start = quantised(music(6, seed=6)), rng.randrange(6 * RATE_HZ)
        frames = np.concatenate([loop[start:], loop])[: 4 * RATE_HZ]
        first, count = rng.randrange(100, 3000), round(2 ** rng.uniform(0, 8))
        result, _ = stream(frames, range(first, first + count))
        found = [(str(event.kind), event.start_frame, event.duration_frames) for event in result.events]
        assert found == [("gap", first * PACKET, count * PACKET)], (start, first, count)


@pytest.mark.parametrize("ppm", [100.0, -100.0])
def test_a_loop_on_another_clock_is_found_within_two_seconds_and_followed(ppm):
    loop = quantised(music(6, seed=6))
    frames = converted(np.concatenate([loop[70_000:], loop, loop]), ppm=ppm, bits=16)[: 12 * RATE_HZ]
    at = (2 * RATE_HZ, 7 * RATE_HZ, 11 * RATE_HZ)
    for start in at:
        frames[start : start + 480] = 0.0
    result, told = stream(frames, profile="analog")
    dropouts = [(event, frame) for event, frame in told if str(event.kind) == "dropout"]
    assert len(told) == len(dropouts) == len(at), [(str(event.kind), event.start_frame) for event, _ in told]
    for (event, frame), start in zip(dropouts, at, strict=True):
        assert abs(event.start_frame - start) <= 8
        assert event.duration_frames == pytest.approx(480, abs=16)
        assert frame - event.start_frame <= RATE_HZ // 4
    for channel in result.comparison.channels:
        assert channel.clock_offset_ppm == pytest.approx(ppm, abs=0.2)
        assert channel.frames_compared >= len(frames) - 2 * RATE_HZ


def test_who_looks_on_sees_the_recording_over_what_arrived():
    loop = quantised(music(6, seed=6))
    frames = np.delete(np.concatenate([loop[150_000:], loop])[: 4 * RATE_HZ], slice(120_000, 120_048), axis=0)
    [stream] = fed(frames)[0].streams
    now = measure(take(stream, 2, 0.02))
    np.testing.assert_array_equal(now.content_low, frames[now.start_frame : now.start_frame + now.frames, 1])
    assert not now.residual_low.any()
    assert now.threshold == 0.5 * now.step
    assert now.amplitude is None
    wide = measure(take(stream, 2, 1.0))
    assert len(wide.content_low) == len(wide.content_high) <= MOST_COLUMNS
    assert not wide.residual_high.any()
    jump = measure(take(stream, 1, 0.02, 120_000))
    off = np.abs(jump.residual_low)
    assert not off[: 120_000 - jump.start_frame].any()
    assert off[120_000 - jump.start_frame :].mean() > 0.001
