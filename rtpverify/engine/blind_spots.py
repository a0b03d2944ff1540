"""What a check could not have seen."""

from __future__ import annotations

from collections.abc import Sequence

from rtpverify.engine.format_group import Analysis
from rtpverify.reference import Recording, Reference, Tone
from rtpverify.result import Signal

SMALL_BLIND_SECONDS = 0.1
"""A tone that cannot tell slips this far apart is called blind: common buffers are shorter."""


def blindness(signal: Sequence[Signal], sample_rate_hz: int) -> list[str]:
    """Return a warning for tones that leave common slips unseen, one for channels that share it."""
    warnings = []
    for blind in sorted({item.blind_slip_frames for item in signal if item.blind_slip_frames is not None}):
        if blind >= SMALL_BLIND_SECONDS * sample_rate_hz:
            continue
        at = [item for item in signal if item.blind_slip_frames == blind]
        hz = at[0].frequency_hz
        tone = f"{hz:.0f} Hz" if hz is not None else "this tone"
        where = "" if len(at) == len(signal) else f" on channel {', '.join(str(item.channel) for item in at)}"
        warnings.append(
            f"a tone of {tone} at {sample_rate_hz} Hz{where} cannot reveal slips of {blind} frames "
            f"({1000 * blind / sample_rate_hz:.3g} ms) or multiples of it; use 1283 Hz to detect slips of any length"
        )
    return warnings


def why_inconclusive(analysis: Analysis, row: int, reference: Reference, frames: int) -> str | None:
    """Return why nothing can be said of the signal of a row, None where something can."""
    if frames == 0:
        return "no frames arrived"
    if analysis.detector.ever_acquired(row):
        return None
    if isinstance(reference, Recording):
        return f"{reference.path.name} was not found in the {frames} frames that arrived"
    wanted = "tone"
    if isinstance(reference, Tone) and reference.frequencies_hz:
        wanted = "tone of " + ", ".join(f"{hz:g}" for hz in reference.frequencies_hz) + " Hz"
    return f"no {wanted} found above the noise in the {frames} frames that arrived"
