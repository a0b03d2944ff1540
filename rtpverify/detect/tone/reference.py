"""The tone of one channel as the engine of explanations sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.explain import Moved, Noise
from rtpverify.detect.tone.settings import LEAST_WINDOW_FRAMES, Settings
from rtpverify.dsp.sine import Sine, fit_phasor, wrap_phase
from rtpverify.dsp.slip import SlipCode
from rtpverify.events import SlipSize

_TRIMS, _FAR = 3, 4.0
"""How often frames are omitted from a fit that are off by so many times the median: 2.7 deviations of Gaussian noise,
more than rounding or a sine reach of theirs."""


@dataclass(frozen=True)
class ToneReference:
    """What a sine makes expected of a channel.

    Attributes
    ----------
    sine
        As far as it is known.
    settings, code
        The channel, and how lengths of slips show in the tone's phase; None where they don't.
    sigma, uncertain
        RMS of the residual of clean signal, and what the sine may be off by in the frames asked for.
    plain
        Whether the residual is that of rounding without dither.
    backwards
        Whether time runs backwards.
    """

    sine: Sine
    settings: Settings
    code: SlipCode | None
    sigma: float
    uncertain: float
    plain: bool
    backwards: bool = False

    @property
    def sample_rate_hz(self) -> int:
        """Of the stream."""
        return self.settings.sample_rate_hz

    @property
    def bits(self) -> int | None:
        """Word length of the encoding."""
        return self.settings.bits

    @property
    def omega(self) -> float | None:
        """Frequency, rad per frame."""
        return self.sine.omega

    def expected(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return what is expected of frames ``start`` to ``stop``, shape (stop - start,).

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.

        Returns
        -------
        NDArray[np.float64]
            Full scale ±1.0.
        """
        return self.sine.at(start, stop)

    def noise(self, start: int, stop: int) -> Noise:  # noqa: ARG002
        """Return the noise of these frames in order.

        Parameters
        ----------
        start
            First frame.
        stop
            The frame after the last.

        Returns
        -------
        Noise
            The noise.
        """
        if self.plain:
            rounding = Noise.of_rounding(self.settings.step)
            return replace(rounding, sigma=max(float(np.mean(rounding.sigma)), self.uncertain))
        return Noise(math.hypot(self.sigma, self.uncertain))

    def elsewhere(self, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_]) -> Sequence[Moved]:
        """Return the same tone at the phase that frames show: from an earlier place, or a later one.

        Parameters
        ----------
        start
            First frame.
        x
            The frames, shape (n,).
        valid
            Which of them are there, shape (n,).

        Returns
        -------
        Sequence[Moved]
            Few, the likeliest first.
        """
        if np.count_nonzero(valid) < LEAST_WINDOW_FRAMES:
            return []
        sine = self.sine
        found = self._of_most(start, x - sine.dc, valid, with_dc=False)
        other = self._of_most(start, x, valid, with_dc=True)
        if found is None or other is None:
            return []
        step = wrap_phase(found.phase - sine.phase_at(found.anchor))
        deviation = math.hypot(self.sigma * math.sqrt(2.0 / len(x)), self.uncertain) / sine.amplitude
        forwards = -step if self.backwards else step
        slip_frames = self.code.decode(forwards, deviation) if self.code else None
        moved = replace(self, sine=replace(sine, phase=sine.phase + step))
        size = SlipSize(slip_frames=slip_frames, phase_step_rad=forwards)
        # What plays on may do so at another level, with another offset.
        elsewhere = replace(self, sine=other)
        prior = math.log(self.sample_rate_hz)
        return [Moved(moved, size, 1, prior), Moved(elsewhere, size, 3, prior)]

    def _of_most(self, start: int, x: NDArray[np.float64], valid: NDArray[np.bool_], *, with_dc: bool) -> Sine | None:
        """Return the tone at the phase that most frames show: some may be those of what follows."""
        found = fit_phasor(x, start, self.sine.omega, valid, with_dc=with_dc)
        for _ in range(_TRIMS):
            if found is None:
                return None
            off = np.abs(x - found.at(start, start + len(x)))
            found = fit_phasor(
                x, start, self.sine.omega, valid & (off <= _FAR * float(np.median(off[valid]))), with_dc=with_dc
            )
        return found

    def others(self) -> Sequence[Moved]:
        """Return nothing: another channel's tone shows by its frequency.

        Returns
        -------
        Sequence[Moved]
            Nothing.
        """
        return []
