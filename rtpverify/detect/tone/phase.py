"""A step of the phase that is too small for single frames: where it is, and continuing after it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rtpverify.detect.noise_thresholds import BLOCK_Z, SMALLEST_NOISE
from rtpverify.detect.tone.regions import phase_step_position
from rtpverify.detect.tone.track import Track
from rtpverify.dsp.sine import Sine


@dataclass(frozen=True, slots=True)
class PhaseStep:
    """The likeliest step of a model's phase in a stretch.

    Attributes
    ----------
    frame, stop
        First frame of the sine after it, and the end of the stretch.
    after
        That sine.
    size, deviation
        The step and its standard deviation, rad.
    rms
        What the sines before and after leave of the stretch.
    """

    frame: int
    stop: int
    after: Sine
    size: float
    deviation: float
    rms: float


def phase_step(track: Track, low: int, stop: int) -> PhaseStep:
    """Find the step of the phase that explains frames ``low`` to ``stop`` best.

    Parameters
    ----------
    track
        The channel.
    low
        First frame.
    stop
        The one after the last.

    Returns
    -------
    PhaseStep
        Where it lies, and how large it is.
    """
    model = track.model
    x, valid = track.read(low, stop)
    residual = np.where(valid, x - model.at(low, stop), 0.0)
    ahead = np.where(valid, replace(model, phase=model.phase + math.pi / 2.0, dc=0.0).at(low, stop), 0.0)
    at, size, power = phase_step_position(residual, ahead)
    left = float(residual @ residual) - size * size * power
    sigma = max(track.phase_sigma(), SMALLEST_NOISE)
    own, carried = sigma / math.sqrt(power) if power else math.inf, track.deviation(stop) / model.amplitude
    return PhaseStep(
        low + at,
        stop,
        replace(model, phase=model.phase + size),
        size,
        math.hypot(own, carried),
        math.sqrt(max(left, 0.0) / max(int(np.count_nonzero(valid)), 1)),
    )


def is_noticed(track: Track, step: PhaseStep) -> bool:
    """Return whether a step exceeds what noise and the model's own uncertainty do.

    Parameters
    ----------
    track
        The channel.
    step
        The step.

    Returns
    -------
    bool
        Whether it does.
    """
    return abs(step.size) > max(BLOCK_Z * step.deviation, track.noticed_phase)


def go_on_out_of_phase(track: Track, step: PhaseStep) -> None:
    """Have a step measured, and continue with the sine after it.

    Parameters
    ----------
    track
        The channel.
    step
        The step.
    """
    track.add_step(step.frame, step.frame, track.model, step.after)
    track.start_anew(step.frame)
    # Its frequency may have changed as well: it rests on no more than a block.
    track.follow(step.after, step.stop - step.frame, min(track.rate_frames, track.settings.block_frames))
