"""What is said does not depend on which channel is which nor on the level, and a larger fault is no harder to see."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.seeds import generator
from tests.oracle import faults
from tests.oracle.signals import MARGIN, Stream
from tests.oracle.verdict import verify

KINDS = ["mute", "polarity", "gain", "dc", "noise", "click", "slip"]


def said(stream, frames, channel=lambda number: number):
    """Return events in the order of their frames, with their channels renamed."""
    events = [
        (str(event.kind), event.channel and channel(event.channel), event.start_frame, event.duration_frames)
        for event in verify(stream, frames).events
    ]
    return sorted(events, key=str)


@pytest.mark.parametrize("reference", ["tone", "recording"])
@pytest.mark.parametrize("kind", KINDS)
def test_channels_that_change_places_have_the_same_events(kind, reference):
    rng = generator(f"permutation/{kind}/{reference}")
    frames = None if kind == "slip" else 4800
    case = faults.draw(rng, kind, frames, reference=reference, channels=2, content="tone", rate_hz=48000)
    exchanged = _Exchanged(**{name: getattr(case.stream, name) for name in case.stream.__dataclass_fields__})
    there = said(case.stream, case.frames)
    assert there
    assert said(exchanged, case.frames[:, ::-1], lambda number: 3 - number) == there


class _Exchanged(Stream):
    """The same stream with its channels in the other order."""

    def frequency_of(self, channel):
        return super().frequency_of(1 - channel)

    def recorded(self):
        return Stream(**{name: getattr(self, name) for name in self.__dataclass_fields__}).recorded()[:, ::-1]


@pytest.mark.parametrize("reference", ["tone", "recording"])
@pytest.mark.parametrize("kind", ["mute", "polarity", "gain", "slip"])
def test_a_stream_of_half_the_level_has_the_same_events(kind, reference):
    rng = generator(f"scaling/{kind}/{reference}")
    fixed = {"reference": reference, "content": "tone", "rate_hz": 48000, "bits": 24, "dither": "none", "channels": 1}
    case = faults.draw(rng, kind, None if kind == "slip" else 4800, level_dbfs=-6.0, **fixed)
    softer = replace(case, stream=replace(case.stream, level_dbfs=-6.0 - 20 * np.log10(2)))
    assert said(softer.stream, softer.frames) == said(case.stream, case.frames)


@pytest.mark.parametrize("reference", ["tone", "recording"])
def test_a_larger_step_of_the_level_is_seen_where_a_smaller_one_is(reference):
    """And named what it is from three times the first size on that is seen."""
    stream, sizes_db, kinds = (
        Stream(reference=reference, noise_dbfs=-80.0, seed=5),
        (0.002, 0.004, 0.01, 0.03, 0.1, 1),
        [],
    )
    for size_db in sizes_db:
        content = stream.content_frames.copy()
        content[MARGIN + 95_000 :][:9600] *= 10 ** (size_db / 20)
        kinds.append([kind for kind, *_ in said(stream, stream.within(stream.finished(content)))])
    first = next(index for index, kind in enumerate(kinds) if kind)
    assert kinds[:first] == [[]] * first
    assert all(kinds[first:])
    large = [kind for kind, size_db in zip(kinds, sizes_db, strict=True) if size_db >= 3 * sizes_db[first]]
    assert large == [["gain"]] * len(large)
