"""Audio that can be read, wherever it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ReadableAudio(Protocol):
    """Audio that can be read from its start as often as one likes: an audio file, or a stream that was kept."""

    @property
    def sample_rate_hz(self) -> int:
        """Frames per second."""

    @property
    def channels(self) -> int:
        """Samples per frame."""

    @property
    def frames(self) -> int:
        """Length."""

    @property
    def encoding(self) -> str:
        """Name of the encoding."""

    @property
    def bits(self) -> int | None:
        """Quantiser bits; None where there is no linear quantiser."""

    @property
    def channel_names(self) -> tuple[str, ...]:
        """What each channel is called; empty where nothing says."""

    def told(self) -> list[str]:
        """Return what a reader of all of it should know, once it has been read.

        Returns
        -------
        list of str
            Warnings, one sentence each.
        """

    def blocks(self, frames_per_block: int) -> Iterator[NDArray[np.float64]]:
        """Yield the audio from its start, each block of shape (n, channels).

        Parameters
        ----------
        frames_per_block
            Frames of each block but the last.

        Yields
        ------
        NDArray[np.float64]
            Full scale ±1.0, shape (n, channels).
        """
