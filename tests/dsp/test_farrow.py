import numpy as np
import pytest

from rtpverify.dsp.farrow import farrow_coefficients, farrow_taps


@pytest.mark.parametrize("fraction", [-0.5, -0.3, 0.0, 0.2, 0.5])
@pytest.mark.parametrize("omega", [0.01, 0.2, 0.38, 0.42, 0.43])
@pytest.mark.parametrize(("design", "off_db"), [((24, 9.0, 9), -86), ((10, 4.5, 5), -43)])
def test_a_tone_between_its_frames(design, omega, off_db, fraction):
    taps = farrow_taps(*design)
    frame = np.arange(-design[0], 200 + design[0])
    found = np.polyval(farrow_coefficients(np.cos(2 * np.pi * omega * frame), taps), fraction)
    expected = np.cos(2 * np.pi * omega * (np.arange(200) + fraction))
    assert len(found) == 200
    assert np.abs(found - expected).max() < 10 ** (off_db / 20)
