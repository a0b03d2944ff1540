"""Low bits that are never used, from the start of a stream on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.tone.settings import Settings
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sample_words import empty_low_bits
from rtpverify.events import Event, Kind, WordLengthSize

WORD_LENGTH_SECONDS = 1.0
"""How long the low bits must stay empty before the word length is reported."""


class WordLength:
    """Which low bits of one channel were ever used.

    Parameters
    ----------
    settings
        The channel; one without linear quantisation has no word length.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.watching = settings.bits is not None
        """Whether all that was seen left low bits empty, and that has not been reported."""
        self.empty_bits = 0
        self._frames = 0
        self._event: Event | None = None

    def watch(self, x: NDArray[np.float64], track: Track) -> None:
        """Take in clean frames ``x`` of any shape.

        Parameters
        ----------
        x
            The frames, of any shape.
        track
            Their channel.
        """
        settings = self._settings
        if not self.watching or settings.bits is None or x.size == 0:
            return
        empty = empty_low_bits(x.ravel(), settings.bits)
        self.empty_bits = min(empty, self.empty_bits) if self._frames else empty
        self._frames += x.size
        self.watching = self.empty_bits > 0
        if self._frames >= WORD_LENGTH_SECONDS * settings.sample_rate_hz:
            self._settle(track)

    def finish(self, stop: int, track: Track) -> None:
        """End the stream at frame ``stop``.

        Parameters
        ----------
        stop
            The frame after its last.
        track
            The channel.
        """
        self._settle(track)
        if self._event is not None:
            self._event.duration_frames, self._event.open = stop, False
            track.teller.tell(self._event)

    def _settle(self, track: Track) -> None:
        """Report low bits that have been empty all the time."""
        bits = self._settings.bits
        if not self.watching or self.empty_bits == 0 or bits is None:
            return
        self.watching = False
        if track.monitor.tells(Kind.WORD_LENGTH):
            return
        self._event = Event(
            WordLengthSize(effective_bits=bits - self.empty_bits),
            0,
            message=f"the low {self.empty_bits} of {bits} bits are always empty",
            fault=self._settings.limits.word_length_is_fault,
            open=True,
        )
        track.teller.tell(self._event)
