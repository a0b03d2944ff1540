"""The fault corpus: random faults in random streams, and what theory asks a verifier to say about each.

Sizes are drawn from what can be detected at all upwards. With noise σ, amplitude A and N frames, the Cramér–Rao bounds
are A: 2σ²/N, offset: σ²/N, ω: 24σ²/(A²N³); a step of the phase between two stretches of N frames with a common unknown
frequency: 16σ²/(A²N). A departure counts as detectable at twice the size that ``Z`` deviations (one false alarm a day)
and the limit add up to.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.file_verifier import FrameVerifier
from rtpverify.events import Event, Kind
from rtpverify.limits import PROFILES, Limits
from rtpverify.reference import Tone
from rtpverify.result import StreamResult
from rtpverify.sender.faults import ExpectedEvent, parse_fault
from rtpverify.sender.signal import Dither
from rtpverify.sender.signal_faults import DamagedSignal
from rtpverify.sender.tone import ToneSignal
from tests.helpers.clean import NoiseFloor

Z = 6.3
"""Deviations of a Gaussian that chance exceeds once a day at 48 kHz."""
_DITHER_BOUND = {"none": 0.5, "rpdf": 1.0, "tpdf": 1.5}
_NEVER_TWICE = 100.0
"""Energy over σ² of a difference that chance does not explain away: (2·5)²."""


@dataclass(frozen=True)
class Case(NoiseFloor):
    """One stream, with faults in their written form."""

    faults: tuple[str, ...] = ()
    rate_hz: int = 48000
    channels: int = 2
    bits: int = 16
    dither: Dither = "none"
    noise_dbfs: float | None = None
    frequencies_hz: tuple[float, ...] = (997.0,)
    level_dbfs: float = -6.0
    seconds: float = 3.0
    seed: int = 0
    profile: str = "digital"
    told: bool = True
    """Whether the verifier is told the frequencies, or has to find them."""

    @property
    def frames(self) -> int:
        return round(self.seconds * self.rate_hz)

    @property
    def amplitude(self) -> float:
        return float(10 ** (self.level_dbfs / 20))

    @property
    def frame_threshold(self) -> float:
        """What no clean frame reaches: the bound of rounding and dither, or ``Z`` deviations of noise."""
        bounded = _DITHER_BOUND[self.dither] * self.step
        return bounded + Z * self.noise_rms if self.noise_dbfs is not None else 1.1 * bounded

    @property
    def limits(self) -> Limits:
        """The profile's; noise that belongs to the stream is allowed for."""
        limits = PROFILES[self.profile]
        if self.noise_dbfs is not None:
            limits = replace(limits, max_thd_n_db=self.noise_dbfs - self.level_dbfs + 6.0)
        elif limits.max_thd_n_db is None and self.dither != "none":
            limits = replace(limits, max_thd_n_db=20 * math.log10(self.sigma * math.sqrt(2) / self.amplitude) + 6.0)
        return limits

    @property
    def residual_limit(self) -> float:
        """RMS."""
        limit_db = self.limits.max_thd_n_db
        if limit_db is None:
            return 2 * self.step / math.sqrt(12)
        return float(self.amplitude / math.sqrt(2) * 10 ** (limit_db / 20))

    def frequency_hz(self, channel: int) -> float:
        return self.frequencies_hz[channel if len(self.frequencies_hz) > 1 else 0]

    def signal(self) -> DamagedSignal:
        tone = ToneSignal(self.frequencies_hz, self.rate_hz, self.channels, level_dbfs=self.level_dbfs)
        return DamagedSignal(
            tone,
            [parse_fault(fault) for fault in self.faults],
            bits=self.bits,
            dither=self.dither,
            noise_dbfs=self.noise_dbfs,
            seed=self.seed,
        )

    def verifier(self) -> FrameVerifier:
        reference = Tone(self.frequencies_hz if self.told else ())
        return FrameVerifier(reference, self.limits, self.rate_hz, self.channels, f"L{self.bits}", self.bits)

    def run(self, cuts: Sequence[int] = ()) -> StreamResult:
        """Verify the stream, fed whole or cut at these frames."""
        return verify(self.verifier(), self.signal().read(0, self.frames), cuts)


def verify(verifier: FrameVerifier, frames: NDArray[np.float64], cuts: Sequence[int] = ()) -> StreamResult:
    """Feed frames, shape (n, channels), cut at these places; return the stream's result."""
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(frames)), len(frames)]
    for start, stop in pairwise(edges):
        verifier.feed(frames[start:stop])
    verifier.finish()
    return verifier.result("corpus").streams[0]


# What can be detected -----------------------------------------------------------------------------------------------


def phase_step(case: Case, channel: int, frames: int) -> float:
    """The step of a slip, rad, in (-π, π]."""
    turns = case.frequency_hz(channel) * frames / case.rate_hz
    return math.pi - (math.pi - 2 * math.pi * (turns % 1.0)) % (2 * math.pi)


def step_deviation(case: Case, frames: int) -> float:
    """Cramér–Rao bound of a phase step between two stretches of so many frames, rad."""
    return 4 * case.sigma / (case.amplitude * math.sqrt(frames))


def phase_quantum(case: Case, channel: int) -> float:
    millihertz = round(case.frequency_hz(channel) * 1000)
    return 2 * math.pi * math.gcd(millihertz, case.rate_hz * 1000) / (case.rate_hz * 1000)


def least_click(case: Case) -> float:
    return 2 * case.frame_threshold


def least_gain_db(case: Case, frames: int) -> float:
    relative = Z * case.sigma / case.amplitude * math.sqrt(2 / frames)
    return 2 * (case.limits.max_level_change_db + 8.686 * relative)


def least_dc(case: Case, frames: int) -> float:
    return 2 * (case.limits.max_dc_offset + Z * case.sigma / math.sqrt(frames))


def least_ppm(case: Case, frames: int) -> float:
    omega = 2 * math.pi * min(case.frequency_hz(channel) for channel in range(case.channels)) / case.rate_hz
    deviation = math.sqrt(24 / frames**3) * case.sigma / case.amplitude
    return 2 * (case.limits.max_frequency_error_ppm + Z * deviation / omega * 1e6)


# What has to be said ------------------------------------------------------------------------------------------------

_SHARP_SLACK = {Kind.CLICK: 0, Kind.DROPOUT: 0, Kind.SLIP: 4, Kind.REPEAT: 4}
"""How many frames the edges of these may be off, beyond what looks the same either way."""


def complaints(case: Case, result: StreamResult) -> list[str]:
    """Return what is wrong with a result: nothing for a perfect verifier."""
    signal = case.signal()
    left = [event for event in result.events if event.fault]
    wrong = []
    for expected in signal.expected:
        channels = list(range(case.channels)) if expected.channel is None else [expected.channel - 1]
        same = [event for event in left if event.kind is expected.kind and _near(case, signal, event, expected)]
        taken = [event for event in same if event.channel is not None and event.channel - 1 in channels]
        if expected.channel is None or case.channels == 1:
            taken = [event for event in same if event.channel is None][:1] or taken
        if [event.channel for event in taken] != [None] and len(taken) != len(channels):
            wrong.append(f"{_want(expected)}: told of channels {[event.channel for event in taken]}")
        for event in taken:
            wrong += [f"{_want(expected)}: {text}" for text in _differences(case, signal, event, expected)]
        left = [event for event in left if not any(event is item for item in taken)]
    wrong += [f"not injected: {_tell(event)}" for event in left]
    gone = any(item.kind in (Kind.SILENCE, Kind.BYTE_ORDER) and item.start_frame == 0 for item in signal.expected)
    if result.inconclusive and not gone:
        wrong.append(f"inconclusive: {result.inconclusive}")
    return wrong


def _want(expected: ExpectedEvent) -> str:
    return f"{expected.kind} {expected.channel} at {expected.start_frame} {dict(expected.size)}"


def _tell(event: Event) -> str:
    return f"{event.kind} {event.channel} at {event.start_frame} for {event.duration_frames} {event.size}"


def _near(case: Case, signal: DamagedSignal, event: Event, expected: ExpectedEvent) -> bool:
    early, late = _tolerance(case, signal, event, expected, at_end=False)
    return -early <= event.start_frame - expected.start_frame <= late


def _tolerance(
    case: Case, signal: DamagedSignal, event: Event, expected: ExpectedEvent, *, at_end: bool
) -> tuple[int, int]:
    """Return how far before and after its frame an edge of a fault may be told.

    For sharp edges not at all, but for frames that look the same either way: as many as it takes for the energy of the
    difference to stand out of the noise. What is measured over blocks is told within a tenth of a second.
    """
    if expected.kind not in _SHARP_SLACK:
        lowest_hz = min(min(hz, case.rate_hz / 2 - hz) for hz in case.frequencies_hz)
        few_blocks = round(max(0.1, 25 / lowest_hz) * case.rate_hz)
        return few_blocks, few_blocks + _measuring(case, expected)
    if expected.kind is Kind.CLICK:
        return 0, 0
    channel, reach, start = (event.channel or 1) - 1, 64, expected.start_frame
    edge = start + (expected.duration_frames or 0) if at_end else start
    clean = ToneSignal(case.frequencies_hz, case.rate_hz, case.channels, level_dbfs=case.level_dbfs)

    def tone(ahead: int) -> NDArray[np.float64]:
        return clean.read(edge - reach + ahead, 2 * reach)[:, channel]

    if expected.kind is Kind.DROPOUT:
        other = np.full(2 * reach, float(np.median(signal.read(start, 3)[:, channel])))
    elif expected.kind is Kind.SLIP:
        other = tone(expected.size["slip_frames"])
    else:
        other = tone(-(expected.duration_frames or 0))
    energy = (tone(0) - other) ** 2 / case.sigma**2
    before = int(np.searchsorted(np.cumsum(energy[reach - 1 :: -1]), _NEVER_TWICE))
    after = int(np.searchsorted(np.cumsum(energy[reach:]), _NEVER_TWICE))
    slack = _SHARP_SLACK[expected.kind]
    return before + slack, after + slack


def _measuring(case: Case, expected: ExpectedEvent) -> int:
    """Return how many frames it takes until a departure little above its limit is one."""
    size = expected.size
    if "drift_db_per_second" in size:
        return round(4 * case.limits.max_level_change_db / abs(size["drift_db_per_second"]) * case.rate_hz)
    least = {
        "gain_db": least_gain_db(case, _measured(case)),
        "dc_offset": least_dc(case, _measured(case)),
        "frequency_hz": least_ppm(case, _measured(case)) * 1e-6 * case.frequency_hz(0),
    }
    for name, value in least.items():
        departure = size.get(name, math.inf) - (case.frequency_hz(0) if name == "frequency_hz" else 0.0)
        if abs(departure) < 5 * value:
            return round(0.5 * case.rate_hz)
    return 0


def _differences(case: Case, signal: DamagedSignal, event: Event, expected: ExpectedEvent) -> list[str]:
    """Return what an event says otherwise than expected."""
    wrong = []
    early, late = _tolerance(case, signal, event, expected, at_end=True)
    stop = case.frames if expected.duration_frames is None else expected.start_frame + expected.duration_frames
    off = event.start_frame + event.duration_frames - stop
    if not -early <= off <= late and expected.kind is not Kind.SLIP:
        wrong.append(f"ends {off:+d} frames off: {_tell(event)}")
    check = _SIZES.get(expected.kind)
    if check is not None and not check(case, event, expected):
        wrong.append(f"size {event.size}")
    return wrong


def _slip_agrees(case: Case, event: Event, expected: ExpectedEvent) -> bool:
    """Exact where theory allows it, the phase step where it does not, either in between."""
    channel, frames = (event.channel or 1) - 1, expected.size["slip_frames"]
    undisturbed = min(case.rate_hz, expected.start_frame, case.frames - expected.start_frame)
    deviation, quantum = step_deviation(case, undisturbed), phase_quantum(case, channel)
    found = event.size.slip_frames
    if found is not None:
        return bool((found - frames) % round(2 * math.pi / quantum) == 0 and abs(found) <= math.pi / quantum)
    apart = (event.size.phase_step_rad - phase_step(case, channel, frames) + math.pi) % (2 * math.pi) - math.pi
    return 2 * Z * deviation > quantum / 2 and abs(apart) <= 2 * Z * deviation


def _close(
    name: str, relative: float, absolute: Callable[[Case], float]
) -> Callable[[Case, Event, ExpectedEvent], bool]:
    """Compare a size that is measured."""

    def agree(case: Case, event: Event, expected: ExpectedEvent) -> bool:
        wanted, found = expected.size.get(name), getattr(event.size, name, None)
        if wanted is None:
            return True
        return found is not None and abs(found - wanted) <= relative * abs(wanted) + absolute(case)

    return agree


_SIZES: dict[Kind, Callable[[Case, Event, ExpectedEvent], bool]] = {
    Kind.SLIP: _slip_agrees,
    Kind.CLICK: _close("deviation", 0.01, lambda case: case.frame_threshold + case.step),
    Kind.GAIN: _close("gain_db", 0.02, lambda case: least_gain_db(case, case.rate_hz // 4) / 2),
    Kind.DC_OFFSET: _close("dc_offset", 0.02, lambda case: least_dc(case, case.rate_hz // 4) / 2),
    Kind.FREQUENCY: _close("frequency_hz", 3e-6, lambda case: 1e-6 * least_ppm(case, case.rate_hz // 4)),
    Kind.SAMPLE_RATE: _close("frequency_hz", 3e-6, lambda case: 1e-6 * least_ppm(case, case.rate_hz // 4)),
    Kind.DISTORTION: _close("thd_db", 0.0, lambda _: 1.0),
    Kind.WORD_LENGTH: _close("effective_bits", 0.0, lambda _: 0.0),
}


# Drawing cases ------------------------------------------------------------------------------------------------------


def draw_stream(rng: random.Random, **fixed: Any) -> Case:
    """Return a random clean stream."""
    rate_hz = rng.choice([44100, 48000, 48000, 96000])
    noise_dbfs = rng.choice([None, None, None, -80.0, -60.0])
    case = Case(
        rate_hz=rate_hz,
        channels=rng.choice([1, 1, 2, 2, 2, 8]),
        bits=rng.choice([16, 24]),
        dither=rng.choice(["none", "tpdf"]),
        noise_dbfs=noise_dbfs,
        frequencies_hz=(rng.choice([997.0, 1283.0, float(rng.randrange(200, 6000))]),),
        level_dbfs=rng.choice([-1.0, -6.0, -6.0, -20.0]),
        seed=rng.randrange(2**32),
    )
    if case.noise_dbfs == -60.0 and case.level_dbfs < -6.0:
        case = replace(case, level_dbfs=-6.0)
    return replace(case, **fixed)


def draw(rng: random.Random, kind: str, **fixed: Any) -> Case:
    """Return a random stream with one fault of a kind, of a size from what can be detected upwards."""
    while True:
        case = draw_stream(rng, **fixed)
        text = _DRAW[kind](rng, case)
        if text is not None:
            at_seconds = rng.uniform(1.0, case.seconds - 1.4) if "at=" not in text else None
            head, _, rest = text.partition(":")
            fields = ([] if at_seconds is None else [f"at={at_seconds:.6f}"]) + ([rest] if rest else [])
            if case.channels > 1 and rng.random() < 0.4:
                fields.append(f"channel={rng.randrange(case.channels) + 1}")
            return replace(case, faults=(f"{head}:{','.join(fields)}",))


def _between(rng: random.Random, low: float, high: float) -> float:
    """Return a number between the two, evenly spread in its logarithm."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _signed(rng: random.Random, low: float, high: float) -> float:
    return rng.choice([-1, 1]) * _between(rng, low, high)


def _stretch(rng: random.Random) -> str:
    """Return to the end, or a length that can be measured."""
    return rng.choice(["", f",duration={rng.uniform(0.4, 0.8):.4f}"])


_MEASURED_SECONDS = 0.4


def _measured(case: Case) -> int:
    return round(_MEASURED_SECONDS * case.rate_hz)


def _draw_slip(rng: random.Random, case: Case) -> str | None:
    frames = rng.choice([-1, 1]) * rng.choice([1, 6, 32, 48, 64, 192, 480, 960, rng.randrange(1, case.rate_hz // 8)])
    tolerance = 2 * Z * step_deviation(case, case.rate_hz)
    size = abs(phase_step(case, 0, frames))
    if size < tolerance or math.pi - size < 2 * tolerance + 1e-6:
        return None  # too faint, or half a period, which is an inversion as well
    return f"slip:frames={frames}"


def _draw_dropout(rng: random.Random, case: Case) -> str | None:
    frames = round(_between(rng, 5, case.rate_hz / 2))
    mode = rng.choice(["zero", "hold"])
    if case.amplitude < 40 * case.frame_threshold or frames < case.rate_hz / case.frequency_hz(0) / 8:
        return None  # within the noise, or no longer than the tone itself stays near one value
    return f"dropout:frames={frames},mode={mode}"


def _draw_repeat(rng: random.Random, case: Case) -> str | None:
    frames = rng.choice([48, 96, 192, 480, 960, rng.randrange(48, 2000)])
    apart = abs(2 * math.sin(phase_step(case, 0, frames) / 2)) * case.amplitude
    periods = frames * case.frequency_hz(0) / case.rate_hz
    if apart < max(2 * case.frame_threshold, 2 * Z * case.sigma * math.sqrt(2 / frames)) or periods < 0.5:
        return None
    return f"repeat:frames={frames}"


def _draw_click(rng: random.Random, case: Case) -> str | None:
    if rng.random() < 0.3:
        bit = rng.randrange(case.bits - 1)
        return f"click:bit={bit}" if 2**bit * case.step >= least_click(case) else None
    least, most = least_click(case), 1.0 - case.amplitude
    if least >= most:
        return None
    frames = rng.choice(["", ",frames=2", ",frames=4"])
    return f"click:size={_signed(rng, least, most):.9f}{frames}"


def _draw_gain(rng: random.Random, case: Case) -> str | None:
    least = least_gain_db(case, _measured(case))
    if rng.random() < 0.2:
        return f"gain:drift_db_per_second={-_between(rng, max(0.1, 5 * least), 1.0):.4f}" if least < 0.1 else None
    db = _signed(rng, least, 6.0)
    if db > -case.level_dbfs - 0.5:
        return None
    return f"gain:db={db:.5f}{_stretch(rng)}"


def _clipped_residual(share: float) -> float:
    """RMS of what a clipped sine of amplitude 1 holds beside its fundamental."""
    wave = np.clip(np.sin(2 * math.pi * np.arange(4096) / 4096), -share, share)
    return math.sqrt(max(0.0, 2 * float(np.sum(np.abs(np.fft.rfft(wave)[2:] / 4096) ** 2))))


def _draw_clipping(rng: random.Random, case: Case) -> str | None:
    share = rng.uniform(0.3, 0.99)
    residual = case.amplitude * _clipped_residual(share)
    if residual < 2 * case.residual_limit or case.frequency_hz(0) > case.rate_hz / 12:
        return None
    return f"clipping:level={share * case.amplitude:.6f}{_stretch(rng)}"


def _draw_distortion(rng: random.Random, case: Case) -> str | None:
    level_db = rng.uniform(-100, -20)
    harmonics = rng.choice([[level_db], [level_db, level_db], [-200.0, level_db]])
    size = case.amplitude / math.sqrt(2) * math.sqrt(sum(10 ** (level / 10) for level in harmonics))
    if size < 2 * case.residual_limit or case.frequency_hz(0) > case.rate_hz / 12 or case.level_dbfs > -6.0:
        return None
    return f"distortion:harmonics_db={'/'.join(f'{level:.2f}' for level in harmonics)}{_stretch(rng)}"


def _draw_noise(rng: random.Random, case: Case) -> str | None:
    dbfs = rng.uniform(-120, case.level_dbfs - 20)
    if 10 ** (dbfs / 20) / math.sqrt(2) < 2 * case.residual_limit or case.level_dbfs > -6.0:
        return None
    return f"noise:dbfs={dbfs:.2f},seed={rng.randrange(10**6)}{_stretch(rng)}"


def _draw_dc(rng: random.Random, case: Case) -> str | None:
    least, most = least_dc(case, _measured(case)), min(0.1, 0.9 * (1.0 - case.amplitude))
    return f"dc_offset:offset={_signed(rng, least, most):.8f}{_stretch(rng)}" if least < most else None


def _draw_frequency(rng: random.Random, case: Case) -> str | None:
    at = rng.choice(["", "at=0,"])
    if rng.random() < 0.3:
        return f"frequency:{at}hz={case.frequency_hz(0) * rng.choice([0.513, 0.99, 1.01, 1.37]):.3f}"
    least = least_ppm(case, _measured(case))
    if least > 1000:
        return None
    return f"frequency:{at}ppm={_signed(rng, least, 1000.0):.4f}" + ("" if at else _stretch(rng))


def _draw_sample_rate(rng: random.Random, case: Case) -> str | None:
    made_for = rng.choice([rate for rate in (32000, 44100, 48000, 88200, 96000) if rate != case.rate_hz])
    return f"sample_rate:{rng.choice(['', 'at=0,'])}made_for={made_for}"


def _draw_silence(rng: random.Random, _: Case) -> str | None:
    return f"silence:at=0{_stretch(rng)}"


def _draw_polarity(rng: random.Random, _: Case) -> str | None:
    return f"polarity:{_stretch(rng).removeprefix(',')}"


def _draw_word_length(rng: random.Random, case: Case) -> str | None:
    if case.noise_dbfs is not None:
        return None
    if rng.random() < 0.5:
        return f"word_length:at=0,bits={rng.randrange(8, case.bits)}"
    return f"word_length:bits={rng.randrange(8, case.bits - 3)}"


def _draw_byte_order(rng: random.Random, _: Case) -> str | None:
    return "byte_order:" + rng.choice(["", "at=0"])


_DRAW: dict[str, Callable[[random.Random, Case], str | None]] = {
    "slip": _draw_slip,
    "dropout": _draw_dropout,
    "repeat": _draw_repeat,
    "click": _draw_click,
    "gain": _draw_gain,
    "clipping": _draw_clipping,
    "distortion": _draw_distortion,
    "noise": _draw_noise,
    "dc_offset": _draw_dc,
    "frequency": _draw_frequency,
    "sample_rate": _draw_sample_rate,
    "silence": _draw_silence,
    "polarity": _draw_polarity,
    "word_length": _draw_word_length,
    "byte_order": _draw_byte_order,
}
KINDS = tuple(_DRAW)
"""Every kind of fault that the corpus draws."""
