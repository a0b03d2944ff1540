"""Which faults are made: each kind once as a bench meets it, and in sizes down to what cannot be seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rtpverify.dsp.levels import quantisation_rms
from rtpverify.events import Kind
from rtpverify.limits import Limits
from rtpverify.reference import Recording, Tone
from rtpverify.result import Signal
from rtpverify.rtp.payload import Encoding
from rtpverify.sender.faults import FAULTS

_MARGIN = 1.5
"""How far above a limit a fault is that must be found."""
_SURE_FRAMES = 8
"""Frames that are muted or repeated for which a fault must be found, however little the signal moves there."""
_MARGIN_DB = 6.0
_LIMIT_OVER_QUANTISATION_DB = 6.0
_COMPANDED_BITS = 13
"""A quantiser as good as that of G.711 at its loudest."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What faults are made in.

    Attributes
    ----------
    peak
        Of the signal where faults are made, a fraction of full scale.
    signal
        What was measured of the first channel without faults; None before that.
    """

    encoding: Encoding
    reference: Tone | Recording
    limits: Limits
    packet_frames: int
    peak: float
    signal: Signal | None = None

    @property
    def same_channels(self) -> bool:
        """Whether all channels carry the same."""
        if isinstance(self.reference, Recording):
            return False
        return len({self.reference.frequency_hz(channel) for channel in range(self.encoding.channels)}) == 1

    @property
    def noise_limit_dbfs(self) -> float:
        """The residual that the limits allow."""
        level = 20 * math.log10(self.peak)
        if self.limits.max_thd_n_db is not None:
            return level + self.limits.max_thd_n_db
        bits = self.encoding.bits or _COMPANDED_BITS
        return 20 * math.log10(quantisation_rms(bits) * math.sqrt(2)) + _LIMIT_OVER_QUANTISATION_DB


@dataclass(frozen=True, slots=True)
class FaultCase:
    """One fault.

    Attributes
    ----------
    values
        As ``send --fault`` has them, without kind and time.
    size
        In words.
    required
        Whether it must be found: it is past the limits, and past what can be seen.
    why_not
        Why this format or reference cannot have or show it; empty where it can.
    is_blind
        Whether that is because the reference cannot show it.
    from_start
        Whether it is there from the first frame on, as words of a wrong length mostly are.
    """

    kind: str
    values: str
    size: str = ""
    required: bool = True
    why_not: str = ""
    is_blind: bool = False
    from_start: bool = False

    def text(self, at_seconds: float) -> str:
        """Return it as ``send --fault`` takes it.

        Parameters
        ----------
        at_seconds
            When it sets in.

        Returns
        -------
        str
            Such as ``loss:at=1.5,packets=3``.
        """
        at = "" if FAULTS[self.kind].whole else f"at={0.0 if self.from_start else at_seconds:g}"
        return f"{self.kind}:{','.join(filter(None, [at, self.values]))}".removesuffix(":")

    @property
    def event_kind(self) -> Kind:
        """The kind of event that it makes."""
        return Kind.GAP if self.kind in ("loss", "late") else Kind(self.kind)


def each_kind(setting: Setting) -> Iterator[FaultCase]:
    """Yield one fault of every kind, plainly past the limits.

    Parameters
    ----------
    setting
        Format and limits.

    Yields
    ------
    FaultCase
        The fault.
    """
    limits, rate_hz = setting.limits, setting.encoding.sample_rate_hz
    off_frames = max(2, round(_MARGIN * limits.max_timestamp_error_seconds * rate_hz))
    bits = setting.encoding.bits
    tone_only = "" if isinstance(setting.reference, Tone) else "a recording has no frequency of its own"
    linear = "" if bits else f"{setting.encoding.name} is no linear PCM"
    whole_bytes = linear or ("" if bits in (16, 24, 32) else f"{setting.encoding.name} has no whole bytes")
    yield FaultCase("loss", "packets=1", "1 packet")
    yield FaultCase("duplicate", "packets=1", "1 packet")
    yield FaultCase("reorder", "by=1", "1 packet")
    yield FaultCase("late", f"delay={max(0.2, 3 * limits.reorder_window_seconds):g}", "1 packet")
    stalled = max(0.4, 2 * (limits.max_stall_seconds or 0.0))
    yield FaultCase("stall", f"seconds={stalled:g}", f"{stalled:g} s")
    yield FaultCase("timestamp_jump", "frames=4800", "4,800 frames")
    yield FaultCase(
        "timestamp_error", f"pattern=scattered,by={off_frames},duration=0.5", f"up to {off_frames} frames either way"
    )
    yield FaultCase("ssrc_change", "")
    yield FaultCase("payload_type_change", "to=98")
    yield FaultCase("restart", "")
    yield FaultCase("ended", "bye=no")
    yield FaultCase("missing", "")
    yield _slip(setting, setting.packet_frames)
    yield FaultCase("dropout", "duration=0.01", "10 ms")
    yield FaultCase("repeat", f"frames={_stretch(setting)}", f"{_stretch(setting)} frames")
    yield FaultCase("click", f"size={setting.peak / 2:g},channel=1", f"{setting.peak / 2:.2g} of full scale")
    gain_db = max(1.0, 2 * limits.max_level_change_db)
    yield FaultCase("gain", f"db={-gain_db:g},duration=0.5", f"-{gain_db:g} dB")
    yield FaultCase("clipping", f"level={setting.peak / 2:g},duration=0.5", "at half of the peak")
    yield FaultCase("distortion", "harmonics_db=-20/-26,duration=0.5", "-19 dB")
    noise_dbfs = min(-6.0, 20 * math.log10(setting.peak) - 10)
    yield FaultCase("noise", f"dbfs={noise_dbfs:.3g},duration=0.5", f"{noise_dbfs:.3g} dBFS")
    offset = max(setting.peak / 4, 2 * limits.max_dc_offset)
    yield FaultCase("dc_offset", f"offset={offset:.3g},duration=0.5", f"{offset:.3g} of full scale")
    ppm = max(200.0, 3 * limits.max_frequency_error_ppm)
    yield FaultCase("frequency", f"ppm={ppm:g}", f"{ppm:g} ppm", why_not=tone_only)
    made_for = 44100 if rate_hz != 44100 else 48000
    yield FaultCase("sample_rate", f"made_for={made_for}", f"{made_for} Hz", why_not=tone_only)
    yield FaultCase("silence", "")
    channels = setting.encoding.channels
    swap = "" if channels > 1 else "there is one channel"
    if not swap and setting.same_channels:
        swap = "all channels carry the same: give a frequency for each, such as tone:997,1499"
    yield FaultCase("channel_swap", "", why_not=swap, is_blind=channels > 1)
    yield FaultCase("polarity", "")
    kept = bits - 8 if bits and bits > 8 else 6
    yield FaultCase("word_length", f"bits={kept}", f"{kept} bits", limits.word_length_is_fault, linear)
    yield FaultCase("byte_order", "", why_not=whole_bytes)


def _stretch(setting: Setting) -> int:
    """Return about 10 ms that a repeated tone does not fit into."""
    return setting.encoding.sample_rate_hz // 100 + 7


def _slip(setting: Setting, frames: int) -> FaultCase:
    blind = setting.signal.blind_slip_frames if setting.signal else _blind_frames(setting)
    why = ""
    if blind and frames % blind == 0:
        why = f"the tone repeats every {blind} frames: use one such as tone:1283"
    return FaultCase("slip", f"frames={frames}", f"{frames:+,d} frames", why_not=why, is_blind=True)


def _blind_frames(setting: Setting) -> int | None:
    """Return after how many frames the tone repeats, where it does so within a second."""
    if isinstance(setting.reference, Recording):
        return None
    rate_hz = setting.encoding.sample_rate_hz
    frequency_hz = setting.reference.frequency_hz(0)
    if frequency_hz is None or frequency_hz != round(frequency_hz):
        return None
    return rate_hz // math.gcd(round(frequency_hz), rate_hz)


def sizes(setting: Setting) -> Iterator[FaultCase]:
    """Yield faults of the signal in falling sizes.

    Parameters
    ----------
    setting
        Format and limits.

    Yields
    ------
    FaultCase
        The fault.
    """
    yield from _levels(setting)
    yield from _moves(setting)
    bits = setting.encoding.bits
    for kept in sorted({max(2, bits - less) for less in (8, 4, 2, 1)}) if bits else ():
        required = setting.limits.word_length_is_fault
        yield FaultCase("word_length", f"bits={kept}", f"{kept} of {bits} bits", required, from_start=True)


def _levels(setting: Setting) -> Iterator[FaultCase]:
    """Yield faults that change the values of samples."""
    limits, bits = setting.limits, setting.encoding.bits
    seen = setting.signal.sensitivity if setting.signal else None
    click = seen.click if seen else setting.peak
    step_db = seen.level_step_db if seen else 1.0
    smallest = 2.0 ** -((bits or _COMPANDED_BITS) - 1)
    for size in (10.0**-exponent for exponent in range(1, 8)):
        if smallest <= size < setting.peak:
            yield FaultCase("click", f"size={size:g}", f"{size:g} of full scale", size > _MARGIN * click)
    for db in (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001):
        required = db > _MARGIN * max(limits.max_level_change_db, step_db)
        yield FaultCase("gain", f"db={-db:g},duration=1", f"-{db:g} dB", required)
    for size in (10.0**-exponent for exponent in range(2, 7)):
        if size >= smallest:
            required = size > _MARGIN * limits.max_dc_offset
            yield FaultCase("dc_offset", f"offset={size:g},duration=1", f"{size:g} of full scale", required)
    for dbfs in range(-30, -150, -20):
        required = dbfs > setting.noise_limit_dbfs + _MARGIN_DB
        yield FaultCase("noise", f"dbfs={dbfs},duration=1", f"{dbfs} dBFS", required)
    level_dbfs = 20 * math.log10(setting.peak)
    for db in range(-20, -120, -20):
        required = level_dbfs + db > setting.noise_limit_dbfs + _MARGIN_DB
        yield FaultCase("distortion", f"harmonics_db={db},duration=1", f"{db} dB", required)


def _moves(setting: Setting) -> Iterator[FaultCase]:
    """Yield faults that change when samples are heard."""
    if isinstance(setting.reference, Tone):
        for ppm in (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0):
            required = ppm > 2 * _MARGIN * setting.limits.max_frequency_error_ppm
            yield FaultCase("frequency", f"ppm={ppm:g}", f"{ppm:g} ppm", required)
    for frames in (480, 48, 8, 4, 2, 1):
        yield FaultCase("dropout", f"frames={frames}", f"{frames} frames", frames >= _SURE_FRAMES)
    seen = setting.signal.sensitivity if setting.signal else None
    for frames in (setting.packet_frames, -setting.packet_frames, 8, -3, 2, 1):
        yield replace(_slip(setting, frames), required=seen is None or seen.exact_slips)
