"""False alarms, and probability of detection against size, as measured and as theory allows. Run by ``make bench-roc``.

*False alarms.* At claimed rates of 10 to 1,000 for each channel and day, clean tones are verified until so many alarms
are due that their number says something; all thresholds are set to each rate, as they are to that of the product. How
the measured rate follows the claimed one down to 10 is what the product's own, far below, is extrapolated with.

*Detection.* Faults of each kind and of sizes about what a matched filter sees: a test that knows the fault, its place
and its length, at the same rate of false alarms of every frame. Those that end last :data:`FRAMES` frames.

``RATES``, ``ALARMS`` (due at each rate, 8), ``TRIALS`` (of each size, 20) and ``JOBS`` scale it, ``SEED`` repeats a
run. Two pictures are written to ``docs/``, and the figures printed.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from tests.oracle.signals import MARGIN, Frames, Stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALARMS = float(os.environ.get("ALARMS", "8"))
TRIALS = int(os.environ.get("TRIALS", "20"))
JOBS = int(os.environ.get("JOBS", str(os.cpu_count() or 1)))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(2**32))))
DOCS = Path(__file__).parents[1] / "docs"
CLAIMED_PER_DAY = tuple(map(float, os.environ.get("RATES", "10,30,100,300,1000").split(",")))
CHANNELS = 8
FRAMES = 4800
"""Of a fault: 100 ms."""
STREAMS = {
    "16 bit, TPDF dither": Stream(bits=16, dither="tpdf"),
    "24 bit, TPDF dither": Stream(bits=24, dither="tpdf"),
    "24 bit, noise -80 dBFS": Stream(bits=24, noise_dbfs=-80.0),
    "24 bit, noise -60 dBFS": Stream(bits=24, noise_dbfs=-60.0),
}
NORMAL = NormalDist()


# False alarms -------------------------------------------------------------------------------------------------------


def claim(per_day: float) -> None:
    """Set the thresholds of what is tested all the time to another rate, before the detectors take them."""
    from rtpverify.detect import noise_thresholds

    for name in ("FRAME_Z", "BLOCK_Z"):
        chance = NORMAL.cdf(-getattr(noise_thresholds, name)) * per_day / noise_thresholds.FALSE_ALARMS_PER_DAY
        setattr(noise_thresholds, name, -NORMAL.inv_cdf(chance))


def alarms(name: str, per_day: float, days: float, seed: int) -> int:
    """Return how many events clean channels show in so many channel-days; in a process of its own."""
    claim(per_day)
    from tests.oracle.verdict import verify

    seconds = 0.0
    found = 0
    while seconds < days * 86400.0 / CHANNELS:
        stream = replace(STREAMS[name], channels=CHANNELS, seconds=60.0, seed=seed + int(seconds))
        frames = stream.within(stream.finished(stream.content_frames))
        found += len(verify(stream, frames).events)
        seconds += 60.0
    return found


def interval(count: int) -> tuple[float, float]:
    """Return what a Poisson mean is within at 95 %, where so many were counted (Byar's approximation)."""
    low = count * (1 - 1 / (9 * count) - 1.96 / (3 * math.sqrt(count))) ** 3 if count else 0.0
    more = count + 1
    return low, more * (1 - 1 / (9 * more) + 1.96 / (3 * math.sqrt(more))) ** 3


# Detection ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Departure:
    """A fault of one kind and any size.

    Attributes
    ----------
    unit
        Of its size.
    make
        From the frames it acts on, its size and a generator to the frames with it.
    limit
        Size that is no fault in the profile ``digital``, in a stream whose noise has an RMS of σ.
    permanent
        Whether it stays.
    """

    kind: str
    unit: str
    make: Callable[[Frames, float, np.random.Generator], Frames]
    limit: Callable[[float], float] = lambda _: 0.0
    permanent: bool = False


def _click(y: Frames, size: float, _: np.random.Generator) -> Frames:
    out = y.copy()
    out[len(y) // 2] += size
    return out


def _phase(y: Frames, size: float, _: np.random.Generator) -> Frames:
    """Return a sine whose phase is ahead."""
    return y * math.cos(size) + _quadrature(y) * math.sin(size)


def _quadrature(y: Frames) -> Frames:
    """Return a sine a quarter of a period ahead: of one frequency, by its neighbours."""
    w = 2 * np.pi * 997.0 / 48000.0
    padded = np.concatenate([2 * math.cos(w) * y[:1] - y[1:2], y, 2 * math.cos(w) * y[-1:] - y[-2:-1]])
    return (padded[2:] - padded[:-2]) / (2 * math.sin(w))


def _frequency(y: Frames, size: float, _: np.random.Generator) -> Frames:
    angle = 2 * np.pi * 997.0 * size * 1e-6 / 48000.0 * np.arange(len(y))[:, None]
    return y * np.cos(angle) + _quadrature(y) * np.sin(angle)


NOISE_LIMIT_DB = 3.0
"""From a stream's own noise to its limit."""
_BEYOND = math.sqrt(10 ** (NOISE_LIMIT_DB / 10) - 1)
"""What reaches the limit together with σ, over σ."""
_AMPLITUDE = 10 ** (-6.0 / 20)
_THIRD = math.sqrt(2) / _AMPLITUDE**3
"""From the RMS of a third harmonic to the factor of the cube, whose harmonic is a quarter of it."""

DEPARTURES = (
    Departure("click", "of full scale", _click),
    Departure("gain", "dB", lambda y, size, _: y * 10 ** (size / 20), lambda _: 0.005),
    Departure("dc_offset", "of full scale", lambda y, size, _: y + size, lambda _: 3e-5),
    # A tone of 997 Hz tells slips from each other by whole steps of the phase, half of one tells none.
    Departure("slip", "rad", _phase, lambda _: math.pi / 48000, permanent=True),
    Departure("frequency", "ppm", _frequency, lambda _: 2.0, permanent=True),
    Departure(
        "distortion",
        "third harmonic, of full scale, RMS",
        lambda y, size, _: y + size * _THIRD * (4 * y**3 - 3 * _AMPLITUDE**2 * y),
        lambda sigma: _BEYOND * sigma,
    ),
    Departure(
        "noise",
        "of full scale, RMS",
        lambda y, size, rng: y + size * rng.standard_normal(y.shape),
        lambda sigma: _BEYOND * sigma,
    ),
)


def energy(departure: Departure, stream: Stream, size: float) -> float:
    """Return the energy of a fault over σ²: what a matched filter has to go by."""
    content = stream.content_frames[MARGIN + 96_000 :][: stream.rate_hz if departure.permanent else FRAMES]
    off = departure.make(content, size, np.random.default_rng(0)) - content
    # Of what stays, a second is known on either side, of sines whose phase and frequency are not (Kay, example 3.14).
    if departure.kind == "slip":
        return float(np.sum(np.square(off))) / stream.sigma**2 / 8.0
    if departure.kind == "frequency":
        return float(np.sum(np.square(off))) / stream.sigma**2 / 4.0
    if departure.kind == "noise":
        # Its form is not known: only the energy of N frames, whose deviation is √(2N) σ² (Kay, chapter 5.3).
        return float(np.sum(np.square(off)) / stream.sigma**2 / math.sqrt(2 * FRAMES)) ** 2
    return float(np.sum(np.square(off))) / stream.sigma**2


def seen_every_second_time(departure: Departure, stream: Stream, z: float) -> float:
    """Return the size at which a matched filter has an even chance."""
    low, high = 1e-12, 1e3
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if energy(departure, stream, middle) < z * z else (low, middle)
    return low


def found(name: str, index: int, size: float, seed: int) -> bool:
    """Tell whether a fault of a kind and size is reported as any event that lies in it."""
    from tests.oracle.verdict import verify

    departure, rng = DEPARTURES[index], random.Random(seed)
    stream = replace(STREAMS[name], seed=rng.randrange(2**31))
    content = stream.content_frames.copy()
    at = MARGIN + rng.randrange(90_000, 100_000)
    stop = len(content) if departure.permanent else at + FRAMES
    content[at:stop] = departure.make(content[at:stop], size, np.random.default_rng(seed))
    events = verify(stream, stream.within(stream.finished(content)), allowed_db=NOISE_LIMIT_DB).events
    first, last = at - MARGIN - FRAMES, stop - MARGIN + FRAMES
    return any(item.start_frame < last and item.start_frame + item.duration_frames > first for item in events)


STEPS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 6.0)
"""Sizes that are tried, in parts of the limit and what a matched filter needs beyond it every second time."""


@dataclass(frozen=True)
class Curve:
    """Probability of detection of one kind in one stream, and that of a matched filter."""

    name: str
    index: int
    sizes: list[float]
    measured: list[float]
    theory: list[float]


def curve(name: str, index: int, z: float, seed: int) -> Curve:
    """Measure how often faults of one kind are found in one stream, size by size."""
    departure, stream = DEPARTURES[index], STREAMS[name]
    half, limit = seen_every_second_time(departure, stream, z), departure.limit(stream.sigma)
    sizes = [step * (limit + half) for step in STEPS]
    measured = []
    for place, size in enumerate(sizes):
        rng = random.Random(f"{name}/{index}/{place}/{seed}")
        measured.append(sum(found(name, index, size, rng.getrandbits(32)) for _ in range(TRIALS)) / TRIALS)
    return Curve(name, index, sizes, measured, [NORMAL.cdf(z * ((size - limit) / half - 1)) for size in sizes])


# Pictures -----------------------------------------------------------------------------------------------------------


def _save(figure: Figure, name: str) -> None:
    """Write a picture to the documentation, the same for the same figures."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(DOCS / name, metadata={"Date": None})


def draw_alarms(counts: dict[str, list[tuple[float, float, int]]]) -> None:
    """Draw measured over claimed rates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axis = figure.add_subplot(xscale="log", yscale="log", xlabel="claimed, per channel and day", ylabel="measured")
    axis.plot(CLAIMED_PER_DAY, CLAIMED_PER_DAY, color="0.6", linestyle="--", label="as claimed")
    for shift, (name, rows) in enumerate(counts.items()):
        days = np.array([row[1] for row in rows])
        count = np.array([row[2] for row in rows])
        bounds = np.array([interval(int(item)) for item in count]).T
        rate, low, high = np.maximum(count, 0.5) / days, bounds[0] / days, bounds[1] / days
        place = np.array([row[0] for row in rows]) * 1.06 ** (shift - 1.5)
        error = np.maximum([rate - low, high - rate], 0.0)
        axis.errorbar(place, rate, error, fmt="o", capsize=2, label=name)
    axis.legend()
    _save(figure, "false-alarms.svg")


def draw_detection(curves: list[Curve]) -> None:
    """Draw probabilities of detection over size, one field for each kind."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(2, math.ceil(len(DEPARTURES) / 2)).ravel()
    for index, (axis, departure) in enumerate(zip(axes, DEPARTURES, strict=False)):
        axis.set(xscale="log", title=departure.kind, xlabel=departure.unit, ylim=(-0.03, 1.03))
        axis.xaxis.set_minor_formatter(NullFormatter())
        for color, item in enumerate(item for item in curves if item.index == index):
            axis.plot(item.sizes, item.measured, color=f"C{color}", marker=".", label=item.name)
            axis.plot(item.sizes, item.theory, color=f"C{color}", linestyle=":")
    axes[len(DEPARTURES)].axis("off")
    axes[len(DEPARTURES)].legend(*axes[0].get_legend_handles_labels(), loc="center", title="dotted: matched filter")
    _save(figure, "probability-of-detection.svg")


def main() -> None:
    """Measure, print and draw."""
    from rtpverify.detect.noise_thresholds import FALSE_ALARMS_PER_DAY

    print(f"SEED={SEED}", flush=True)
    counts: dict[str, list[tuple[float, float, int]]] = {name: [] for name in STREAMS}
    tasks = [(name, per_day, ALARMS / per_day) for name in STREAMS for per_day in CLAIMED_PER_DAY]
    # Thresholds are taken when the detectors are imported: a process for each rate.
    with ProcessPoolExecutor(JOBS, max_tasks_per_child=1) as pool:
        jobs = [pool.submit(alarms, *task, SEED % 2**20) for task in tasks]
        for (name, per_day, days), job in zip(tasks, jobs, strict=True):
            counts[name].append((per_day, days, job.result()))
            low, high = (item / days for item in interval(job.result()))
            print(
                f"{name}: claimed {per_day:g} a day, {job.result()} in {days:.3f} days: {low:.3g} to {high:.3g}",
                flush=True,
            )
    draw_alarms(counts)
    z = -NORMAL.inv_cdf(FALSE_ALARMS_PER_DAY / 86400.0 / 48000.0 / 2.0)
    pairs = [(name, index) for index in range(len(DEPARTURES)) for name in STREAMS]
    with ProcessPoolExecutor(JOBS) as pool:
        curves = list(pool.map(partial(curve, z=z, seed=SEED), *zip(*pairs, strict=True)))
    for item in curves:
        rows = zip(item.sizes, item.measured, item.theory, strict=True)
        text = ", ".join(f"{size:.3g}: {share:.2f} ({theory:.2f})" for size, share, theory in rows)
        departure = DEPARTURES[item.index]
        print(f"{departure.kind}, {item.name}: found, and by theory, by size ({departure.unit}): {text}")
    draw_detection(curves)


if __name__ == "__main__":
    main()
