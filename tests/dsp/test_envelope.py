import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.envelope import EnvelopeMeter, envelope
from rtpverify.errors import RequestError


def test_values_of_every_hop():
    found = envelope(np.array([1.0, -2.0, 3.0, 0.5, 0.25, 7.0, -1.0]) / 8, 10.0, hop_frames=3)
    assert (found.minimum * 8).tolist() == [[-2.0, 0.25, -1.0]]
    assert (found.maximum * 8).tolist() == [[3.0, 7.0, -1.0]]
    np.testing.assert_allclose(found.times_seconds, [0.0, 0.3, 0.6])


@settings(max_examples=30, derandomize=True)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(1, 20))
def test_the_cut_into_blocks_changes_nothing(lengths, hop):
    audio = np.random.default_rng(1).uniform(-1, 1, (max(1, sum(lengths)), 2))
    meter = EnvelopeMeter(2, hop)
    for block in np.split(audio, np.cumsum(lengths)):
        meter.add(block)
    part, whole = meter.result(48000), envelope(audio, 48000, hop_frames=hop)
    np.testing.assert_array_equal(part.minimum, whole.minimum)
    np.testing.assert_array_equal(part.maximum, whole.maximum)
    assert whole.minimum.shape == (2, -(-len(audio) // hop))


def test_what_is_no_audio_is_refused():
    for bad, words in (
        (np.zeros(0), "at least one frame"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros(3, np.int16), "int16 holds no full scale"),
        (np.array([0.0, 1.0, np.nan]), "frame 2 holds a value that is not finite"),
    ):
        with pytest.raises(RequestError, match=words):
            envelope(bad, 48000)
    with pytest.raises(RequestError, match="hop_frames: 0"):
        envelope(np.zeros(3), 48000, hop_frames=0)
    with pytest.raises(RequestError, match="sample_rate_hz"):
        envelope(np.zeros(3), -1)
