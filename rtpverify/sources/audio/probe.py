"""What is found of an audio file when it is opened, whoever reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AudioProbe:
    """What is in a file. ``frames`` is what can be decoded; ``bits`` is None without linear quantisation."""

    sample_rate_hz: int
    channels: int
    frames: int
    encoding: str
    bits: int | None
    names: tuple[str, ...]
    warnings: tuple[str, ...]


class UnsuitedError(Exception):
    """A reader does not know a file's format, or cannot read it to its end; the message says why."""
