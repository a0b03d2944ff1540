"""Stretches that are judged together are judged as one after another."""

import dataclasses

import numpy as np
import pytest

from rtpverify.detect.tone import detector
from rtpverify.engine.format_group import Analysis, stream_format
from rtpverify.limits import Limits
from rtpverify.reference import Tone
from tests.helpers.corpus import Case

RATE_HZ = 48000
STRETCH_FRAMES = detector.STATE_BLOCKS * RATE_HZ // 50
SECONDS = 13.0
TONES = (997.0, 1283.0)
"""Two of them: so channels have crosstalk."""


def judge(x, per_call, monkeypatch, most):
    """Return events and figures of frames, and how many stretches were judged together."""
    monkeypatch.setattr(detector, "MOST_STRETCHES", most)
    monkeypatch.setattr(detector, "LEAST_STRETCHES", 2 if most else 1000)
    taken = []
    judge_stretches = detector.judge_stretches

    def count(*of):
        found = judge_stretches(*of)
        taken.append(int(np.logical_and.accumulate(found.clean.all(axis=0)).sum()))
        return found

    monkeypatch.setattr(detector, "judge_stretches", count)
    reference = Tone(TONES[: x.shape[1]])
    analysis = Analysis(stream_format(RATE_HZ, x.shape[1], 1, reference), per_call, np.float32)
    row = np.array([analysis.add(reference, Limits(), 16)])
    told = {}
    for start in range(0, len(x), per_call):
        analysis.timeline.write_run(0, start, x[start : start + per_call])
        analysis.advance(row, np.array([min(start + per_call, len(x))]))
        told |= {id(event): event for _, event in analysis.take_events()}
    told |= {id(event): event for event in analysis.finish(0, len(x))}
    monkeypatch.undo()
    return [event.to_dict() for event in told.values()], analysis.detector.signal(0), sum(taken)


def assert_same(one, other):
    """Compare what JSON can hold; numbers to rounding."""
    if isinstance(one, dict):
        assert_same(list(one.items()), list(other.items()))
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for item, another in zip(one, other, strict=True):
            assert_same(item, another)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-12)
    else:
        assert one == other


@pytest.mark.parametrize(
    ("faults", "least"),
    [
        ((), 6),
        (("click:at=7.001,size=0.01",), 3),
        (("slip:at=5.3,frames=48", "gain:at=9.0,db=-1,duration=0.4"), 2),
        (("noise:at=6.0,dbfs=-70,duration=3",), 2),
    ],
)
@pytest.mark.parametrize("per_call", [4 * STRETCH_FRAMES, 5 * STRETCH_FRAMES + 960 * 7])
def test_stretches_together_are_what_they_are_one_by_one(faults, least, per_call, monkeypatch):
    case = Case(faults, seconds=SECONDS)
    one = case.signal().read(0, round(SECONDS * RATE_HZ))[:, :1]
    wave = np.sin(2.0 * np.pi * 1283.0 / RATE_HZ * np.arange(len(one)))[:, None]
    x = np.concatenate([one, np.rint((0.3 * wave + 1e-5 * one) * 2**15) / 2**15], axis=1).astype(np.float32)
    apart, apart_signal, none = judge(x, per_call, monkeypatch, 0)
    together, signal, stretches = judge(x, per_call, monkeypatch, 16)
    assert none == 0
    assert stretches >= least
    assert_same(together, apart)
    assert_same([dataclasses.asdict(item) for item in signal], [dataclasses.asdict(item) for item in apart_signal])
