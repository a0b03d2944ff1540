"""What one channel is compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import BLOCK_Z, ROUNDING_MARGIN, frame_threshold, is_plain
from rtpverify.detect.tone.moves import STILL, Moves, moving_sigma
from rtpverify.dsp.levels import DB_PER_NEPER, FULL_SCALE_SINE_RMS, amplitude_ratio, quantisation_rms
from rtpverify.dsp.sine import distinct_errors, rounding_beat
from rtpverify.dsp.slip import FALSE_ALARM_Z, SlipCode
from rtpverify.limits import Limits
from rtpverify.result import Sensitivity

COMPANDED_THD_N_DB = -37.0
"""Quantisation limit of G.711 over most of its range, relative to the tone (ITU-T G.712 figure for the mid levels)."""
FLOAT_BITS = 24
"""Encodings without a quantiser of their own are held to the limit of this many bits."""

ACQUISITION_BLOCKS = 5
"""How much of the signal an acquisition, or the naming of a residual, looks at."""
LEAST_NOISE_CHANGE = 0.4
"""Relative change of the residual's power that no block's own chance reaches, where blocks are long."""
_PREDICTION_POWER = 3.4
"""Variance of a block's phase against the line through those before; twice, as half a step may be in the one before."""
MISS_Z = 3.1
"""Deviations of a Gaussian that chance exceeds, on one side, once in a thousand times."""
FOUND_Z = FALSE_ALARM_Z + MISS_Z
"""Deviations that show although noise may take some away."""
WANDER_TURN = 2e-7
"""Change of a generator's wander that is no fault, relative frequency per second: from +0.1 to -0.1 ppm/s."""
LEAST_MUTED_FRAMES = 3
"""Shorter runs of equal values are wrong frames, not a dropout."""
LEAST_WINDOW_FRAMES = 64
"""Fewer frames distinguish no sine from another."""

_UNDITHERED_STEPS = 0.45
"""Residual RMS, in steps of the quantiser, below which there is no full dither."""
_BEATING_STEPS = 4000.0
"""Amplitude, in steps of the quantiser, above which rounding beats by less than any slip shows."""
_STEP_OF_BEAT = 4.0
"""Step between two straight lines, each through a stretch of a beat, over its amplitude."""


def noise_power_range(frames: int, moves: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return between which powers, relative to a channel's noise, a block of ``frames`` frames lies by chance.

    The power of n Gaussian frames has a relative standard deviation of √(2/n); ``moves`` are those that channels have
    shown, shape (m,).

    Parameters
    ----------
    frames
        Frames of a block.
    moves
        Relative deviations that channels have shown, shape (m,).

    Returns
    -------
    least : NDArray[np.float64]
        Shape (m,).
    most : NDArray[np.float64]
        Shape (m,).
    """
    spread = np.maximum(LEAST_NOISE_CHANGE, BLOCK_Z * np.maximum(math.sqrt(2.0 / frames), moves))
    return np.maximum(1.0 - spread, 0.2 / np.maximum(spread, 1.0)), 1.0 + spread


@dataclass(frozen=True, slots=True)
class Settings:
    """Format, reference and limits of one channel (``channel`` counts from 0).

    ``references_hz`` are the references of all channels of the stream, None where to be found; ``bits`` is None for
    encodings without linear quantisation, ``companded`` distinguishes G.711 from float.
    """

    channel: int
    sample_rate_hz: int
    block_frames: int
    packet_frames: int
    bits: int | None
    companded: bool
    references_hz: tuple[float | None, ...]
    limits: Limits

    @property
    def reference_hz(self) -> float | None:
        """Frequency of this channel's reference, None where it is to be found."""
        return self.references_hz[self.channel]

    @property
    def other_omegas(self) -> dict[int, float]:
        """Frequencies of the other channels' references that are not this one's, rad per frame, by channel."""
        return {
            channel: 2.0 * math.pi * hz / self.sample_rate_hz
            for channel, hz in enumerate(self.references_hz)
            if hz is not None and hz != self.reference_hz
        }

    @property
    def step(self) -> float:
        """Smallest step of the encoding, full scale ±1.0."""
        return 2.0 ** (1 - (self.bits or FLOAT_BITS))

    def residual_limit(self, amplitude: float) -> float:
        """Return the largest residual RMS that the limits allow for a tone of this amplitude.

        Parameters
        ----------
        amplitude
            Amplitude of the tone.

        Returns
        -------
        float
            Full scale ±1.0.
        """
        if self.limits.max_thd_n_db is not None:
            return amplitude * FULL_SCALE_SINE_RMS * amplitude_ratio(self.limits.max_thd_n_db)
        if self.companded:
            return amplitude * FULL_SCALE_SINE_RMS * amplitude_ratio(COMPANDED_THD_N_DB + 6.0)
        return quantisation_rms(self.bits or FLOAT_BITS) * amplitude_ratio(6.0)

    def frame_threshold(self, sigma: float, peak: float) -> float:
        """Return the deviation that no frame of clean signal reaches, by RMS and peak of the residual.

        Parameters
        ----------
        sigma
            RMS of the residual.
        peak
            Its largest value.

        Returns
        -------
        float
            Full scale ±1.0.
        """
        return frame_threshold(None if self.bits is None else self.step, sigma, peak)

    def least_phase(self, omega: float, amplitude: float, sigma: float, quantum: float, step: float) -> float:
        """Return the phase step, rad, below which nothing is reported, however many frames show it.

        Half the smallest step of any slip (``quantum``), and what rounding to multiples of ``step`` without dither does
        to a tone that takes few different phases, or that beats with the rounding's harmonics.

        Parameters
        ----------
        omega
            Frequency, rad per frame.
        amplitude
            Amplitude of the tone.
        sigma
            RMS of the noise.
        quantum
            Smallest step of any slip, rad.
        step
            Of the quantiser.

        Returns
        -------
        float
            In rad.
        """
        least = quantum / 2.0
        if self.bits is None or sigma > _UNDITHERED_STEPS * step:
            return least
        frames = distinct_errors(omega, amplitude / step, self.block_frames)
        least = max(least, FALSE_ALARM_Z * sigma / amplitude * math.sqrt(2.0 / frames))
        return max(least, _STEP_OF_BEAT * self.beat(omega, amplitude, sigma, step))

    def beat(self, omega: float, amplitude: float, sigma: float, step: float) -> float:
        """Return how far rounding to multiples of ``step`` without dither makes the phase oscillate, rad.

        Parameters
        ----------
        omega
            Frequency, rad per frame.
        amplitude
            Amplitude of the tone.
        sigma
            RMS of the noise.
        step
            Of the quantiser.

        Returns
        -------
        float
            In rad.
        """
        if self.bits is None or sigma > _UNDITHERED_STEPS * step or amplitude > _BEATING_STEPS * step:
            return 0.0
        # Rounded, so that it need not be found anew for every block.
        return rounding_beat(round(omega, 9), float(f"{amplitude / step:.3g}"), self.block_frames)

    def telling_frames(
        self, omega: float, amplitude: float, sigma: float, frames: int, step: float | None = None
    ) -> int:
        """Return how many of ``frames`` frames say something new of level and offset.

        The error of rounding without dither repeats with the phases that the tone takes, and does not average out.

        Parameters
        ----------
        omega
            Frequency, rad per frame.
        amplitude
            Amplitude of the tone.
        sigma
            RMS of the noise.
        frames
            How many there are.
        step
            Of values that are rounded to fewer bits than the encoding has.

        Returns
        -------
        int
            Frames.
        """
        step = step or self.step
        if self.bits is None or sigma > _UNDITHERED_STEPS * step:
            return frames
        return distinct_errors(omega, amplitude / step, frames)

    @property
    def rounding_sigma(self) -> float:
        """RMS up to which a residual is that of rounding without dither, 0 where there is no quantiser.

        Its power comes and goes with the phases that the tone takes, and distinguishes these.
        """
        return 0.0 if self.bits is None else ROUNDING_MARGIN * quantisation_rms(self.bits)

    def is_plain(self, threshold: float) -> bool:
        """Return whether a threshold is that of plain rounding, where every clean frame equals the rounded sine.

        Parameters
        ----------
        threshold
            What :meth:`frame_threshold` returned.

        Returns
        -------
        bool
            Whether it is.
        """
        return self.bits is not None and is_plain(self.step, threshold)


def wander_phase(omega: float, sample_rate_hz: int, frames: float) -> float:
    """Return the phase step, rad, that lines through ``frames`` frames on either side of a turn of the wander show.

    A line through T seconds of a parabola of curvature c misses its end by c T²/12.

    Parameters
    ----------
    omega
        Frequency, rad per frame.
    sample_rate_hz
        Frames per second.
    frames
        Length of either line.

    Returns
    -------
    float
        In rad.
    """
    return omega * sample_rate_hz * WANDER_TURN * (frames / sample_rate_hz) ** 2 / 12.0


def phase_window_frames(omega: float, sample_rate_hz: int, ratio: float) -> int:
    """Return over how many frames on either side a phase step is measured best, at most a second.

    ``ratio`` is noise over amplitude. Noise asks for long stretches (6.3 · 4 ``ratio`` / √n), wander for short ones
    (:func:`wander_phase`); their sum is least here.

    Parameters
    ----------
    omega
        Frequency, rad per frame.
    sample_rate_hz
        Frames per second.
    ratio
        Noise over amplitude.

    Returns
    -------
    int
        Frames.
    """
    wander = wander_phase(omega, sample_rate_hz, 1.0)
    return int(min((FALSE_ALARM_Z * ratio / wander) ** 0.4, sample_rate_hz))


def sensitivity(
    settings: Settings,
    omega: float,
    amplitude: float,
    sigma: float,
    threshold: float,
    code: SlipCode | None,
    moves: Moves = STILL,
) -> Sensitivity:
    """Return the smallest faults that a tone with noise of RMS ``sigma`` is sure to show.

    Noise may hide a fault as well as feign one, and so may what the tone ``moves`` by itself: what is stated lies above
    the threshold by as much as noise takes away once in a thousand times. ``omega`` is in rad per frame.

    Parameters
    ----------
    settings
        How the channel is checked.
    omega
        Frequency, rad per frame.
    amplitude
        Amplitude of the tone.
    sigma
        RMS of the noise.
    threshold
        Deviation that no clean frame reaches.
    code
        Which slips the tone can distinguish; None where it has no frequency of its own.
    moves
        How much the channel moves by itself.

    Returns
    -------
    Sensitivity
        The smallest faults.
    """
    second = settings.sample_rate_hz
    level_step_db = DB_PER_NEPER * FOUND_Z * sigma / amplitude * math.sqrt(4.0 / second)
    if moving_sigma(sigma, moves.level) > sigma:
        level_step_db = DB_PER_NEPER * FOUND_Z * moves.level / amplitude * math.sqrt(4.0 / settings.block_frames)
    # It is noticed as a step in the midst of a straight line through the phases of a second, and measured between a
    # straight line on either side, each through its own phases. The noise of G.711 comes and goes with the phases of
    # the tone, so that only a block against those before is sure to show it.
    points = second / 16.0 if not settings.companded else settings.block_frames / _PREDICTION_POWER
    noticed_over = second if not settings.companded else settings.block_frames
    noticed = FOUND_Z * moving_sigma(sigma, moves.phase_over(noticed_over)) / amplitude * math.sqrt(2.0 / points)
    window = max(phase_window_frames(omega, second, sigma / amplitude), 1)
    ratio = moving_sigma(sigma, moves.phase_over(window)) / amplitude
    measured = 4.0 * FOUND_Z * ratio / math.sqrt(window) + wander_phase(omega, second, window)
    quantum = code.phase_quantum if code else 0.0
    return Sensitivity(
        click=threshold + min(MISS_Z * sigma, threshold),
        level_step_db=1.1 * settings.limits.max_level_change_db + level_step_db,
        phase_step_rad=max(noticed, measured, quantum),
        exact_slips=code is not None and 4.0 * FALSE_ALARM_Z * ratio / math.sqrt(window) < quantum / 2.0,
    )


def block_frames(sample_rate_hz: int, frequencies_hz: tuple[float | None, ...]) -> int:
    """Return the length of an analysis block: 20 ms, or more where a tone needs it.

    Four periods, and four of the distance to half the rate, keep the fit well conditioned; one second is the most.

    Parameters
    ----------
    sample_rate_hz
        Frames per second.
    frequencies_hz
        Of each channel; None where it is to be found.

    Returns
    -------
    int
        Frames.
    """
    twentieth = max(sample_rate_hz // 50, 64)
    blocks = 1
    for frequency_hz in frequencies_hz:
        if frequency_hz is None:
            continue
        clearance_hz = min(frequency_hz, sample_rate_hz / 2 - frequency_hz)
        blocks = max(blocks, math.ceil(4 * sample_rate_hz / max(clearance_hz, 4.0) / twentieth))
    return twentieth * min(blocks, 50)
