"""How much the tone of a channel moves by itself, within what is no fault.

A movement is given as the RMS of the white noise that would move as much: wherever a spread is computed from the noise
of the residual, the larger of the two takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass

MEDIAN_BLOCKS = 32
"""Latest blocks whose median movement counts; half of them have to be known."""
SETTLING_BLOCKS = MEDIAN_BLOCKS // 2 + 2
"""Blocks of a tone that show how most of them move: what comes before is explained with this in mind."""
SIGNIFICANT = 2.0
"""Movement over the noise of the residual that chance does not make: four deviations of a median of 32."""


@dataclass(frozen=True, slots=True)
class Moves:
    """How much one channel moves, as RMS of white noise, full scale ±1.0.

    Attributes
    ----------
    phase
        From block to block, and between straight lines through :attr:`halves` blocks on either side.
    level, dc
        From block to block.
    power
        Standard deviation of a block's noise power, relative to its mean.
    clock_rad
        RMS that the phase may have moved by in a channel that has not shown for long enough how it moves.
    halves
        Blocks, ascending; one fewer than ``phase`` has values.
    block_frames
        Length of a block.
    """

    phase: tuple[float, ...] = (0.0,)
    level: float = 0.0
    dc: float = 0.0
    power: float = 0.0
    clock_rad: float = 0.0
    halves: tuple[int, ...] = ()
    block_frames: int = 1

    def phase_over(self, frames: float) -> float:
        """Return the movement that counts between stretches of so many frames: up to that of the next longer lines.

        Parameters
        ----------
        frames
            Their distance.

        Returns
        -------
        float
            Full scale ±1.0.
        """
        blocks = frames / self.block_frames
        scales = 2 + sum(half < blocks for half in self.halves)
        return max(self.phase[:scales])


STILL = Moves()
"""A channel that does not move."""


def moving_sigma(sigma: float, move: float) -> float:
    """Return the noise that moves a value, full scale ±1.0: the residual's unless the movement is beyond chance.

    Parameters
    ----------
    sigma
        RMS of the residual.
    move
        RMS of the movement.

    Returns
    -------
    float
        RMS, full scale ±1.0.
    """
    return move if move > SIGNIFICANT * sigma else sigma
