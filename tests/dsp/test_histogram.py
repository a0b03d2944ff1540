import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtpverify.dsp.histogram import HistogramMeter, histogram


def test_integers_are_counted_exactly():
    values = np.random.default_rng(1).integers(-5, 6, 1000)
    found = histogram(values / 32768, bits=16)
    assert (found.edges * 32768).tolist() == list(range(values.min(), values.max() + 2))
    assert found.counts[0].tolist() == np.bincount(values - values.min()).tolist()


@settings(max_examples=40, derandomize=True)
@given(st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=40), st.sampled_from([None, 8, 24]), st.integers(1, 5))
def test_every_sample_is_in_its_bin_however_it_comes(values, bits, pieces):
    audio = np.array(values)[:, None]
    if bits:
        audio = np.round(audio * 2 ** (bits - 1)) / 2 ** (bits - 1)
    meter = HistogramMeter(1, bits)
    for block in np.array_split(audio, pieces):
        meter.add(block)
    found = meter.result()
    np.testing.assert_array_equal(found.counts[0], np.histogram(audio, np.append(found.edges[:-1], np.inf))[0])
    assert found.counts[0, 0] > 0
    assert found.counts[0, -1] > 0


@pytest.mark.parametrize("bins", [2, 7, 64, 200])
def test_coarser_bins_hold_the_same(bins):
    audio = np.random.default_rng(2).normal(0.1, 0.05, (5000, 2))
    fine = histogram(audio)
    coarse = fine.coarser(bins)
    assert coarse.counts.shape[1] <= bins
    assert coarse.counts.sum(axis=1).tolist() == [5000, 5000]
    for channel in (0, 1):
        np.testing.assert_array_equal(coarse.counts[channel], np.histogram(audio[:, channel], coarse.edges)[0])
