"""Reference signals: a tone, or a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rtpverify.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tone:
    """A sine. ``frequencies_hz`` holds one frequency for every channel, one per channel, or nothing: find it."""

    frequencies_hz: tuple[float, ...] = ()

    @property
    def may_begin_late(self) -> bool:
        """Whether a file may be silent before it begins."""
        return True

    def frequency_hz(self, channel: int) -> float | None:
        """Return the frequency of a channel (from 0), or None where it is to be found by regression.

        Parameters
        ----------
        channel
            Counted from 0.

        Returns
        -------
        float or None
            In Hz.
        """
        if not self.frequencies_hz:
            return None
        return self.frequencies_hz[channel if len(self.frequencies_hz) > 1 else 0]

    def check(self, sample_rate_hz: int, channels: int) -> None:
        """Raise where this reference cannot hold for a format.

        Parameters
        ----------
        sample_rate_hz
            Sample rate of the stream.
        channels
            Its channels.

        Raises
        ------
        RequestError
            Where a frequency is too high, or their number is not that of the channels.
        """
        for frequency_hz in self.frequencies_hz:
            if frequency_hz >= sample_rate_hz / 2:
                raise RequestError(
                    f"reference tone:{frequency_hz:g}: not below half the sample rate of {sample_rate_hz} Hz"
                )
        if len(self.frequencies_hz) not in (0, 1, channels):
            raise RequestError(
                f"reference tone: {len(self.frequencies_hz)} frequencies for a stream of {channels} channel(s)"
            )


class ReferenceAudio(Protocol):
    """The audio of a recording at one sample rate."""

    @property
    def channels(self) -> int:
        """Samples per frame."""

    @property
    def frames(self) -> int:
        """Length."""

    @property
    def bandwidth(self) -> float:
        """Share of the sample rate up to which it is the recording: 0.5 unless it was resampled."""

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return frames ``start`` to ``stop``, shape (stop - start, channels); zeros outside the recording.

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.
        """


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording.

    Attributes
    ----------
    path
        Of its file.
    at_rate
        Gives its audio at a sample rate.
    channels, sample_rate_hz
        Of the recording; a single channel is compared with every channel of a stream.
    looped
        Whether it is played repeatedly, from any point; otherwise once, from its beginning to its end.
    in_step
        Whether frame n of a stream is known to be frame n of the recording; otherwise its place is looked for.
    stamp
        Of the file when it was opened: another version of it is another recording.
    """

    path: Path
    at_rate: Callable[[int], ReferenceAudio] = field(compare=False, repr=False)
    channels: int
    sample_rate_hz: int
    looped: bool = True
    in_step: bool = False
    stamp: tuple[int, int, int] | None = None

    @property
    def may_begin_late(self) -> bool:
        """Whether a file may be silent before it begins: one that is played once says what is heard when."""
        return self.looped

    def check(self, sample_rate_hz: int, channels: int) -> None:  # noqa: ARG002 - any sample rate will do
        """Raise where this reference cannot hold for a format.

        Parameters
        ----------
        sample_rate_hz
            Sample rate of the stream; a recording is resampled to it.
        channels
            Its channels.

        Raises
        ------
        RequestError
            Where it has neither one channel nor those of the stream.
        """
        if self.channels not in (1, channels):
            raise RequestError(
                f"reference {self.path}: {self.channels} channels, for a stream of {channels} channel(s)"
            )


Reference = Tone | Recording | None


def parse_frequencies(text: str, place: str) -> tuple[float, ...]:
    """Read ``F`` or ``F1,F2``.

    Parameters
    ----------
    text
        As it was written.
    place
        Where it was written, for messages.

    Returns
    -------
    tuple[float, ...]
        In Hz, at least one.

    Raises
    ------
    RequestError
        For a frequency that is not a positive number; the message starts with ``place``.
    """
    frequencies = []
    for item in text.split(","):
        try:
            frequency_hz = float(item)
        except ValueError:
            frequency_hz = float("nan")
        if not 0 < frequency_hz < float("inf"):
            raise RequestError(f"{place}: {item!r} is not a frequency above 0 Hz")
        frequencies.append(frequency_hz)
    return tuple(frequencies)
