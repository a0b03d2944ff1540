import numpy as np
import pytest

from rtpverify.dsp.median import median


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_as_numpy_has_it(n, axis):
    x = np.random.default_rng(n).standard_normal((n, n + 1))
    assert np.array_equal(median(x, axis), np.median(x, axis=axis))


def test_nothing_has_no_median():
    with pytest.raises((ValueError, IndexError)):
        median(np.empty(0))
