"""The familiar number: distance of two recordings by dynamic time warping of their cepstra.

Equal to ``dtw(x, y).normalizedDistance`` of dtw-python on ``librosa.feature.mfcc`` of the same signals in double
precision. Of signals in single precision, as ``librosa.load`` gives them, librosa's own rounding moves its number by up
to 1e-5 of itself, and by more where the signals are nearly equal.

The number says that something differs, and not whether it matters: inaudible dither may weigh more than a dropout,
inverted polarity weighs nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtpverify.dsp.dtw import align, distance
from rtpverify.dsp.mfcc import HOP_FRAMES, WINDOWS_KEPT, Cepstra, Samples, cepstra_of_both

_FRAMES_AT_ONCE = 1 << 16
_SHORT_FRAMES = 1000 * HOP_FRAMES
"""Up to here (10.7 s at 48 kHz) dtw-python itself warps."""


def mono(frames: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the mean of all channels, shape (n,), of frames of shape (n, channels), as ``librosa.load`` has it.

    Parameters
    ----------
    frames
        Shape (n, channels).

    Returns
    -------
    NDArray[np.float32]
        Shape (n,).
    """
    single = np.asarray(frames, dtype=np.float32)
    return single[:, 0] if single.shape[1] == 1 else np.asarray(single.T.mean(axis=0))


def mfcc_distance(reference: Samples, received: Samples, rate_hz: float) -> float:
    """Return the normalised distance of two signals of one channel and one sample rate; 0.0 of equal ones.

    Signals of up to two minutes are compared along the cheapest path of all; longer ones along the cheapest that
    keeps within two seconds of the straight line from start to end.

    Parameters
    ----------
    reference
        Shape (n,).
    received
        Shape (m,).
    rate_hz
        Sample rate of both.

    Returns
    -------
    float
        As dtw-python has it with symmetric2 steps: the sum over the path, by n + m.

    Raises
    ------
    ValueError
        Where a signal is empty.
    """
    if not len(reference) or not len(received):
        raise ValueError("a signal without frames has no cepstrum")
    longest = max(len(reference), len(received))
    if longest < WINDOWS_KEPT * HOP_FRAMES:
        cepstra = cepstra_of_both(reference, received, rate_hz)
        return align(*cepstra).distance if longest < _SHORT_FRAMES else distance(*cepstra)
    if _equal(reference, received):
        return 0.0
    return distance(Cepstra(reference, rate_hz), Cepstra(received, rate_hz))


def _equal(reference: Samples, received: Samples) -> bool:
    if len(reference) != len(received):
        return False
    starts = range(0, len(reference), _FRAMES_AT_ONCE)
    spans = (slice(start, start + _FRAMES_AT_ONCE) for start in starts)
    return all(np.array_equal(reference[span], received[span]) for span in spans)
