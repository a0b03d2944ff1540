"""How far content jumped, from the step of a tone's phase.

Skipping ``d`` frames of a tone of frequency ``f`` at rate ``r`` advances its phase by ``2π (f d mod r) / r``. With
``g = gcd(f, r)`` there are ``r / g`` different steps, so ``d`` is known modulo ``r / g`` frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FALSE_ALARM_Z = 6.3
"""Deviations of a Gaussian that chance exceeds about once in a day at 48 kHz."""

ARITHMETIC_RAD = 1e-7
"""What float64 arithmetic may be off by, where there is next to no noise."""


@dataclass(frozen=True, slots=True)
class SlipCode:
    """The phase steps of a tone: ``cycles / modulus`` of a period per frame, in lowest terms."""

    cycles: int
    modulus: int

    @property
    def blind_frames(self) -> int:
        """Slips are distinguished only modulo this number of frames."""
        return self.modulus

    @property
    def phase_quantum(self) -> float:
        """Smallest phase step of any slip, rad."""
        return 2.0 * math.pi / self.modulus

    def decode(self, phase_step: float, deviation: float) -> int | None:
        """Return the signed slip in frames nearest to zero, positive where frames are missing.

        None where ``deviation``, the standard deviation of ``phase_step`` in rad, leaves more than one candidate, or
        none.

        Parameters
        ----------
        phase_step
            In rad.
        deviation
            Its standard deviation, in rad.

        Returns
        -------
        int or None
            None where the step fits no slip beyond doubt.
        """
        tolerance = FALSE_ALARM_Z * deviation
        step = round(phase_step / self.phase_quantum)
        off = abs(phase_step - step * self.phase_quantum)
        if tolerance > self.phase_quantum / 2.0 or off > tolerance + ARITHMETIC_RAD:
            return None
        return self._frames(step)

    def candidates(
        self, phase_step: float, deviation: float, packet_frames: int, longest_frames: int, most: int = 8
    ) -> list[int]:
        """Return the slips of whole packets, up to so many frames, that the phase step allows, the shortest first.

        Parameters
        ----------
        phase_step
            In rad.
        deviation
            Its standard deviation, in rad.
        packet_frames
            Frames of a packet.
        longest_frames
            The longest slip, either way.
        most
            Slips at most.

        Returns
        -------
        list of int
            In frames, positive where frames are missing.
        """
        tolerance = FALSE_ALARM_Z * deviation + self.phase_quantum / 2.0
        found = []
        different = self.modulus // math.gcd(self.modulus, packet_frames)
        for packets in range(1, min(different, longest_frames // packet_frames) + 1):
            for frames in (packets * packet_frames, -packets * packet_frames):
                expected = 2.0 * math.pi * (self.cycles * frames % self.modulus) / self.modulus
                if abs((phase_step - expected + math.pi) % (2.0 * math.pi) - math.pi) <= tolerance:
                    found.append(frames)
            if len(found) >= most:
                break
        return found[:most]

    def _frames(self, step: int) -> int:
        frames = step * pow(self.cycles, -1, self.modulus) % self.modulus if self.modulus > 1 else 0
        return frames - self.modulus if frames > self.modulus // 2 else frames


def slip_code(frequency_hz: float, sample_rate_hz: int) -> SlipCode | None:
    """Return the code of a tone, or None where its period is too long a multiple of the frame for slips to be decoded.

    A frequency is taken as the fraction of millihertz that it was given as.

    Parameters
    ----------
    frequency_hz
        Frequency of the tone.
    sample_rate_hz
        Frames per second.

    Returns
    -------
    SlipCode or None
        The code.
    """
    cycles, frames = round(frequency_hz * 1000), 1000 * sample_rate_hz
    if cycles <= 0:
        return None
    common = math.gcd(cycles, frames)
    return SlipCode(cycles // common, frames // common)
