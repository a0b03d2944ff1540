"""Faults by definition: what they make of a stream, and from the first to the last frame whose value they changed.

A fault is a function of the whole stream, as if it had always been there; between its first and its last frame the
stream is taken from that. So it is known what the fault would have made of the frames around it, too, and with it how
far an edge could be off without anything in the samples speaking against it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tests.oracle.signals import MARGIN, Frames, Stream, music, tone

TELLING = 60.0
"""Energy over σ² of a difference at which the likelihoods of two places of an edge are e^15 apart in the mean: chance
turns that round once in 20,000 times (Q(√60/2))."""

_FARTHEST = 2000
"""Frames within which an edge tells."""
Size = dict[str, tuple[float, float]]
"""By name of the size: value and tolerance."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    start, frames
        Where it acts; None: to the end of the stream.
    channels
        From 0; None: all.
    values
        What it is made from, by the names of the functions below.
    """

    kind: str
    start: int
    frames: int | None = None
    channels: tuple[int, ...] | None = None
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Truth:
    """What a perfect verifier says of a fault.

    Attributes
    ----------
    kinds
        Names that are right; more than one where the samples do not tell which.
    start, stop
        First frame whose value changed, and the one after the last.
    start_slack, stop_slack
        How many frames early and late an edge may be.
    permanent
        Whether it lasts to the end.
    channels
        From 1; None: all.
    size
        By name.
    instant
        Whether its duration is nothing that anyone measures: a slip.
    as_two_slips
        Whether it is as right to say that the content jumped at its start, and back at its end.
    """

    kinds: tuple[str, ...]
    start: int
    stop: int
    start_slack: tuple[int, int]
    stop_slack: tuple[int, int]
    permanent: bool
    channels: tuple[int, ...] | None
    size: Size
    instant: bool = False
    as_two_slips: bool = False


Made = tuple[Frames, Size]
"""The stream with its margins as if the fault had always been there, and the size of it."""


@dataclass(frozen=True)
class Scene:
    """What a fault finds.

    Attributes
    ----------
    x
        The content, or the numbers that are sent, with :data:`MARGIN` frames on both sides; shape (n, channels).
    start, stop
        Where the fault acts in ``x``.
    """

    stream: Stream
    x: Frames
    start: int
    stop: int
    rng: random.Random
    values: dict[str, Any]

    @property
    def concerned(self) -> Frames:
        """What would be there without it."""
        return self.x[self.start : self.stop]

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(np.square(self.concerned))))

    def random(self) -> np.random.Generator:
        return np.random.default_rng(self.rng.getrandbits(32))


Make = Callable[[Scene], Made]
FAULTS: dict[str, tuple[str, Make]] = {}
"""By name: whether it happens to the content, before noise and rounding, or to the numbers that are sent."""


def _happens_to(signal: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        FAULTS[make.__name__] = signal, make
        return make

    return register


@_happens_to("sent")
def mute(at: Scene) -> Made:
    return np.zeros_like(at.x), {}


@_happens_to("sent")
def hold(at: Scene) -> Made:
    return np.broadcast_to(at.x[at.start - 1], at.x.shape), {}


@_happens_to("sent")
def copy(at: Scene) -> Made:
    lag = at.rng.randrange(100, MARGIN)
    return np.roll(at.x, lag, axis=0), {}


@_happens_to("sent")
def excursion(at: Scene) -> Made:
    """Content from later on, and back in step afterwards."""
    ahead = at.rng.randrange(100, MARGIN)
    return np.roll(at.x, -ahead, axis=0), {}


@_happens_to("sent")
def slip(at: Scene) -> Made:
    ahead = at.rng.choice([-1, 1]) * at.rng.choice([1, 48, 333, at.rng.randrange(2, 20_000)])
    return np.roll(at.x, -ahead, axis=0), {"slip_frames": (ahead, 0)}


@_happens_to("sent")
def polarity(at: Scene) -> Made:
    return -at.x, {}


@_happens_to("sent")
def clip(at: Scene) -> Made:
    peak = float(np.abs(at.concerned).max())
    level = np.rint(peak * at.rng.uniform(0.4, 0.9) / at.stream.step) * at.stream.step
    return np.clip(at.x, -level, level), {"clip_level": (level, 6 * at.stream.sigma + at.stream.step)}


@_happens_to("content")
def gain(at: Scene) -> Made:
    change_db = at.values.get("db", at.rng.choice([-12.0, -6.0, -3.0, -0.5, 0.3, 2.0]))
    return at.x * 10 ** (change_db / 20), {"gain_db": (change_db, 0.02 * abs(change_db) + 0.01)}


@_happens_to("sent")
def attenuator(at: Scene) -> Made:
    """Tone and noise together."""
    change_db = at.rng.choice([-12.0, -6.0, -3.0])
    size: Size = {"gain_db": (change_db, 0.02 * abs(change_db) + 0.01)}
    return np.rint(at.x * 10 ** (change_db / 20) / at.stream.step) * at.stream.step, size


@_happens_to("content")
def dc(at: Scene) -> Made:
    offset = at.rng.choice([-1, 1]) * max(at.rng.choice([0.002, 0.005, 0.02]), 2 * at.stream.noise_rms)
    return at.x + offset, {"dc_offset": (offset, 0.05 * abs(offset))}


@_happens_to("content")
def harmonic(at: Scene) -> Made:
    """A curve of second and third order, as amplifiers have it."""
    peak = np.abs(at.x).max()
    depth, even = at.rng.choice([0.02, 0.05, 0.1]), at.rng.choice([0.0, 0.5])
    y = at.x / peak
    return at.x + depth * peak * (4 * y**3 - 3 * y + even * y**2), {}


@_happens_to("content")
def noise(at: Scene) -> Made:
    level = max(at.rms * 10 ** (at.rng.uniform(-45, -10) / 20), 10 * at.stream.sigma)
    return at.x + level * at.random().standard_normal(at.x.shape), {}


@_happens_to("content")
def frequency(at: Scene) -> Made:
    """Another tone in place of the first channel's, of the same level; it starts at any phase."""
    hz = at.values.get("hz", at.stream.frequency_hz * at.rng.choice([0.7, 0.97, 1.003, 1.03, 1.26, 1.45]))
    level = 10 ** (at.stream.level_dbfs / 20)
    other = level * tone(len(at.x), at.stream.rate_hz, hz, at.rng.uniform(0, 6.28))
    return np.repeat(other[:, None], at.x.shape[1], axis=1), {"frequency_hz": (hz, 2e-3 * hz)}


@_happens_to("sent")
def foreign(at: Scene) -> Made:
    """Music that is not the reference."""
    other = music(100)[at.rng.randrange(50_000) :][: len(at.x)] * 10 ** (at.stream.level_dbfs / 20)
    return np.repeat(np.rint(other / at.stream.step)[:, None] * at.stream.step, at.x.shape[1], axis=1), {}


@_happens_to("sent")
def click(at: Scene) -> Made:
    height = at.rng.choice([-1, 1]) * max(at.rng.choice([0.002, 0.02, 0.2]), 16 * at.stream.noise_rms)
    height = np.rint(height / at.stream.step) * at.stream.step
    size: Size = {"deviation": (abs(height), 6 * at.stream.sigma + at.stream.step)}
    return np.clip(at.x + height, -1.0, 1.0 - at.stream.step), size


@_happens_to("sent")
def bit_errors(at: Scene) -> Made:
    """One of eight neighbouring bits of every other sample or so, the highest of them well below the content."""
    generator = at.random()
    top = max(int(np.log2(at.rms / at.stream.step)) - 1, 1)
    wrong = 1 << generator.integers(max(top - 8, 0), top, at.x.shape)
    values = np.rint(at.x / at.stream.step).astype(np.int64)
    return np.where(generator.random(at.x.shape) < 0.5, values ^ wrong, values) * at.stream.step, {}


@_happens_to("sent")
def byte_order(at: Scene) -> Made:
    values = np.rint(at.x / at.stream.step).astype("<i4")
    raw = values.view(np.uint8).reshape(*values.shape, 4)[..., : at.stream.bits // 8][..., ::-1].astype(np.int64)
    read = sum(raw[..., k] << (8 * k) for k in range(at.stream.bits // 8))
    return (read - ((read >> (at.stream.bits - 1)) << at.stream.bits)) * at.stream.step, {}


@_happens_to("sent")
def truncated(at: Scene) -> Made:
    bits = at.stream.bits - at.rng.choice([6, 8])
    coarse = 2.0 ** (1 - bits)
    return np.floor(at.x / coarse) * coarse, {"effective_bits": (bits, 0)}


@_happens_to("sent")
def swap(at: Scene) -> Made:
    return at.x[:, ::-1], {}


KINDS: dict[str, tuple[str, ...]] = {
    "mute": ("dropout",),
    "hold": ("dropout",),
    "copy": ("repeat",),
    "excursion": ("slip",),
    "slip": ("slip",),
    "polarity": ("polarity",),
    "clip": ("clipping",),
    "gain": ("gain",),
    "attenuator": ("gain",),
    "dc": ("dc_offset",),
    "harmonic": ("distortion",),
    "noise": ("noise",),
    "frequency": ("frequency",),
    "foreign": ("mismatch",),
    "click": ("click",),
    "bit_errors": ("noise",),
    "byte_order": ("byte_order",),
    "truncated": ("word_length",),
    "swap": ("channel_swap",),
}
"""What each is called."""
PERMANENT = tuple(kind for kind in FAULTS if kind not in ("copy", "excursion", "hold", "click", "bit_errors"))
TEMPORARY = tuple(kind for kind in FAULTS if kind != "slip")
_SMOOTH = ("gain", "attenuator", "dc", "harmonic", "frequency", "slip", "excursion")
"""Where the first frames differ little from what was there before."""
_UNPREDICTABLE = ("noise", "foreign", "bit_errors")


@dataclass(frozen=True)
class Case:
    """A stream and what happens to it."""

    stream: Stream
    faults: tuple[Fault, ...] = ()
    seed: int = 0

    @cached_property
    def frames(self) -> Frames:
        """The frames that arrive, shape (n, channels)."""
        return self._made[0]

    @cached_property
    def truths(self) -> list[Truth]:
        """What is to be said of them, in order."""
        return self._made[1]

    @cached_property
    def _made(self) -> tuple[Frames, list[Truth]]:
        stream, content = self.stream, self.stream.content_frames
        x = stream.finished(content)
        truths = []
        for index, fault in enumerate(self.faults):
            signal, make = FAULTS[fault.kind]
            start = MARGIN + fault.start
            stop = MARGIN + stream.frames if fault.frames is None else start + fault.frames
            rng = random.Random(f"{self.seed}/{index}")
            whole, size = make(Scene(stream, x if signal == "sent" else content, start, stop, rng, fault.values))
            if signal == "content":
                whole = stream.finished(whole)
            where = np.zeros(x.shape, np.bool_)
            where[start:stop, list(fault.channels or range(stream.channels))] = True
            after = np.where(where, whole, x)
            truths.append(_truth(stream, fault, x, whole, after, size))
            x = after
        return stream.within(x), sorted(truths, key=lambda truth: truth.start)


def _truth(stream: Stream, fault: Fault, before: Frames, whole: Frames, after: Frames, size: Size) -> Truth:
    changed = np.flatnonzero(stream.within((before != after).any(axis=1)))
    if not len(changed):
        raise DoesNotShowError
    start, stop = int(changed[0]), int(changed[-1]) + 1
    channels = list(fault.channels or range(stream.channels))
    energy = ((whole - before)[:, channels] / stream.sigma) ** 2
    inside = energy[MARGIN + start : MARGIN + stop].min(axis=1)
    if min(part.sum() for part in np.array_split(inside, 3)) < 20 * TELLING and fault.kind != "click":
        raise DoesNotShowError
    kinds = KINDS[fault.kind]
    if stream.reference == "tone" and fault.kind == "foreign":
        kinds = (*kinds, "noise")
    if stream.content == "tone" and fault.kind == "excursion":
        kinds = (*kinds, "repeat")
    if fault.frames is None and fault.kind == "mute":
        kinds = (*kinds, "silence")
    if fault.kind in ("copy", "excursion") and stream.content == "tone":
        _refuse_ambiguous(whole, before)
    extra = 4 * (fault.kind in _SMOOTH) + 4 * (fault.kind in _UNPREDICTABLE and stream.is_noisy)
    cost = float(np.log1p(energy[MARGIN + start : MARGIN + stop].mean())) if fault.kind in _UNPREDICTABLE else 0.0
    return Truth(
        kinds,
        start,
        stop,
        (_unseen(energy[: MARGIN + start][::-1]) + extra, _unseen(energy[MARGIN + start :], cost) + extra),
        (_unseen(energy[: MARGIN + stop][::-1], cost) + extra, _unseen(energy[MARGIN + stop :]) + extra),
        fault.frames is None,
        None if len(channels) == stream.channels else tuple(channel + 1 for channel in channels),
        size,
        fault.kind == "slip",
        fault.kind == "excursion" or (fault.kind == "copy" and stop - start > stream.rate_hz // 4),
    )


def _unseen(energy: Frames, cost: float = 0.0) -> int:
    """Return by how many frames an edge may move this way: as many as don't tell, up to the last that differs.

    To what can't be predicted a frame that happens to be as expected is ``cost``/2 nats less likely.
    """
    worst = 0
    for column in energy[:_FARTHEST].T:
        hidden = np.flatnonzero(np.cumsum(column - cost) < TELLING)
        differing = np.flatnonzero(column[: hidden[-1] + 1]) if len(hidden) else hidden
        worst = max(worst, int(differing[-1]) + 1 if len(differing) else 0)
    return worst


def _refuse_ambiguous(whole: Frames, before: Frames) -> None:
    """A sine of the past that is nearly inverted, or nearly in step, is another fault."""
    correlation = np.sum(whole * before, axis=0) / np.sum(before * before, axis=0)
    if np.abs(correlation).max() > 0.95:
        raise DoesNotShowError


class DoesNotShowError(Exception):
    """The fault does not show where it was put, or shows as another one."""


def draw(rng: random.Random, kind: str, frames: int | None, at: int | None = None, **stream: Any) -> Case:
    """Return a fault of a kind and length at a random place, or at a given one, where it shows."""
    fixed = {"channels": 2} | stream if kind == "swap" else stream
    for _ in range(100):
        case = Case(_draw_stream(rng, kind, fixed), seed=rng.getrandbits(32))
        start = at if at is not None else rng.randrange(round(1.8 * case.stream.rate_hz), 2 * case.stream.rate_hz)
        channels = None if kind == "swap" or rng.random() < 0.5 else (rng.randrange(case.stream.channels),)
        if channels is not None and case.stream.channels == 1:
            channels = None
        length = rng.choice([1, 1, 2, 5]) if kind == "click" else frames
        case = replace(case, faults=(Fault(kind, start, length, channels),))
        try:
            case.truths  # noqa: B018 - makes them
        except DoesNotShowError:
            continue
        return case
    raise AssertionError(f"{kind} of {frames} frames does not show in {fixed}")


def _draw_stream(rng: random.Random, kind: str, fixed: dict[str, Any]) -> Stream:
    reference = fixed.get("reference", rng.choice(["tone", "recording"]))
    material = ["tone"] if reference == "tone" or kind == "frequency" else ["tone", "speech", "music"]
    drawn = {
        "reference": reference,
        "content": rng.choice(material),
        "rate_hz": rng.choice([44100, 48000, 48000, 96000]),
        "bits": rng.choice([16, 24]),
        "channels": rng.choice([1, 1, 2]),
        "dither": rng.choice(["none", "tpdf"]),
        "frequency_hz": rng.choice([997.0, 1283.0, float(rng.randrange(300, 4000))]),
        "level_dbfs": rng.choice([-6.0, -12.0, -20.0]),
        "seed": rng.randrange(1000),
    }
    return Stream(**(drawn | fixed))


def draw_several(rng: random.Random, count: int, **stream: Any) -> Case:
    """Return temporary faults one after the other, 0.1 to 0.4 s from each other."""
    base = _draw_stream(rng, "mute", {"channels": 1, "seconds": 7.0, "rate_hz": 48000} | stream)
    for _ in range(100):
        at, faults = round(1.5 * base.rate_hz), []
        for _ in range(count):
            kind = rng.choice([kind for kind in TEMPORARY if kind not in ("swap", "frequency")])
            frames = rng.choice([1, 3]) if kind == "click" else rng.choice([480, 2400, 4800])
            faults.append(Fault(kind, at, frames))
            at += frames + rng.randrange(base.rate_hz // 10, 2 * base.rate_hz // 5)
        case = Case(base, tuple(faults), rng.getrandbits(32))
        try:
            case.truths  # noqa: B018 - makes them
        except DoesNotShowError:
            continue
        return case
    raise AssertionError(f"no {count} faults show in {base}")
