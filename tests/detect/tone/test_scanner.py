"""Frame-by-frame explanations, straight from a scanner."""

import numpy as np
import pytest

from rtpverify.detect.tone import scanner
from rtpverify.detect.tone.scanner import Scanner
from rtpverify.detect.tone.settings import Settings
from rtpverify.detect.tone.track import Track
from tests.helpers.corpus import Case

FRAMES = 72_000


def explain(faults, piece=FRAMES, holes=(), dither="none"):
    """Return what one scanner says of a channel, asked to go on in pieces."""
    case = Case(tuple(faults), channels=1, seconds=1.5, dither=dither)
    x, valid = case.signal().read(0, FRAMES)[:, 0], np.ones(FRAMES, bool)
    for low, high in holes:
        valid[low:high] = False

    def read(start, stop):
        span = np.arange(start, stop)
        inside = (span >= 0) & (span < FRAMES)
        at = np.clip(span, 0, FRAMES - 1)
        return np.where(inside, x[at], 0.0), inside & valid[at]

    track = Track(Settings(0, 48000, 960, 1, 16, False, (997.0,), case.limits), read)
    one = Scanner(track)
    for limit in range(piece, FRAMES + piece, piece):
        position = -1
        while track.position < min(limit, FRAMES) and track.position > position:
            position = track.position
            track.quiet_blocks = 0  # nobody takes over what is quiet
            one.advance(min(limit, FRAMES))
    track.quiet_blocks = 0
    one.advance(FRAMES, final=True)
    while track.position < FRAMES:
        track.quiet_blocks = 0
        one.advance(FRAMES, final=True)
    one.finish(FRAMES)
    told = {id(event): event for event in one.events}.values()
    return [(str(event.kind), event.start_frame, event.duration_frames) for event in told]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("click:at=0.5,size=0.1", ("click", 24_000, 1)),
        ("click:at=0.5,size=0.1,frames=4", ("click", 24_000, 4)),
        # The tone passes 0 at frame 24,000.
        ("dropout:at=0.5,frames=50", ("dropout", 24_000, 50)),
        ("dropout:at=0.5,frames=5000", ("dropout", 24_000, 5000)),
        ("dropout:at=0.50025,frames=50", ("dropout", 24_012, 50)),
        ("dropout:at=0.50025,frames=5000", ("dropout", 24_012, 5000)),
        ("repeat:at=0.5,frames=480", ("repeat", 24_000, 480)),
        ("slip:at=0.5,frames=100", ("slip", 24_000, 0)),
    ],
)
@pytest.mark.parametrize("piece", [960, 4800, 10_007, FRAMES])
def test_faults_are_explained_whatever_the_pieces(fault, expected, piece):
    assert explain([fault], piece) == [expected]


def test_a_clean_channel_is_explained_without_a_word():
    assert explain([]) == []
    assert explain([], dither="tpdf") == []


def test_holes_are_not_explained():
    assert explain([], holes=[(10_000, 10_048), (30_000, 33_000)]) == []


@pytest.mark.parametrize(
    "hole", [(24_700, 24_796), (25_500, 25_596), (26_400, 26_448), (27_000, 28_440), (33_000, 33_048)]
)
@pytest.mark.parametrize("frames", [100, -100, -4000])
def test_a_fault_is_not_over_where_frames_are_missing(frames, hole):
    assert explain([f"slip:at=0.5,frames={frames}"], holes=[hole]) == [("slip", 24_000, 0)]


def test_faults_in_a_row():
    told = explain(["click:at=0.5,size=0.1", "dropout:at=0.503,frames=40", "click:at=0.506,size=-0.1"])
    assert told == [("click", 24_000, 1), ("dropout", 24_144, 40), ("click", 24_288, 1)]


def test_a_channel_without_signal():
    assert explain(["silence:at=0"]) == [("silence", 0, FRAMES)]


def test_explanations_that_get_nowhere_are_not_tried_for_ever(monkeypatch):
    tried = []
    monkeypatch.setattr(scanner, "drifts", lambda _, departure: tried.append(departure.frame) or True)
    assert explain(["click:at=0.5,size=0.1,frames=4"]) == []
    assert sorted(set(tried)) == [24_000, 24_001, 24_002, 24_003]
    assert len(tried) < 100
