"""The fault corpus of recordings: random faults in speech and music, and what must be said about each.

A frame tells a fault where it is off what was sent by more than twice what no clean frame is. What is told must begin
between the first frame of the fault and the first that tells it, and end likewise. Places are drawn anew until the
content there tells something: silence that is muted is no fault.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtpverify.events import Event, Kind
from rtpverify.limits import PROFILES
from rtpverify.result import StreamResult
from rtpverify.sender.faults import parse_fault
from rtpverify.sender.signal_faults import DamagedSignal
from tests.helpers.clean import NoiseFloor
from tests.helpers.programme import MATERIAL, RATE_HZ, Played, quantised, verify

SECONDS = 6
_SEEDS = 12
"""Pieces of each material that cases are drawn from: to make one takes longer than to verify it."""
_FIRST, _LAST = 1.0, 1.5
"""Seconds from the start and before the end in which no fault begins."""


@dataclass(frozen=True)
class Case(NoiseFloor):
    """A recording, what becomes of it, and what it is held against."""

    fault: str = ""
    """In its written form; ``swap:at=FRAME,frames=N`` exchanges two neighbouring blocks, ``other`` replaces one."""
    material: str = "music"
    piece: int = 0
    bits: int = 16
    peak_dbfs: float = -3.0
    dither: str = "none"
    """``tpdf``: the copy was dithered and rounded again."""
    noise_dbfs: float | None = None
    """Noise under the copy."""
    mono: bool = False
    pause: tuple[int, int] = (0, 0)
    """First frame and length of a stretch of the recording that is silent."""
    seed: int = 0

    @property
    def threshold(self) -> float:
        """What no clean frame reaches."""
        bounded = {"none": 0.5 if self.noise_dbfs is not None else 0.0, "tpdf": 1.5}[self.dither] * self.step
        return bounded + 6.3 * self.noise_rms

    @property
    def reference(self) -> NDArray[np.float64]:
        frames = MATERIAL[self.material](SECONDS, seed=self.piece)
        scaled = frames * (10 ** (self.peak_dbfs / 20) / np.abs(frames).max())
        scaled[self.pause[0] : sum(self.pause)] = 0.0
        return quantised(scaled[:, :1] if self.mono else scaled, self.bits)

    def received(self, fault: str) -> NDArray[np.float64]:
        """Return the copy with a fault, or with none."""
        kind, _, rest = fault.partition(":")
        frames = self.reference
        if kind in ("swap", "other"):
            values = dict(item.split("=") for item in rest.split(","))
            at, count = int(values["at"]), int(values["frames"])
            if kind == "swap":
                frames[at : at + 2 * count] = np.roll(frames[at : at + 2 * count], count, axis=0)
            else:
                other = MATERIAL[self.material](SECONDS, seed=self.piece + 100)[:, : frames.shape[1]]
                frames[at : at + count] = quantised(0.5 * 10 ** (self.peak_dbfs / 20) * other[at : at + count], 16)
            fault = ""
        faults = [parse_fault(fault)] if fault else []
        plain = self.dither == "none" and self.noise_dbfs is None
        signal = DamagedSignal(
            Played(frames), faults, bits=self.bits, dither=self.dither, noise_dbfs=self.noise_dbfs, seed=self.seed
        )
        return signal.read(0, len(frames)) if faults or not plain else frames

    def run(self) -> StreamResult:
        """Verify the copy."""
        limits = PROFILES["digital"]
        if self.noise_dbfs is not None:
            limits = replace(PROFILES["analog"], max_thd_n_db=0.0)
        return verify(self.reference, self.received(self.fault), bits=self.bits, limits=limits)


@dataclass(frozen=True)
class Traces:
    """Frames of a fault in a channel: the first and the one behind the last, of all and of those that tell."""

    start: int
    stop: int
    told_start: int
    told_stop: int
    telling: int


def traces(case: Case, channel: int) -> Traces | None:
    """Return where the fault shows in a channel; None where nothing tells it."""
    clean, damaged = (case.received(fault)[:, channel] for fault in ("", case.fault))
    frames = min(len(clean), len(damaged))
    off = np.abs(damaged[:frames] - clean[:frames])
    any_, telling = np.flatnonzero(off > 0.0), np.flatnonzero(off > 2.0 * case.threshold)
    if not len(telling):
        return None
    return Traces(int(any_[0]), int(any_[-1]) + 1, int(telling[0]), int(telling[-1]) + 1, len(telling))


@dataclass(frozen=True)
class Wanted:
    """What has to be said."""

    kind: Kind
    at: int
    frames: int | None
    """Length; None: it goes on to the end."""
    channel: int | None = None
    size: tuple[str, float] | None = None


def wanted(case: Case) -> Wanted:
    """Return what has to be said of a case with a fault."""
    kind, _, rest = case.fault.partition(":")
    if kind in ("swap", "other"):
        values = dict(item.split("=") for item in rest.split(","))
        at, count = int(values["at"]), int(values["frames"])
        if kind == "swap":
            return Wanted(Kind.MISMATCH, at, 2 * count, size=("exchanged_frames", count))
        return Wanted(Kind.MISMATCH, at, count)
    frames = case.reference
    [expected] = DamagedSignal(Played(frames), [parse_fault(case.fault)], bits=case.bits).expected
    size = next(iter(expected.size.items()), None)
    duration = expected.duration_frames
    if size and size[0] not in ("slip_frames", "gain_db", "dc_offset", "effective_bits"):
        size = None
    return Wanted(expected.kind, expected.start_frame, duration, expected.channel, size)


_SHARP = (Kind.CLICK, Kind.DROPOUT, Kind.REPEAT, Kind.SLIP, Kind.MISMATCH)
_LATE_FRAMES = RATE_HZ // 10
"""What lasts is told from so soon after it began to tell."""
_ENDED_FRAMES = RATE_HZ * 5 // 4
"""What lasted has ended at the latest so long after it did."""


def complaints(case: Case, result: StreamResult) -> list[str]:
    """Return what is wrong with a result: nothing for a perfect verifier."""
    events = [event for event in result.events if event.fault]
    if not case.fault:
        return [f"not injected: {_tell(event)}" for event in events] + (
            [f"inconclusive: {result.inconclusive}"] if result.inconclusive else []
        )
    want = wanted(case)
    if not events:
        return [f"{want} is not told"]
    every = list(range(result.channels))
    channels = every if want.channel is None else [want.channel - 1]
    told = [event.channel for event in events if event.kind is want.kind]
    # What all channels share is one event, or one of each.
    apart = want.channel is None and sorted(channel or 0 for channel in told) == [channel + 1 for channel in every]
    expected = len(every) if apart else 1
    wrong = [f"not injected: {_tell(event)}" for event in events[expected:]]
    for event in events[:expected]:
        own = [event.channel - 1] if event.channel is not None else channels
        if event.kind is not want.kind or (not apart and event.channel != want.channel):
            wrong.append(f"{want} told as {_tell(event)}")
        else:
            wrong += _differences(case, event, want, own)
    return wrong


def _tell(event: Event) -> str:
    return f"{event.kind} {event.channel} at {event.start_frame} for {event.duration_frames} {event.size}"


def _differences(case: Case, event: Event, want: Wanted, channels: list[int]) -> list[str]:
    shown = [found for channel in channels if (found := traces(case, channel))]
    wrong = []
    late = 0 if want.kind in _SHARP else _LATE_FRAMES
    first, last = min(item.start for item in shown), min(item.told_start for item in shown) + late
    if not min(first, want.at) <= event.start_frame <= last:
        wrong.append(f"begins at {event.start_frame}, not {first} to {last}")
    stop = event.start_frame + event.duration_frames
    if want.frames is None:
        if stop < max(item.told_stop for item in shown) - 2 * RATE_HZ:
            wrong.append(f"ends at {stop}: {_tell(event)}")
    elif want.kind is not Kind.SLIP:
        late = 0 if want.kind in _SHARP else _ENDED_FRAMES
        first, last = max(item.told_stop for item in shown), max(item.stop for item in shown) + late
        last = max(last, want.at + want.frames)
        if not first <= stop <= last:
            wrong.append(f"ends at {stop}, not {first} to {last}")
    if want.size is not None:
        name, value = want.size
        found = getattr(event.size, name, None)
        slack = {"gain_db": max(0.01, 0.01 * abs(value)), "dc_offset": 0.05 * abs(value)}.get(name, 0.0)
        if found is None or abs(found - value) > slack + (8.7 * case.noise_rms if name == "gain_db" else 0.0):
            wrong.append(f"{name} {found}, not {value}")
    return wrong


# Drawing cases ------------------------------------------------------------------------------------------------------


def draw_copy(rng: random.Random, **fixed: Any) -> Case:
    """Return a random copy without a fault."""
    bits = rng.choice([16, 16, 24])
    case = Case(
        material=rng.choice(list(MATERIAL)),
        piece=rng.randrange(_SEEDS),
        bits=bits,
        peak_dbfs=rng.choice([-1.0, -3.0, -12.0, -30.0]),
        dither=rng.choice(["none", "none", "tpdf"]),
        noise_dbfs=rng.choice([None, None, None, -90.0, -75.0]),
        mono=rng.random() < 0.3,
        pause=(rng.randrange(3 * RATE_HZ), round(_between(rng, 0.01, 2.0) * RATE_HZ) if rng.random() < 0.3 else 0),
        seed=rng.randrange(2**32),
    )
    return replace(case, **fixed)


def draw(rng: random.Random, kind: str, **fixed: Any) -> Case:
    """Return a random case of a kind whose fault the content tells from its first frames to its last."""
    case = draw_copy(rng, **fixed)
    while True:
        text = _DRAW[kind](rng, case)
        at = rng.randrange(int(_FIRST * RATE_HZ), int((SECONDS - _LAST) * RATE_HZ))
        if text is not None:
            head, _, rest = text.partition(":")
            place = f"at={at}" if head in ("swap", "other") else f"at={at / RATE_HZ:.9f}"
            fields = [place, *([rest] if rest else [])]
            if not case.mono and head not in ("swap", "other", "channel_swap") and rng.random() < 0.3:
                fields.append(f"channel={rng.randrange(2) + 1}")
            found = replace(case, fault=f"{head}:{','.join(fields)}")
            if _is_told(found):
                return found
        if rng.random() < 0.05:
            case = draw_copy(rng, **fixed)


def _is_told(case: Case) -> bool:
    """Tell whether the content tells the fault: soon after it begins, until near its end, and most of the time."""
    want = wanted(case)
    frames = case.reference.shape[1]
    for channel in range(frames) if want.channel is None else [want.channel - 1]:
        shown = traces(case, channel)
        length = min(want.frames or RATE_HZ, RATE_HZ)
        if shown is None:
            return False
        if want.kind is Kind.CLICK:
            continue
        near = max(24, min(length // 8, 480))
        if shown.told_start > want.at + near or (want.frames and shown.told_stop < want.at + want.frames - near):
            return False
        if shown.telling < (0.3 * length if want.kind is not Kind.SLIP else RATE_HZ // 2):
            return False
        around = slice(want.at, want.at + max(length, 960))
        heard = [case.reference]
        if want.kind in (Kind.REPEAT, Kind.MISMATCH):
            heard.append(case.received(case.fault))
            around = slice(want.at, want.at + length)
        for audio in heard:
            for part in np.array_split(audio[around, channel], max(1, length // 2400)):
                if float(np.sqrt(np.mean(np.square(part)))) < 30 * max(case.threshold, case.step):
                    return False
    return True


def _between(rng: random.Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _lasting(rng: random.Random) -> str:
    return rng.choice(["", f",duration={rng.uniform(0.5, 1.2):.4f}"])


def _draw_click(rng: random.Random, case: Case) -> str | None:
    least = max(4 * case.threshold, 2 * case.step)
    if rng.random() < 0.3:
        bit = rng.randrange(case.bits - 1)
        return f"click:bit={bit}" if 2**bit * case.step >= least else None
    size = rng.choice([-1, 1]) * _between(rng, least, 0.6)
    return f"click:size={size:.9f},frames={rng.choice([1, 1, 2, 5])}"


def _draw_gain(rng: random.Random, case: Case) -> str | None:
    db = rng.choice([-1, 1]) * _between(rng, 0.3 if case.noise_dbfs is not None else 0.05, 6.0)
    return None if db > -case.peak_dbfs - 0.1 else f"gain:db={db:.5f}{_lasting(rng)}"


def _draw_noise(rng: random.Random, case: Case) -> str | None:
    dbfs = rng.uniform(-70, -40)
    if case.noise_dbfs is not None or dbfs > case.peak_dbfs - 30:
        return None
    return f"noise:dbfs={dbfs:.1f}{_lasting(rng)}"


_DRAW = {
    "dropout": lambda rng, _: f"dropout:frames={round(_between(rng, 12, 48000))},mode={rng.choice(['zero', 'hold'])}",
    "repeat": lambda rng, _: f"repeat:frames={round(_between(rng, 48, 4800))}",
    "slip": lambda rng, _: f"slip:frames={rng.choice([-1, 1]) * round(_between(rng, 1, 24000))}",
    "click": _draw_click,
    "gain": _draw_gain,
    "polarity": lambda rng, _: f"polarity{rng.choice(['', ':duration=0.8'])}",
    "swap": lambda rng, _: f"swap:frames={rng.choice([12, 48, 96, 240, 480, 960, 2400])}",
    "mismatch": lambda rng, _: f"other:frames={round(_between(rng, 480, 24000))}",
    "noise": _draw_noise,
    "dc_offset": lambda rng, case: (
        f"dc_offset:offset={_between(rng, 0.02 if case.noise_dbfs is not None else 1e-3, 0.1):.5f}"
    ),
    "silence": lambda _rng, _case: "silence",
    "channel_swap": lambda _, case: None if case.mono else "channel_swap",
}

KINDS = list(_DRAW)
