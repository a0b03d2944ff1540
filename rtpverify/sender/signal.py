"""What can be sent: audio that any stretch of can be asked for, with the same answer whatever the stretches.

Samples are float64, shape (frames, channels), full scale at ±1.0. Levels are dBFS with a full-scale sine at 0 dBFS
(AES17). Randomness is drawn in chunks on a fixed grid of frames, each with a generator of its own, so that it depends
on seed and frame alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Dither = Literal["none", "rpdf", "tpdf"]

_CHUNK_FRAMES = 4096


class SentSignal(Protocol):
    """A source of audio."""

    @property
    def sample_rate_hz(self) -> int:
        """Frames per second."""

    @property
    def channels(self) -> int:
        """Samples per frame."""

    @property
    def frames(self) -> int | None:
        """Where the signal ends; None where it has no end."""

    @property
    def period_frames(self) -> int | None:
        """After how many frames it repeats exactly; None where it does not."""

    @property
    def peak(self) -> NDArray[np.float64]:
        """The amplitude each channel is meant to have, shape (channels,)."""

    def read(self, start_frame: int, frames: int) -> NDArray[np.float64]:
        """Return a stretch, shape (frames, channels); zeros where the signal is over.

        Parameters
        ----------
        start_frame
            First frame.
        frames
            How many.
        """


def gaussian(seed: int, start_frame: int, frames: int, channels: int) -> NDArray[np.float64]:
    """Return normal noise of unit variance, shape (frames, channels).

    Parameters
    ----------
    seed
        Of the generator; the same frame of the same seed always has the same noise.
    start_frame
        First frame.
    frames
        How many.
    channels
        How many.

    Returns
    -------
    NDArray[np.float64]
        Shape (frames, channels).
    """
    return _random(_gaussian_chunk, seed, start_frame, frames, channels)


def uniform(seed: int, start_frame: int, frames: int, channels: int) -> NDArray[np.float64]:
    """Return numbers evenly spread from -0.5 to 0.5, shape (frames, channels).

    Parameters
    ----------
    seed
        Of the generator; the same frame of the same seed always has the same number.
    start_frame
        First frame.
    frames
        How many.
    channels
        How many.

    Returns
    -------
    NDArray[np.float64]
        Shape (frames, channels).
    """
    return _random(_uniform_chunk, seed, start_frame, frames, channels)


def quantise(
    samples: NDArray[np.float64], bits: int, dither: Dither = "none", seed: int = 0, start_frame: int = 0
) -> NDArray[np.float64]:
    """Round to the grid of a two's complement quantiser, clipping at its ends.

    Parameters
    ----------
    samples
        Shape (frames, channels).
    bits
        The step is 2 ** (1 - bits).
    dither
        Added before rounding: ``none``, ``rpdf`` (uniform, 1 LSB wide) or ``tpdf`` (triangular, 2 LSB wide).
    seed
        Of the dither.
    start_frame
        Frame of the first sample: dither does not depend on how a signal is cut.

    Returns
    -------
    NDArray[np.float64]
        On the grid, shape (frames, channels).
    """
    scale = 2.0 ** (bits - 1)
    scaled = samples * scale
    frames, channels = samples.shape
    if dither != "none":
        scaled += uniform(2 * seed, start_frame, frames, channels)
    if dither == "tpdf":
        scaled += uniform(2 * seed + 1, start_frame, frames, channels)
    return np.clip(np.rint(scaled), -scale, scale - 1) / scale


@lru_cache(maxsize=8)
def _gaussian_chunk(seed: int, chunk: int, channels: int) -> NDArray[np.float64]:
    return np.random.default_rng((seed, chunk)).standard_normal((_CHUNK_FRAMES, channels))


@lru_cache(maxsize=8)
def _uniform_chunk(seed: int, chunk: int, channels: int) -> NDArray[np.float64]:
    return np.random.default_rng((seed, chunk, 1)).uniform(-0.5, 0.5, (_CHUNK_FRAMES, channels))


def _random(
    draw: Callable[[int, int, int], NDArray[np.float64]], seed: int, start_frame: int, frames: int, channels: int
) -> NDArray[np.float64]:
    """Cut a stretch out of the chunks it lies in, shape (frames, channels); frames count from 0."""
    out = np.empty((frames, channels))
    done = 0
    while done < frames:
        chunk, skip = divmod(start_frame + done, _CHUNK_FRAMES)
        part = draw(seed, chunk, channels)[skip : skip + frames - done]
        out[done : done + len(part)] = part
        done += len(part)
    return out
