"""What the audio is held against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtpverify.errors import RequestError


@dataclass(frozen=True, slots=True)
class Tone:
    """A sine. ``frequencies_hz`` holds one frequency for every channel, one per channel, or nothing: find it."""

    frequencies_hz: tuple[float, ...] = ()

    def frequency_hz(self, channel: int) -> float | None:
        """Return the frequency of a channel (from 0), or None where it is to be found by regression."""
        if not self.frequencies_hz:
            return None
        return self.frequencies_hz[channel if len(self.frequencies_hz) > 1 else 0]

    def check(self, sample_rate_hz: int, channels: int) -> None:
        """Raise RequestError where this reference cannot hold for the format."""
        for frequency_hz in self.frequencies_hz:
            if frequency_hz >= sample_rate_hz / 2:
                raise RequestError(
                    f"reference tone:{frequency_hz:g}: not below half the sample rate of {sample_rate_hz} Hz"
                )
        if len(self.frequencies_hz) not in (0, 1, channels):
            raise RequestError(
                f"reference tone: {len(self.frequencies_hz)} frequencies for a stream of {channels} channel(s)"
            )


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file."""

    path: Path


Reference = Tone | Recording | None


def parse_reference(text: str) -> Reference:
    """Read ``tone``, ``tone:F``, ``tone:F1,F2``, ``none`` or the path of a recording.

    Raises
    ------
    RequestError
        For a frequency that is not a positive number.
    """
    if text == "none":
        return None
    if text == "tone":
        return Tone()
    if not text.startswith("tone:"):
        return Recording(Path(text))
    return Tone(parse_frequencies(text.removeprefix("tone:"), f"reference {text}"))


def parse_frequencies(text: str, place: str) -> tuple[float, ...]:
    """Read ``F`` or ``F1,F2``.

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
