"""Naming a damaged stretch: what its frames are, where the recording goes on in step behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.detect.noise_thresholds import is_plain
from rtpverify.detect.recording.model import Model, static_fit
from rtpverify.detect.recording.settings import Settings
from rtpverify.detect.tone.regions import find_copy
from rtpverify.dsp.align import candidates, correlate
from rtpverify.dsp.levels import dbfs, decibels
from rtpverify.dsp.median import median
from rtpverify.dsp.sample_words import empty_low_bits, swap_bytes, wrong_bits
from rtpverify.events import (
    SIZES,
    ClickSize,
    ClippingSize,
    DropoutSize,
    Event,
    GainSize,
    Kind,
    MismatchSize,
    PolaritySize,
    RepeatSize,
)

LONGEST_CLICK_SECONDS = 0.001
LEAST_MUTED_FRAMES = 3
LEAST_CLIPPED_FRAMES = 2
LEAST_COPY_FRAMES = 8
"""A shorter stretch of something else is not looked for elsewhere."""
HISTORY_SECONDS = 1.0
_CLIPPED_SHARE = 0.9
_TELLING_COPY = 16.0
"""Range of a stretch, over the noise, from which on a copy of it is told from others by more than chance."""
_MOST_BY_CHANCE = 8
"""Frames at an edge that are right by chance."""
_MOST_COPIES, _COPY_SHARE = 8, 0.9


@dataclass(frozen=True, slots=True)
class Stretch:
    """Frames ``start`` to ``stop`` of a channel, and what came before them.

    ``x`` and ``valid`` run over the stretch, ``history`` (NaN where there is nothing) ends where it starts.
    ``clip_level`` is where peaks before it were cut off.
    """

    start: int
    x: NDArray[np.float64]
    valid: NDArray[np.bool_]
    history: NDArray[np.float64]
    model: Model
    settings: Settings
    clip_level: float | None = None

    @property
    def frames(self) -> int:
        """Its length."""
        return len(self.x)

    @property
    def stop(self) -> int:
        """The frame behind it."""
        return self.start + len(self.x)


def name(stretch: Stretch) -> Event:
    """Return the event of a damaged stretch."""
    expected = stretch.model.expected(stretch.start, stretch.stop)
    for find in (_muted, _repeated, _exchanged, _scaled, _clipped, _clicked, _formed):
        event = find(stretch, expected)
        if event is not None:
            return event
    off = _deviation(stretch, expected)
    message = f"not what the recording holds, off by up to {off:.3g} of full scale"
    return Event(MismatchSize(deviation=off), stretch.start, stretch.frames, message=message)


def _deviation(stretch: Stretch, expected: NDArray[np.float64]) -> float:
    return float(np.abs(np.where(stretch.valid, stretch.x - expected, 0.0)).max(initial=0.0))


def _muted(stretch: Stretch, expected: NDArray[np.float64]) -> Event | None:
    """Tell of frames that hold one value, exactly or within the noise, where the recording moves."""
    x, frames = stretch.x[stretch.valid], stretch.frames
    if len(x) < LEAST_MUTED_FRAMES or np.ptp(expected) == 0.0:
        return None
    value, bound = float(median(x)), 0.0
    if np.ptp(x) > 0.0:
        bound = 2.0 * stretch.model.noise.floor
        if np.abs(x - value).max() > bound or np.ptp(expected) < 4.0 * bound:
            return None
    text = "muted" if abs(value) <= bound else f"held at {value:.6g}"
    beyond = expected[stretch.valid] * np.sign(value) >= abs(value) - 2.0 * stretch.model.noise.floor
    if value != 0.0 and beyond.all() and _is_peak(stretch, abs(value)):
        return None
    return Event(DropoutSize(held_value=value), stretch.start, frames, message=text)


def _is_peak(stretch: Stretch, level: float) -> bool:
    """Tell whether the recording goes beyond a level in the stretch and not around it, as where a peak is cut off."""
    around = stretch.model.expected(stretch.start - 1, stretch.stop + 1)[[0, -1]]
    return bool(np.all(np.abs(around) <= level + 2.0 * stretch.model.noise.floor))


def _repeated(stretch: Stretch, _: NDArray[np.float64]) -> Event | None:
    """Tell of frames that arrived before."""
    if stretch.frames < LEAST_COPY_FRAMES or not stretch.valid.all():
        return None
    if np.ptp(stretch.x) == 0.0:
        return None
    back = find_copy(stretch.x, stretch.history) or _find_noisy_copy(stretch)
    if back is None:
        return None
    message = f"had arrived {back} frames before"
    return Event(RepeatSize(repeat_distance_frames=back), stretch.start, stretch.frames, message=message)


def _find_noisy_copy(stretch: Stretch) -> int | None:
    """Return how many frames back a stretch stands in its history but for noise; None where it does not."""
    x, noise = stretch.x, stretch.model.noise
    history = np.nan_to_num(stretch.history)
    if len(history) < len(x) or np.ptp(x) < _TELLING_COPY * noise.floor:
        return None
    places = candidates(correlate(x, history), _MOST_COPIES, apart=1, share=_COPY_SHARE)
    for place in sorted(places, key=lambda item: -item.offset):
        copy = history[place.offset : place.offset + len(x)]
        if np.all(np.abs(x - copy) <= 2.0 * noise.threshold(copy)):
            return len(history) - place.offset
    return None


def _exchanged(stretch: Stretch, _: NDArray[np.float64]) -> Event | None:
    """Tell of two neighbouring blocks of equal length, each in the other's place."""
    n, model = stretch.frames, stretch.model
    if n < 2 * LEAST_COPY_FRAMES or not stretch.valid.all():
        return None
    # Edges may look right by chance: the blocks are half of what is seen, or a little longer, and the second may seem
    # to begin a little later.
    chance = min(_MOST_BY_CHANCE, n // 8)
    for block in range((n + 1) // 2, (n + 1) // 2 + chance + 1):
        ahead = _is_at(stretch, model.moved(block)) & model.moved(block).holds(stretch.start, stretch.stop)
        behind = _is_at(stretch, model.moved(-block))
        middle = min(int(np.argmin(ahead)) if not ahead.all() else n, block)
        start = stretch.start + middle - block
        if start >= 0 and block - middle <= chance and n - middle <= block and behind[middle:].all():
            message = f"two blocks of {block} frames, each in the other's place"
            return Event(MismatchSize(exchanged_frames=block), start, 2 * block, message=message)
    return None


def _is_at(stretch: Stretch, model: Model) -> NDArray[np.bool_]:
    expected = model.expected(stretch.start, stretch.stop)
    is_at: NDArray[np.bool_] = np.abs(stretch.x - expected) <= model.threshold(
        stretch.start, stretch.stop, expected, stretch.x
    )
    return is_at


def _scaled(stretch: Stretch, expected: NDArray[np.float64]) -> Event | None:
    """Tell of frames at another gain."""
    if stretch.frames < 4 * LEAST_COPY_FRAMES:
        return None
    step = stretch.settings.step
    found = static_fit(stretch.model, stretch.x, stretch.valid, stretch.start, step)
    allowed = max(2.0 * stretch.model.noise.sigma, 0.35 * (step or 0.0), 1e-9)
    if found is None or found.noise.sigma > allowed or np.ptp(expected) < 32.0 * allowed:
        return None
    change = found.gain / stretch.model.gain
    if change < 0 and abs(change + 1) < 0.01:
        return Event(PolaritySize(), stretch.start, stretch.frames, message="inverted")
    if change <= 0 or change == 1.0:
        return None
    size = {"gain_db": decibels(change)}
    message = f"level changed by {size['gain_db']:+.3f} dB"
    return Event(GainSize(**size), stretch.start, stretch.frames, message=message)


def _clipped(stretch: Stretch, expected: NDArray[np.float64]) -> Event | None:
    """Tell of peaks that are cut off: the wrong frames are all at one level, and should be beyond it."""
    floor = stretch.model.noise.floor
    wrong = stretch.valid & (np.abs(stretch.x - expected) > floor)
    x = stretch.x[wrong]
    if len(x) == 0 or (len(x) < LEAST_CLIPPED_FRAMES and stretch.clip_level is None):
        return None
    level = stretch.clip_level or float(np.abs(x).max())
    if np.abs(np.abs(x) - level).max() > 2.0 * floor or not np.all(expected[wrong] * np.sign(x) > np.abs(x)):
        return None
    if not _is_peak(stretch, level):
        return None
    message = f"clipped at {level:.4g} of full scale"
    return Event(ClippingSize(clip_level=level), stretch.start, stretch.frames, message=message)


def _clicked(stretch: Stretch, expected: NDArray[np.float64]) -> Event | None:
    """Tell of one or a few wrong frames."""
    settings, frames = stretch.settings, stretch.frames
    if frames > LONGEST_CLICK_SECONDS * settings.sample_rate_hz:
        return None
    off = _deviation(stretch, expected)
    size: dict[str, Any] = {"deviation": off}
    if settings.step is not None and settings.bits is not None and is_plain(settings.step, stretch.model.noise.floor):
        size["bit_errors"] = wrong_bits(stretch.x[stretch.valid], expected[stretch.valid], settings.bits)
    message = f"{frames} frame(s) off by up to {off:.3g} of full scale"
    return Event(ClickSize(**size), stretch.start, frames, message=message)


def _formed(stretch: Stretch, expected: NDArray[np.float64]) -> Event | None:
    """Tell of a longer stretch that follows the recording all the same: clipped, distorted, noisy, in other bits."""
    form = residual_form(
        stretch.x[stretch.valid], expected[stretch.valid], stretch.settings.bits, stretch.model.noise.floor
    )
    if form is None:
        return None
    kind, size, text = form
    return Event(SIZES[kind](**size), stretch.start, stretch.frames, message=text)


def residual_form(
    x: NDArray[np.float64], expected: NDArray[np.float64], bits: int | None, floor: float
) -> tuple[Kind, dict[str, Any], str] | None:
    """Return kind, size and text of a departure by its form; None where the frames do not follow the recording.

    Parameters
    ----------
    x, expected
        What came and what should have, shape (n,).
    bits
        Of the quantiser, None where there is none.
    floor
        Deviation that no clean frame reaches.
    """
    if len(x) < 2 * LEAST_COPY_FRAMES or np.ptp(x) == 0.0:
        return None
    if bits is not None:
        if bits in (16, 24, 32) and np.abs(swap_bytes(x, bits) - expected).max() <= floor:
            return Kind.BYTE_ORDER, {}, "bytes of each sample in the wrong order"
        empty = empty_low_bits(x, bits)
        if empty and empty_low_bits(expected, bits) < empty and np.abs(x - expected).max() <= 2.0 ** (empty - bits + 1):
            return Kind.WORD_LENGTH, {"effective_bits": bits - empty}, f"the lowest {empty} bits are empty"
    residual = x - expected
    wrong = np.abs(residual) > floor
    level = float(np.abs(x).max())
    at_level = wrong & (np.abs(x) >= 0.999 * level) & (expected * np.sign(x) > np.abs(x))
    if wrong.any() and np.count_nonzero(at_level) >= _CLIPPED_SHARE * np.count_nonzero(wrong):
        return Kind.CLIPPING, {"clip_level": level}, f"clipped at {level:.4g} of full scale"
    centred = expected - expected.mean()
    power = float(centred @ centred)
    left = residual - residual.mean()
    if power == 0.0 or float(left @ left) > 0.5 * power:
        return None
    share = float(left @ left) / power
    shape = np.stack([centred**2, centred**3, centred, np.ones_like(centred)], axis=1)
    bent = residual - shape @ np.linalg.lstsq(shape, residual, rcond=None)[0]
    relative_db = 10.0 * float(np.log10(max(share, 1e-20)))
    size = {"residual_dbfs": dbfs(float(left.std())), "thd_plus_n_db": relative_db}
    if float(bent @ bent) < 0.1 * float(left @ left):
        return Kind.DISTORTION, size, f"distorted, residual {relative_db:.1f} dB"
    return Kind.NOISE, size, f"residual {relative_db:.1f} dB relative to the signal"
