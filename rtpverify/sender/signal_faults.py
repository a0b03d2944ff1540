"""Signal faults applied: a signal with faults is a signal again, quantised to the bits it is sent with.

Every stretch can be asked for on its own, in any order, and comes out the same however it is cut. Faults act in the
order in which a real chain would meet them: what is played (slip, repeat, frequency), how loud, in which shape, on
which channel, and last its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rtpverify.errors import ConfigurationError
from rtpverify.events import Kind
from rtpverify.sender.faults import ExpectedEvent, Fault
from rtpverify.sender.signal import Dither, SentSignal, gaussian, quantise
from rtpverify.sender.tone import FrequencyChange, ToneSignal

FOREVER = 1 << 62
"""The end of a fault that has none."""

_POSITION = ("slip", "repeat")
_FREQUENCY = ("frequency", "sample_rate")
_BITS = ("word_length", "byte_order")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Where a fault acts, with what its effect needs. ``columns`` are channels from 0."""

    fault: Fault
    start_frame: int
    end_frame: int
    columns: tuple[int, ...]


class DamagedSignal:
    """A signal with noise, quantisation and faults; a :class:`rtpverify.sender.signal.SentSignal`.

    Parameters
    ----------
    signal
        What is damaged.
    faults
        Signal faults; transport faults are none of its business and refused.
    bits
        Of the quantiser; None leaves the samples as they are.
    dither
        Added before the quantiser.
    noise_dbfs
        RMS level of white noise under it all.
    seed
        Of noise and dither.

    Attributes
    ----------
    expected
        What a perfect verifier reports, in the order of ``faults``.

    Raises
    ------
    ConfigurationError
        For a fault that this signal cannot have; the message names its field and value.
    """

    def __init__(
        self,
        signal: SentSignal,
        faults: Sequence[Fault] = (),
        *,
        bits: int | None,
        dither: Dither = "none",
        noise_dbfs: float | None = None,
        seed: int = 0,
    ) -> None:
        self.sample_rate_hz = signal.sample_rate_hz
        self.channels = signal.channels
        self.frames = signal.frames
        self.bits = bits
        self._dither: Dither = dither
        self._seed = seed
        self._noise_rms = None if noise_dbfs is None else _rms(noise_dbfs)
        stretches = [self._stretch(fault) for fault in faults]
        self._position = [item for item in stretches if item.fault.kind in _POSITION]
        self._signal = self._detuned(signal, [item for item in stretches if item.fault.kind in _FREQUENCY])
        self._peak = signal.peak
        self._effects = [item for item in stretches if item.fault.kind in _EFFECTS and not _acts_on_bits(item.fault)]
        self._effects.sort(key=lambda item: _ORDER[item.fault.kind])
        self._bit_effects = [item for item in stretches if _acts_on_bits(item.fault)]
        self.expected = [self._expect(item) for item in stretches]

    @property
    def peak(self) -> NDArray[np.float64]:
        """The amplitude each channel is meant to have, shape (channels,)."""
        return self._peak

    @property
    def period_frames(self) -> int | None:
        """After how many frames it repeats exactly; None where faults, noise or dither keep it from that."""
        faulty = self._position or self._effects or self._bit_effects
        if faulty or self._noise_rms is not None or (self._dither != "none" and self.bits is not None):
            return None
        return self._signal.period_frames

    def read(self, start_frame: int, frames: int) -> NDArray[np.float64]:
        """Return a stretch, shape (frames, channels), on the grid of the quantiser where there is one.

        Parameters
        ----------
        start_frame
            First frame.
        frames
            How many.

        Returns
        -------
        NDArray[np.float64]
            Shape (frames, channels), full scale ±1.0.
        """
        samples = self._analogue(start_frame, frames, self._effects)
        if self.bits is None:
            return samples
        samples = quantise(samples, self.bits, self._dither, self._seed, start_frame)
        for item in self._bit_effects:
            rows = _rows(item, start_frame, frames)
            if rows is not None:
                block = samples[rows][:, item.columns]
                samples[rows, item.columns] = _BIT_EFFECTS[item.fault.kind](block, item.fault, self.bits)
        return samples

    def _analogue(self, start_frame: int, frames: int, effects: Sequence[_Stretch]) -> NDArray[np.float64]:
        """Return the samples before the quantiser, shape (frames, channels)."""
        samples = self._content(start_frame, frames)
        if self._noise_rms is not None:
            samples = samples + self._noise_rms * gaussian(self._seed, start_frame, frames, self.channels)
        for place, item in enumerate(effects):
            rows = _rows(item, start_frame, frames)
            if rows is None:
                continue
            if item.fault.kind == "dropout" and item.fault.values["mode"] == "hold":
                held = self._analogue(max(item.start_frame - 1, 0), 1, effects[:place])
                samples[rows, item.columns] = held[0, item.columns]
                continue
            frame = np.arange(start_frame + rows.start, start_frame + rows.stop) - item.start_frame
            block = samples[rows][:, item.columns]
            samples[rows, item.columns] = _EFFECTS[item.fault.kind](self, item, block, frame)
        return samples

    def _content(self, start_frame: int, frames: int) -> NDArray[np.float64]:
        """Return what plays, slips and repeats followed, shape (frames, channels)."""
        if not self._position:
            return self._signal.read(start_frame, frames).copy()
        end_frame = start_frame + frames
        edges = {start_frame, end_frame}
        for item in self._position:
            edges |= {edge for edge in (item.start_frame, item.end_frame) if start_frame < edge < end_frame}
        cuts = sorted(edges)
        out = np.empty((frames, self.channels))
        for first, last in pairwise(cuts):
            offsets = self._offsets(first)
            for offset in np.unique(offsets):
                columns = np.flatnonzero(offsets == offset)
                part = self._signal.read(first + int(offset), last - first)
                out[first - start_frame : last - start_frame, columns] = part[:, columns]
        return out

    def _offsets(self, frame: int) -> NDArray[np.int64]:
        """Return how far the content of each channel is ahead of the timeline at a frame, shape (channels,)."""
        offsets = np.zeros(self.channels, np.int64)
        for item in self._position:
            if item.start_frame <= frame < item.end_frame:
                frames = item.fault.values["frames"] if item.fault.kind == "slip" else -self._back(item)
                offsets[list(item.columns)] += frames
        return offsets

    def _back(self, item: _Stretch) -> int:
        back: int = item.fault.values.get("back", item.end_frame - item.start_frame)
        return back

    def _detuned(self, signal: SentSignal, stretches: Sequence[_Stretch]) -> SentSignal:
        """Return the signal with its changes of frequency, which count on the content, not on the timeline."""
        if not stretches:
            return signal
        if not isinstance(signal, ToneSignal):
            raise ConfigurationError(f"{stretches[0].fault.place}: {stretches[0].fault.kind} needs a tone, not a file")
        changes = []
        for item in stretches:
            for column in item.columns:
                for frame, frequency_hz in (
                    (item.start_frame, self._frequency_hz(item.fault, signal.frequencies_hz[column])),
                    (item.end_frame, signal.frequencies_hz[column]),
                ):
                    if frame < FOREVER:
                        changes.append(FrequencyChange(frame + int(self._offsets(frame)[column]), column, frequency_hz))
        return signal.changed(changes)

    def _frequency_hz(self, fault: Fault, nominal_hz: Fraction) -> Fraction:
        if fault.kind == "sample_rate":
            frequency_hz = nominal_hz * Fraction(self.sample_rate_hz, fault.values["made_for"])
        elif "hz" in fault.values:
            frequency_hz = Fraction(str(fault.values["hz"]))
        else:
            frequency_hz = nominal_hz * (1 + Fraction(str(fault.values["ppm"])) / 1_000_000)
        if not 0 < frequency_hz < Fraction(self.sample_rate_hz, 2):
            raise ConfigurationError(
                f"{fault.place}: makes a tone of {float(frequency_hz):g} Hz, not below half the sample rate"
            )
        return frequency_hz

    def _stretch(self, fault: Fault) -> _Stretch:
        """Place a fault on the timeline; raise ConfigurationError where it does not fit the signal."""
        if fault.transport:
            raise ConfigurationError(f"{fault.place}: {fault.kind} is a transport fault and needs packets, not audio")
        if fault.channel is not None and fault.channel > self.channels:
            raise ConfigurationError(f"{fault.place}: channel={fault.channel} of {self.channels}")
        start_frame = fault.start_frame(self.sample_rate_hz)
        end_frame = fault.end_frame(self.sample_rate_hz)
        if fault.kind == "click":
            end_frame = start_frame + fault.values["frames"]
        columns = tuple(range(self.channels)) if fault.channel is None else (fault.channel - 1,)
        if fault.kind == "channel_swap":
            columns = self._pair(fault)
        if _acts_on_bits(fault):
            self._check_bits(fault)
        return _Stretch(fault, start_frame, FOREVER if end_frame is None else end_frame, columns)

    def _pair(self, fault: Fault) -> tuple[int, ...]:
        first = 1 if fault.channel is None else fault.channel
        other = fault.values.get("other", 1 if first == 2 else 2)
        if other > self.channels or other == first:
            raise ConfigurationError(f"{fault.place}: other={other} is no other channel of {self.channels}")
        return first - 1, other - 1

    def _check_bits(self, fault: Fault) -> None:
        if self.bits is None:
            raise ConfigurationError(f"{fault.place}: {fault.kind} needs linear PCM")
        if fault.kind == "byte_order" and self.bits not in (16, 24, 32):
            raise ConfigurationError(f"{fault.place}: byte_order needs 16, 24 or 32 bits, not {self.bits}")
        for name, limit in (("bit", self.bits - 1), ("bits", self.bits - 1)):
            if fault.values.get(name, 0) > limit:
                raise ConfigurationError(f"{fault.place}: {name}={fault.values[name]} in samples of {self.bits} bits")

    def _expect(self, item: _Stretch) -> ExpectedEvent:
        fault, values = item.fault, item.fault.values
        duration: int | None = None if item.end_frame == FOREVER else item.end_frame - item.start_frame
        size: dict[str, object] = {}
        if fault.kind == "slip":
            duration, size = 0, {"slip_frames": values["frames"]}
        elif fault.kind == "click":
            size = {"deviation": _click_size(fault, self.bits)}
        elif fault.kind == "gain":
            size = (
                {"gain_db": values["db"]} if "db" in values else {"drift_db_per_second": values["drift_db_per_second"]}
            )
        elif fault.kind == "dc_offset":
            size = {"dc_offset": values["offset"]}
        elif fault.kind in _FREQUENCY and isinstance(self._signal, ToneSignal):
            size = {"frequency_hz": float(self._frequency_hz(fault, self._signal.frequencies_hz[item.columns[0]]))}
        elif fault.kind == "noise":
            size = {"residual_dbfs": values["dbfs"]}
        elif fault.kind == "clipping":
            size = {"clip_level": values["level"]}
        elif fault.kind == "distortion":
            size = {"thd_db": _thd_db(values["harmonics_db"])}
        elif fault.kind == "word_length":
            size = {"effective_bits": values["bits"]}
        channel = None if fault.kind == "channel_swap" else fault.channel
        return ExpectedEvent(Kind(fault.kind), item.start_frame, duration, channel, size)


def _rms(level_dbfs: float) -> float:
    """Return the RMS of a level, a full-scale sine being 0 dBFS."""
    return float(10 ** (level_dbfs / 20) / np.sqrt(2))


def _thd_db(harmonics_db: Sequence[float]) -> float:
    return float(10 * np.log10(sum(10 ** (level / 10) for level in harmonics_db)))


def _rows(item: _Stretch, start_frame: int, frames: int) -> slice | None:
    """Return where a stretch acts within a block, or None."""
    first, last = max(item.start_frame - start_frame, 0), min(item.end_frame - start_frame, frames)
    return slice(first, last) if first < last else None


def _acts_on_bits(fault: Fault) -> bool:
    return fault.kind in _BITS or (fault.kind == "click" and "bit" in fault.values)


def _click_size(fault: Fault, bits: int | None) -> float:
    if "size" in fault.values:
        return abs(float(fault.values["size"]))
    return float(2.0 ** (fault.values["bit"] - (bits or 0) + 1))


Block = NDArray[np.float64]
"""The samples a fault acts on, shape (frames, channels of the fault)."""
Frame = NDArray[np.int64]
"""The frame of each row, from the beginning of the fault, shape (frames,)."""


def _gain(signal: DamagedSignal, item: _Stretch, block: Block, frame: Frame) -> Block:
    values = item.fault.values
    if "db" in values:
        gained: Block = block * 10 ** (values["db"] / 20)
        return gained
    decibels = values["drift_db_per_second"] * frame[:, None] / signal.sample_rate_hz
    drifted: Block = block * 10 ** (decibels / 20)
    return drifted


def _distortion(signal: DamagedSignal, item: _Stretch, block: Block, _: Frame) -> Block:
    """Add harmonics: the Chebyshev polynomial of order n makes the n-th harmonic, and nothing else, of a sine."""
    levels = [10 ** (level / 20) for level in item.fault.values["harmonics_db"]]
    peak = signal.peak[list(item.columns)]
    harmonics: Block = peak * np.polynomial.chebyshev.chebval(block / peak, [0.0, 0.0, *levels])
    return block + harmonics


def _noise(signal: DamagedSignal, item: _Stretch, block: Block, frame: Frame) -> Block:
    values = item.fault.values
    noise = gaussian(values["seed"], int(frame[0]), len(frame), signal.channels)[:, item.columns]
    return block + _rms(values["dbfs"]) * noise


def _clipping(_: DamagedSignal, item: _Stretch, block: Block, __: Frame) -> Block:
    level = item.fault.values["level"]
    return np.clip(block, -level, level)


def _dc_offset(_: DamagedSignal, item: _Stretch, block: Block, __: Frame) -> Block:
    shifted: Block = block + item.fault.values["offset"]
    return shifted


def _mute(_: DamagedSignal, __: _Stretch, block: Block, ___: Frame) -> Block:
    return np.zeros_like(block)


def _swap(_: DamagedSignal, __: _Stretch, block: Block, ___: Frame) -> Block:
    return block[:, ::-1]


def _invert(_: DamagedSignal, __: _Stretch, block: Block, ___: Frame) -> Block:
    return -block


def _click(_: DamagedSignal, item: _Stretch, block: Block, __: Frame) -> Block:
    clicked: Block = block + item.fault.values["size"]
    return clicked


_EFFECTS: dict[str, Callable[[DamagedSignal, _Stretch, Block, Frame], Block]] = {
    "gain": _gain,
    "distortion": _distortion,
    "noise": _noise,
    "dc_offset": _dc_offset,
    "clipping": _clipping,
    "polarity": _invert,
    "channel_swap": _swap,
    "silence": _mute,
    "dropout": _mute,
    "click": _click,
}
"""What acts before the quantiser, in this order."""
_ORDER = {kind: place for place, kind in enumerate(_EFFECTS)}


def _integers(block: Block, bits: int) -> NDArray[np.int64]:
    return np.rint(block * 2.0 ** (bits - 1)).astype(np.int64)


def _floats(values: NDArray[np.int64], bits: int) -> Block:
    """Return integers as samples, their lowest ``bits`` bits taken as two's complement."""
    half = 1 << (bits - 1)
    signed = ((values + half) & ((1 << bits) - 1)) - half
    return signed.astype(np.float64) * 2.0 ** (1 - bits)


def _word_length(block: Block, fault: Fault, bits: int) -> Block:
    empty = bits - fault.values["bits"]
    return _floats(_integers(block, bits) >> empty << empty, bits)


def _byte_order(block: Block, _: Fault, bits: int) -> Block:
    values = _integers(block, bits)
    swapped = np.zeros_like(values)
    for shift in range(0, bits, 8):
        swapped |= (values >> shift & 0xFF) << (bits - 8 - shift)
    return _floats(swapped, bits)


def _flip(block: Block, fault: Fault, bits: int) -> Block:
    return _floats(_integers(block, bits) ^ (1 << fault.values["bit"]), bits)


_BIT_EFFECTS: dict[str, Callable[[Block, Fault, int], Block]] = {
    "word_length": _word_length,
    "byte_order": _byte_order,
    "click": _flip,
}
"""What acts on the bits of the quantised sample."""
