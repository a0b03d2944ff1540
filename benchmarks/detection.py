"""Standard faults through rtpverify and through other tools that find faults in audio. Run by ``make bench-detection``.

Writes a clip for each fault, and clean ones; sets the peers' thresholds with clean clips, runs every tool over the
faults and over other clean clips, and prints one table and what is unfair about it. Asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
from peers import TOOLS, Told, Tool

from rtpverify.commands.demo.match import match
from rtpverify.sender.signal import Dither
from tests.helpers import corpus
from tests.helpers.corpus import Clip

LOCATED_FRAMES = corpus.RATE_HZ // 100
"""10 ms."""
LONG_SECONDS = corpus.LONG_FRAMES / corpus.RATE_HZ

FAIRNESS = f"""\
flagged    the tool says anything at all of a clip with a fault
named      one of the things it says is, or with good will may be taken for, the fault's kind
located    one of the times it says is within 10 ms of the fault's start; - where it tells no times
alarms     clean clips of which it says anything: plainly rounded, with TPDF dither, with a generator that wanders by
           less than 1.3 ppm
s/min      wall time per minute of stereo audio, from one clip of {LONG_SECONDS:.0f} s, best of two; programs (rtpverify
           is one) with their start, Python packages without their import

What is unfair about it:
all        the faults are those of rtpverify's own fault injector, and its authors chose them; all are in the samples,
           none in packets, of which the others know nothing anyhow
rtpverify  is told the frequency, and runs with the limits it always has; it is made for a tone and needs one (or a
           recording), where ffmpeg, sox and essentia take any music
alsabat    is told the frequency as well; its --snr-db is the highest with which the clean clips pass; it knows no
           times, and one code for everything that is not the tone
astats,    judge nothing: that a statistic outside the range of clean clips is an alarm, and the statistic farthest
sox stats  outside names the fault, is ours. This is a tone detector built around them, and they get this very tone for
           it; on other material the ranges would be wide
essentia   is made for music; thresholds as sensitive as the clean clips allow. A detector of one kind of fault cannot
           find 47 others: hence the line for all four together
silence-   likewise: it looks for silence, and is set to the shortest that a clean tone does not have
detect
MFCC, dtw  has the clean tone itself to compare with, to the frame, and the largest distance of a clean clip as
           threshold; a distance neither names nor locates
clean      thresholds come from clean clips of the same tone, level, length and kinds as those in the column of alarms,
           drawn anew: the peers see the exam's paper first, rtpverify does not"""


@dataclass(slots=True)
class Row:
    """What one tool did.

    Attributes
    ----------
    missed, misnamed, misplaced
        The faults it said nothing of, those that it flagged and called something else, and those that it flagged and
        put elsewhere or nowhere.
    right
        Faults of which rtpverify said all there is to say and nothing else; None for tools that don't say as much.
    inexact
        The other faults that it flagged, and what it said of them.
    alarms
        By sort of clean clip.
    """

    tool: str
    version: str | None
    settings: str = ""
    faults: int = 0
    flagged: int = 0
    named: int = 0
    located: int | None = None
    right: int | None = None
    alarms: dict[str, int] = field(default_factory=dict)
    clean: dict[str, int] = field(default_factory=dict)
    seconds_per_minute: float | None = None
    missed: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Clips:
    """What the tools are run on."""

    faulty: Sequence[Clip]
    calibration: Sequence[Clip]
    clean: Sequence[Clip]
    long: Clip


def _clips(folder: Path, seed: int, dither: Dither) -> Clips:
    return Clips(
        list(corpus.faulty(folder, seed, dither)),
        corpus.clean(folder, seed, "calibration"),
        corpus.clean(folder, seed, "clean"),
        corpus.long(folder, seed),
    )


def _measure(tool: Tool, clips: Clips) -> Row:
    """Run one tool over all clips."""
    row = Row(tool.name, tool.version())
    if row.version is None:
        return row
    tool.calibrate(clips.calibration)
    row.settings = tool.settings
    for clip in clips.faulty:
        _score(row, clip, tool.judge(clip))
    for clip in clips.clean:
        row.clean[clip.sort] = row.clean.get(clip.sort, 0) + 1
        row.alarms[clip.sort] = row.alarms.get(clip.sort, 0) + bool(tool.judge(clip))
    row.seconds_per_minute = _seconds_per_minute(tool, clips.long)
    return row


def _score(row: Row, clip: Clip, told: Sequence[Told]) -> None:
    """Add what a tool said of a clip with a fault."""
    expected = clip.expected
    if expected is None:
        raise ValueError(f"{clip.path.name} has no fault")
    row.faults += 1
    if not told:
        row.missed.append(clip.sort)
        return
    row.flagged += 1
    if any(expected.kind in item.kinds for item in told):
        row.named += 1
    else:
        row.misnamed.append(clip.sort)
    starts = [item.start_frame for item in told if item.start_frame is not None]
    if starts and row.located is None:
        row.located = 0
    if row.located is not None and any(abs(start - expected.start_frame) <= LOCATED_FRAMES for start in starts):
        row.located += 1
    else:
        row.misplaced.append(clip.sort)
    events = [item.event for item in told if item.event is not None]
    if events:
        right = all(item.matched for item in match([expected], events, corpus.CHANNELS))
        row.right = (row.right or 0) + right
        if not right:
            row.inexact.append(f"{clip.sort}: said {'; '.join(f'{item.kind}: {item.message}' for item in events)}")


def _seconds_per_minute(tool: Tool, clip: Clip) -> float:
    elapsed = []
    for _ in range(2):
        start = time.perf_counter()
        tool.judge(clip)
        elapsed.append(time.perf_counter() - start)
    return min(elapsed) * 60 / LONG_SECONDS


def _header(args: argparse.Namespace) -> str:
    return (
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}\n"
        f"{len(corpus.FAULTS)} faults, one a clip of {corpus.FRAMES / corpus.RATE_HZ:.2f} s, "
        f"L{corpus.BITS}/{corpus.RATE_HZ}/{corpus.CHANNELS}, {corpus.FREQUENCY_HZ:g} Hz at {corpus.LEVEL_DBFS:g} dBFS, "
        f"dither {args.dither}; --seed {args.seed}"
    )


def _table(rows: Sequence[Row]) -> str:
    lines = [f"{'tool':<32}{'flagged':>9}{'named':>9}{'located':>9}{'alarms':>9}{'s/min':>9}  version"]
    for row in rows:
        if row.version is None:
            lines.append(f"{row.tool:<32}not installed")
            continue
        located = "-" if row.located is None else f"{row.located}/{row.faults}"
        alarms = f"{sum(row.alarms.values())}/{sum(row.clean.values())}"
        lines.append(
            f"{row.tool:<32}{f'{row.flagged}/{row.faults}':>9}{f'{row.named}/{row.faults}':>9}{located:>9}{alarms:>9}"
            f"{row.seconds_per_minute:>9.2f}  {row.version}"
        )
    return "\n".join(lines)


def _details(rows: Sequence[Row]) -> str:
    lines = ["How each was run:"]
    lines += [f"  {row.tool:<32}{row.settings}" for row in rows if row.settings]
    for row in rows:
        if row.right is not None:
            lines.append(
                f"{row.tool}: {row.right} of {row.faults} told once, with kind, channel, size, start and "
                "duration right, and nothing beside it"
            )
            for what in ("missed", "misnamed", "misplaced", "inexact"):
                lines += [f"  {what}: {text}" for text in getattr(row, what)]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [tool.name for tool in TOOLS]
    parser.add_argument("--tools", help=f"only those with one of these words in their name, of: {', '.join(names)}")
    parser.add_argument("--seed", type=int, help="of times and dither; drawn if left out")
    parser.add_argument("--dither", choices=get_args(Dither), default="none", help="of the clips with a fault")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, every miss too; - for stdout")
    args = parser.parse_args()
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 20)
    words = args.tools.lower().split(",") if args.tools else [""]
    args.chosen = [tool for tool in TOOLS if any(word in tool.name.lower() for word in words)]
    if not args.chosen:
        parser.error(f"--tools {args.tools}: known are {', '.join(names)}")
    return args


def main() -> None:
    """Print the table."""
    args = _arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        clips = _clips(Path(folder), args.seed, args.dither)
        for number, kind in enumerate(args.chosen, start=1):
            print(f"{number}/{len(args.chosen)} {kind.name}", file=sys.stderr, flush=True)
            rows.append(_measure(kind(), clips))
    header = _header(args)
    if args.json:
        text = json.dumps({"header": header, "seed": args.seed, "rows": [asdict(row) for row in rows]}, indent=2)
        if str(args.json) == "-":
            print(text)
            return
        args.json.write_text(text + "\n", encoding="utf-8")
    print("\n\n".join([header, _table(rows), _details(rows), FAIRNESS]))


if __name__ == "__main__":
    main()
