"""How long after its first packet an event is told, on a machine that takes no time itself."""

import struct

import numpy as np
import pytest

from rtpverify.engine.expectation import StreamSpec
from rtpverify.engine.verifier import Verifier
from rtpverify.reference import Tone
from rtpverify.rtp.batch import Flow, PacketBatch
from rtpverify.rtp.payload import encode, parse_rtpmap
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import ToneSignal

FLOWS = [Flow("192.0.2.1:5004", "239.1.2.3:5004")]
START_NS = 1_790_000_000_000_000_000
TICK_MS = 40
SECONDS = 9


@pytest.mark.parametrize("kind", ["gap", "click", "slip"])
def test_an_event_is_told_as_soon_as_what_follows_explains_it(kind):
    rng = np.random.default_rng(1)
    at = np.arange(2.0, SECONDS - 1, 0.5 if kind != "slip" else 1.5)
    at += rng.uniform(0.0, 0.3, len(at))
    form = parse_rtpmap("L24/48000/2")
    written = {"click": "click:at={},size=0.1,channel=1", "slip": "slip:at={},frames=48"}
    faults = [parse_fault(written[kind].format(moment)) for moment in at] if kind in written else []
    lost = set((1000 * at).astype(int).tolist()) if kind == "gap" else set()
    samples = DamagedSignal(ToneSignal([1283.0]), faults, bits=24).read(0, 48_000 * SECONDS)
    packets = [
        struct.pack(">BBHII", 0x80, 97, n, 48 * n, 7) + encode(form, samples[48 * n : 48 * (n + 1)])
        for n in range(1000 * SECONDS)
    ]
    verifier = Verifier([StreamSpec("a", encoding=form, reference=Tone((1283.0,)))])
    late_ms = []
    for now_ms in range(TICK_MS, 1000 * SECONDS + 1, TICK_MS):
        rows = [n for n in range(now_ms - TICK_MS, now_ms) if n not in lost]
        length = np.array([len(packets[n]) for n in rows], np.int64)
        arena = np.frombuffer(b"".join(packets[n] for n in rows), np.uint8)
        arrival_ns = START_NS + np.array(rows, np.int64) * 1_000_000
        none = np.zeros(len(rows), np.int64)
        told = verifier.feed(PacketBatch(arena, np.cumsum(length) - length, length, arrival_ns, none, FLOWS))
        told += verifier.advance(START_NS + now_ms * 1_000_000)
        late_ms += [now_ms - (item.event.time_ns - START_NS) / 1e6 for item in told if item.is_new]
    assert len(late_ms) == len(at)
    # A tick, the reorder window or the three blocks in which channels are held together, and what is judged at a time.
    assert max(late_ms) <= 130
