import numpy as np
import pytest

from rtpverify.detect.tone.blocks.limit_prefilter import LEAST_STEP_BLOCKS, step_position


@pytest.mark.parametrize("at", [2, 7, 25, 48])
@pytest.mark.parametrize("height", [-1.0, 0.3])
def test_a_step_is_found_where_it_is(at, height):
    values = 5.0 + np.where(np.arange(50) >= at, height, 0.0) + 0.01 * np.random.default_rng(1).normal(size=50)
    assert step_position(values) == at


def test_a_drift_is_no_step():
    values = 5.0 + 0.1 * np.arange(50) + 0.01 * np.random.default_rng(1).normal(size=50)
    assert step_position(values) is None


def test_too_few_values_tell_nothing():
    assert step_position(np.array([0.0, 0.0, 1.0, 1.0])[: 2 * LEAST_STEP_BLOCKS - 1]) is None
