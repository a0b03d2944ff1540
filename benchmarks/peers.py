"""The tools of ``make bench-detection``, each behind the same few calls.

A peer's thresholds are set from clean clips: from a list that goes from sensitive to deaf, the first setting with
which none of them gives an alarm. What a peer says is read in its favour; which words stand for which kind of fault is
written beside each.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soundfile
from numpy.typing import NDArray

import rtpverify
from rtpverify.events import SIZES, Event, Kind
from tests.helpers.corpus import FRAMES, FREQUENCY_HZ, RATE_HZ, Clip

WINDOW_FRAMES = 512
"""Of ffmpeg's statistics, 10.7 ms: the shortest that divides a clip and still takes ten periods of the tone."""
MARGIN = 0.1
"""A statistic may leave what it was on clean clips by this part of that range."""


@dataclass(frozen=True, slots=True)
class Told:
    """One thing a tool says is wrong: the kinds of fault that its word may stand for, and from which frame on."""

    kinds: frozenset[str] = frozenset()
    start_frame: int | None = None
    event: Event | None = None


class Tool:
    """A tool that judges a WAV file.

    Attributes
    ----------
    settings
        How it is run, thresholds included once they are set.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]]
    """What must be installed: programs, or Python packages."""
    settings = ""

    def version(self) -> str | None:
        """Return the version of what it needs; None where that is not installed."""
        raise NotImplementedError

    def calibrate(self, clips: Sequence[Clip]) -> None:
        """Set the thresholds so that these clips give no alarm."""

    def judge(self, clip: Clip) -> list[Told]:
        """Return what it says is wrong with a clip."""
        raise NotImplementedError

    def alarms(self, clips: Iterable[Clip]) -> bool:
        """Tell whether it says anything of any of them."""
        return any(self.judge(clip) for clip in clips)


def _run(command: Sequence[str | Path], expected: Sequence[int] = (0,)) -> tuple[str, str]:
    """Return what a program writes to standard output and to standard error."""
    process = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=600)
    if expected and process.returncode not in expected:
        raise RuntimeError(f"{command[0]}: exit status {process.returncode}: {process.stderr[-2000:]}")
    return process.stdout, process.stderr


def _program_version(program: str, option: str) -> str | None:
    if shutil.which(program) is None:
        return None
    found = re.search(r"v?(\d+\.\d[\w.]*)", _run([program, option], ())[0])
    return found.group(1) if found else "?"


def _package_version(*packages: str) -> str | None:
    versions = []
    for package in packages:
        try:
            versions.append(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            return None
    return ", ".join(versions)


class Rtpverify(Tool):
    """rtpverify itself, as a user starts it."""

    name = "rtpverify"
    settings = f"rtpverify check FILE --reference tone:{FREQUENCY_HZ:g} --json -"

    def version(self) -> str | None:
        """Return its own version."""
        return rtpverify.__version__

    def judge(self, clip: Clip) -> list[Told]:
        """Return its events that are faults."""
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "rtpverify",
            "check",
            clip.path,
            "--reference",
            f"tone:{FREQUENCY_HZ:g}",
        ]
        text, _ = _run([*command, "--json", "-"], (0, 1, 3))
        events = json.loads(text)["streams"][0]["events"]
        return [Told(frozenset({item["kind"]}), item["start_frame"], _event(item)) for item in events if item["fault"]]


def _event(item: dict[str, Any]) -> Event:
    known = {"kind", "channel", "start_frame", "duration_frames", "cause", "message", "fault", "packets", "time", "id"}
    return Event(
        SIZES[Kind(item["kind"])](**{name: value for name, value in item.items() if name not in known}),
        item["start_frame"],
        item["duration_frames"],
        item["channel"],
        item["message"],
    )


class Alsabat(Tool):
    """alsabat's analysis of a file: the strongest lines of the spectrum of the whole clip."""

    name = "alsabat"
    _WORDS: ClassVar[dict[int, frozenset[str]]] = {
        -1001: frozenset({"silence"}),
        -1002: frozenset({"silence", "dc_offset"}),
        -1003: frozenset({"frequency", "sample_rate", "distortion", "dc_offset"}),
    }
    """No peak, only DC, a peak elsewhere."""

    def __init__(self) -> None:
        self._options = ["--local", "-F", f"{FREQUENCY_HZ:g}"]
        self.settings = " ".join(["alsabat", *self._options, "--file=FILE"])

    def version(self) -> str | None:
        """Return the version of alsa-utils."""
        return _program_version("alsabat", "--help")

    def judge(self, clip: Clip) -> list[Told]:
        """Return its one verdict, which has no time."""
        text, _ = _run(["alsabat", *self._options, f"--file={clip.path}"], ())
        found = re.search(r"Return value is (-?\d+)", text)
        if found is None:
            raise RuntimeError(f"alsabat: no verdict in {text[-2000:]!r}")
        value = int(found.group(1))
        # The exit status is this number modulo 256, and the number of noisy periods may be 256.
        return [Told(self._WORDS.get(value, frozenset({"noise"})))] if value else []


class AlsabatSnr(Alsabat):
    """The same, and its residual of every period against a sine."""

    name = "alsabat --snr-db"

    def calibrate(self, clips: Sequence[Clip]) -> None:
        """Find the highest whole number of dB."""
        deaf, keen = 1, 97
        while keen - deaf > 1:
            middle = (deaf + keen) // 2
            # Without the spectrum, which takes its time and does not depend on it.
            self._options = ["--local", "--standalone", "-F", f"{FREQUENCY_HZ:g}", f"--snr-db={middle}"]
            deaf, keen = (deaf, middle) if self.alarms(clips) else (middle, keen)
        self._options = ["--local", "-F", f"{FREQUENCY_HZ:g}", f"--snr-db={deaf}"]
        self.settings = " ".join(["alsabat", *self._options, "--file=FILE"])


STANDS_FOR: dict[str, frozenset[str]] = {
    "dc offset": frozenset({"dc_offset"}),
    "level": frozenset({"gain", "silence", "dropout", "clipping"}),
    "jump": frozenset({"click", "slip", "repeat"}),
    "slope": frozenset({"frequency", "sample_rate", "noise", "byte_order"}),
    "shape": frozenset({"clipping", "distortion"}),
    "flat": frozenset({"clipping", "dropout", "silence"}),
    "noise": frozenset({"noise", "silence", "dropout"}),
    "entropy": frozenset({"noise", "distortion", "word_length"}),
    "bits": frozenset({"word_length"}),
    "crossings": frozenset({"frequency", "sample_rate"}),
}
"""Which kinds of fault a statistic may be taken to name when it is the one that left its range farthest."""

STATISTICS: dict[str, str] = {
    "DC_offset": "dc offset",
    "Min_level": "level",
    "Max_level": "level",
    "Peak_level": "level",
    "RMS_level": "level",
    "RMS_peak": "level",
    "RMS_trough": "level",
    "Min_difference": "flat",
    "Max_difference": "jump",
    "Mean_difference": "slope",
    "RMS_difference": "slope",
    "Crest_factor": "shape",
    "Flat_factor": "flat",
    "Peak_count": "flat",
    "Abs_Peak_count": "flat",
    "Noise_floor": "noise",
    "Noise_floor_count": "noise",
    "Entropy": "entropy",
    "Bit_depth": "bits",
    "Bit_depth2": "bits",
    "Dynamic_range": "level",
    "Zero_crossings": "crossings",
    "Zero_crossings_rate": "crossings",
    "DC offset": "dc offset",
    "Min level": "level",
    "Max level": "level",
    "Pk lev dB": "level",
    "RMS lev dB": "level",
    "RMS Pk dB": "level",
    "RMS Tr dB": "level",
    "Crest factor": "shape",
    "Flat factor": "flat",
    "Pk count": "flat",
    "Bit-depth": "bits",
}
"""What the statistics of ffmpeg and sox are about."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number that a tool prints."""

    name: str
    channel: str
    start_frame: int | None
    value: float


@dataclass(slots=True)
class Ranges:
    """Between what each statistic lies on clean clips."""

    bounds: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def widen(self, statistics: Iterable[Statistic]) -> None:
        """Take in what was seen on a clean clip."""
        for item in statistics:
            low, high = self.bounds.get((item.name, item.channel), (item.value, item.value))
            self.bounds[item.name, item.channel] = min(low, item.value), max(high, item.value)

    def excess(self, item: Statistic) -> float:
        """Return by how many widths of its range, margin included, a statistic is outside; 0 inside."""
        low, high = self.bounds[item.name, item.channel]
        if low <= item.value <= high:
            return 0.0
        if not math.isfinite(item.value) or not math.isfinite(high - low):
            return math.inf
        # A statistic that never moved has a range of no width; printed numbers have six digits.
        width = max(high - low, 1e-5 * max(abs(low), abs(high)), 1e-9)
        outside = max(low - item.value, item.value - high) / width
        return outside if outside > MARGIN else 0.0


class _Statistics(Tool):
    """A tool that prints statistics and judges nothing: an alarm is a statistic outside what clean clips show."""

    def __init__(self) -> None:
        self._ranges = Ranges()

    def calibrate(self, clips: Sequence[Clip]) -> None:
        """Learn the range of every statistic."""
        for clip in clips:
            self._ranges.widen(self.read(clip))

    def read(self, clip: Clip) -> Iterator[Statistic]:
        """Run the tool."""
        raise NotImplementedError

    def judge(self, clip: Clip) -> list[Told]:
        """Tell the first window with a statistic out of its range, and the statistic that is out farthest."""
        outside = [(excess, item) for item in self.read(clip) if (excess := self._ranges.excess(item))]
        if not outside:
            return []
        farthest = max(excess for excess, _ in outside)
        kinds = [STANDS_FOR[STATISTICS[item.name]] for excess, item in outside if excess == farthest]
        return [Told(frozenset().union(*kinds), outside[0][1].start_frame)]


class FfmpegAstats(_Statistics):
    """ffmpeg's statistics of short windows."""

    name = "ffmpeg astats"
    _FILTER = (
        f"asetnsamples=n={WINDOW_FRAMES}:p=0,astats=metadata=1:reset=1:measure_overall=none,ametadata=print:file=-"
    )
    settings = f"ffmpeg -i FILE -af {_FILTER} -f null -; each statistic against its range on clean clips"
    _LINE = re.compile(r"lavfi\.astats\.(\d+)\.(\w+)=(\S+)")

    def version(self) -> str | None:
        """Return ffmpeg's version."""
        return _program_version("ffmpeg", "-version")

    def read(self, clip: Clip) -> Iterator[Statistic]:
        """Yield the statistics of all windows; each is told at its middle."""
        command: list[str | Path] = [
            "ffmpeg",
            "-nostdin",
            "-hide_banner",
            "-loglevel",
            "error",
            "-i",
            clip.path,
            "-af",
            self._FILTER,
        ]
        frame = 0
        for line in _run([*command, "-f", "null", "-"])[0].splitlines():
            if line.startswith("frame:"):
                frame = int(line.split()[1].removeprefix("pts:")) + WINDOW_FRAMES // 2
            elif (found := self._LINE.match(line)) and found[2] in STATISTICS and found[3] not in ("nan", "-nan"):
                yield Statistic(found[2], found[1], frame, float(found[3]))


class FfmpegSilencedetect(Tool):
    """ffmpeg's search for silence, channel by channel."""

    name = "ffmpeg silencedetect"
    _SECONDS = (
        2e-5,
        4e-5,
        6e-5,
        0.0001,
        0.0002,
        0.0005,
        0.001,
        0.002,
        0.005,
        0.01,
        0.02,
        0.05,
        0.1,
        0.2,
        0.5,
        1.0,
        2.0,
    )
    _START = re.compile(r"silence_start: (-?[\d.e+-]+)")

    def __init__(self) -> None:
        self._set(self._SECONDS[-1])

    def _set(self, seconds: float) -> None:
        self._filter = f"silencedetect=noise=-60dB:duration={seconds:.5f}:mono=1"
        self.settings = f"ffmpeg -i FILE -af {self._filter} -f null -"

    def version(self) -> str | None:
        """Return ffmpeg's version."""
        return _program_version("ffmpeg", "-version")

    def calibrate(self, clips: Sequence[Clip]) -> None:
        """Find the shortest silence that a clean tone does not have."""
        _first_quiet(self, self._SECONDS, self._set, clips)

    def judge(self, clip: Clip) -> list[Told]:
        """Return every silence."""
        _, text = _run(
            ["ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-i", clip.path, "-af", self._filter, "-f", "null", "-"]
        )
        kinds = frozenset({"silence", "dropout"})
        return [Told(kinds, round(float(start) * RATE_HZ)) for start in self._START.findall(text)]


class SoxStats(_Statistics):
    """sox's statistics of the whole clip."""

    name = "sox stats"
    settings = "sox FILE -n stats -w 0.01; each statistic against its range on clean clips"

    def version(self) -> str | None:
        """Return sox's version."""
        return _program_version("sox", "--version")

    def read(self, clip: Clip) -> Iterator[Statistic]:
        """Yield the statistics of each channel; they have no time."""
        for line in _run(["sox", clip.path, "-n", "stats", "-w", "0.01"])[1].splitlines():
            name, values = line[:13].strip(), line[13:].split()
            if name in STATISTICS:
                for channel, text in enumerate(values[1:], start=1):
                    yield Statistic(name, str(channel), None, _sox_number(text))


def _sox_number(text: str) -> float:
    """Return a number that sox prints: ``12/16`` is the depth of the samples / of the file, ``262k`` a large count."""
    text = text.partition("/")[0]
    factor = {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1], 1.0)
    return float(text.rstrip("kMG")) * factor


def _first_quiet(tool: Tool, settings: Sequence[float], use: Callable[[float], None], clips: Sequence[Clip]) -> None:
    """Take the first setting with which no clip gives an alarm; the last where none is quiet."""
    for setting in settings:
        use(setting)
        if not tool.alarms(clips):
            return


def _channels(clip: Clip) -> Iterator[NDArray[np.float32]]:
    samples, _ = soundfile.read(clip.path, dtype="float32", always_2d=True)
    for channel in range(samples.shape[1]):
        yield np.ascontiguousarray(samples[:, channel])


class _Essentia(Tool):
    """One of essentia's detectors of audio problems, frame by frame over each channel."""

    kinds: ClassVar[frozenset[str]]
    algorithm: ClassVar[str]
    knob: ClassVar[str]
    values: ClassVar[Sequence[float]]
    """Of the knob, from sensitive to deaf."""
    fixed: ClassVar[dict[str, float]] = {}
    frame_size = 512
    seconds = True
    """Whether it tells times of the whole signal; otherwise places in the frame."""

    def __init__(self) -> None:
        self._set(self.values[-1])

    def _set(self, value: float) -> None:
        self._options = {**self.fixed, self.knob: value}
        told = ", ".join(f"{name}={item:g}" for name, item in self._options.items())
        self.settings = f"{self.algorithm}({told}), frames of {self.frame_size}, half overlapped"

    def version(self) -> str | None:
        """Return essentia's version."""
        return _package_version("essentia")

    def calibrate(self, clips: Sequence[Clip]) -> None:
        """Set its knob."""
        _first_quiet(self, self.values, self._set, clips)

    def judge(self, clip: Clip) -> list[Told]:
        """Return every place it names."""
        import essentia
        from essentia import standard

        essentia.log.infoActive = essentia.log.warningActive = False
        hop = self.frame_size // 2
        told = []
        for samples in _channels(clip):
            detector = getattr(standard, self.algorithm)(frameSize=self.frame_size, hopSize=hop, **self._options)
            frames = standard.FrameGenerator(
                samples, frameSize=self.frame_size, hopSize=hop, startFromZero=True, lastFrameToEndOfFile=False
            )
            for number, frame in enumerate(frames):
                # The last frames are filled up with zeros: an end, which is no fault.
                if number * hop + self.frame_size > len(samples):
                    break
                for place in detector(frame)[0]:
                    start = float(place) * RATE_HZ if self.seconds else number * hop + float(place)
                    told.append(Told(self.kinds, round(start)))
        return told


class EssentiaClick(_Essentia):
    """Impulses in the residual of linear prediction."""

    name = "essentia ClickDetector"
    algorithm = "ClickDetector"
    kinds = frozenset({"click"})
    knob = "detectionThreshold"
    values = tuple(range(-30, 82, 2))
    fixed: ClassVar[dict[str, float]] = {"sampleRate": RATE_HZ}


class EssentiaDiscontinuity(_Essentia):
    """Breaks in what linear prediction foresees."""

    name = "essentia DiscontinuityDetector"
    algorithm = "DiscontinuityDetector"
    kinds = frozenset({"slip", "repeat", "dropout"})
    knob = "detectionThreshold"
    values = (*range(1, 20), *range(20, 64, 4))
    seconds = False


class EssentiaGaps(_Essentia):
    """Stretches of silence between stretches of signal."""

    name = "essentia GapsDetector"
    algorithm = "GapsDetector"
    kinds = frozenset({"dropout", "silence"})
    knob = "minimumTime"
    values = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    fixed: ClassVar[dict[str, float]] = {"sampleRate": RATE_HZ}
    frame_size = 2048


class EssentiaSaturation(_Essentia):
    """Flat tops."""

    name = "essentia SaturationDetector"
    algorithm = "SaturationDetector"
    kinds = frozenset({"clipping"})
    knob = "minimumDuration"
    values = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
    fixed: ClassVar[dict[str, float]] = {"sampleRate": RATE_HZ, "energyThreshold": -20}


class EssentiaAll(Tool):
    """The four together."""

    name = "essentia (all four)"
    settings = "the four above, an alarm of any"

    def __init__(self) -> None:
        self._parts = (EssentiaClick(), EssentiaDiscontinuity(), EssentiaGaps(), EssentiaSaturation())

    def version(self) -> str | None:
        """Return essentia's version."""
        return _package_version("essentia")

    def calibrate(self, clips: Sequence[Clip]) -> None:
        """Set the knob of each."""
        for part in self._parts:
            part.calibrate(clips)

    def judge(self, clip: Clip) -> list[Told]:
        """Return what any of them says."""
        return [told for part in self._parts for told in part.judge(clip)]


class MfccDtw(Tool):
    """The distance of dynamic time warping between MFCC of a clip and of the clean tone."""

    name = "librosa MFCC + dtw"

    def __init__(self) -> None:
        self._threshold = 0.0
        self._references: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._clean: Path | None = None

    def version(self) -> str | None:
        """Return the versions of both packages."""
        return _package_version("librosa", "dtw-python")

    def calibrate(self, clips: Sequence[Clip]) -> None:
        """Take the largest distance that a clean clip has, and the margin."""
        self._clean = next(clip.path for clip in clips if clip.sort == "plain")
        self._threshold = (1 + MARGIN) * max(self.distance(clip) for clip in clips)
        self.settings = (
            f"librosa.feature.mfcc at its defaults, dtw(...).distance > {self._threshold:.1f}, either channel"
        )

    def distance(self, clip: Clip) -> float:
        """Return the larger distance of the two channels to those of the clean tone."""
        from dtw import dtw

        largest = 0.0
        for channel, samples in enumerate(_channels(clip)):
            alignment = dtw(self._mfcc(samples), self._reference(channel, len(samples)), distance_only=True)
            largest = max(largest, alignment.distance)
        return largest

    def _reference(self, channel: int, frames: int) -> NDArray[np.float64]:
        """Return the clean tone's MFCC, the tone continued to the length that is asked for."""
        key = channel, frames
        if key not in self._references:
            if self._clean is None:
                raise RuntimeError("no clean clip to compare with")
            samples = [*_channels(Clip(self._clean, "plain"))][channel]
            # A second of a tone of whole hertz is a whole number of periods.
            second = samples[:RATE_HZ]
            self._references[key] = self._mfcc(samples if frames == FRAMES else np.resize(second, frames))
        return self._references[key]

    @staticmethod
    def _mfcc(samples: NDArray[np.float32]) -> NDArray[np.float64]:
        import librosa

        mfcc: NDArray[np.float64] = librosa.feature.mfcc(y=samples, sr=RATE_HZ).T
        return mfcc

    def judge(self, clip: Clip) -> list[Told]:
        """Tell that it is different, which is all a distance can."""
        return [Told()] if self.distance(clip) > self._threshold else []


TOOLS: tuple[type[Tool], ...] = (
    Rtpverify,
    Alsabat,
    AlsabatSnr,
    FfmpegAstats,
    FfmpegSilencedetect,
    SoxStats,
    EssentiaClick,
    EssentiaDiscontinuity,
    EssentiaGaps,
    EssentiaSaturation,
    EssentiaAll,
    MfccDtw,
)
"""In the order of the table."""
