"""A day of clean audio of each format, made faster than real time: any event is a false alarm. Run by ``make soak``.

Every stream is judged by both profiles at once, ``JOBS`` streams side by side. ``HOURS`` shortens it, ``SEED`` repeats
a run. Exits with 1 where there was an event; the stream printed with it can be made again from its line.
"""

import itertools
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.helpers.clean import Clean, draw_clean

HOURS = float(os.environ.get("HOURS", "24"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(2**32))))
JOBS = int(os.environ.get("JOBS", str(os.cpu_count() or 1)))
PIECE_SECONDS = 10


def formats(rng: random.Random) -> list[Clean]:
    """Return one stream of each format, and some at random."""
    streams = [
        Clean(
            rate_hz=rate_hz,
            bits=bits,
            dither=dither,
            frequency_hz=rng.choice([997.0, 1283.0]),
            level_dbfs=rng.choice([-1.0, -6.0, -20.0]),
            wander_ppm_per_second=rng.choice([0.0, 0.1]),
            seed=rng.randrange(2**31),
        )
        for rate_hz, bits, dither in itertools.product((44100, 48000, 96000), (16, 24), ("none", "tpdf"))
    ]
    return streams + [draw_clean(rng) for _ in range(4)]


def soak(stream: Clean) -> int:
    """Judge a stream by both profiles; return how many events there were."""
    seconds = round(3600 * HOURS)
    started = time.process_time()
    verifiers = {profile: stream.verifier(profile) for profile in ("digital", "analog")}
    for second in range(0, seconds, PIECE_SECONDS):
        frames = stream.read(second * stream.rate_hz, min(PIECE_SECONDS, seconds - second) * stream.rate_hz)
        for verifier in verifiers.values():
            verifier.feed(frames)
    lines = []
    for profile, verifier in verifiers.items():
        verifier.finish()
        result = verifier.result("soak").streams[0]
        lines += [
            f"\n  {profile}: {event.kind} {event.channel} at {event.start_frame}: {event.message}"
            for event in result.events
            if event.fault
        ]
    speed = seconds / max(time.process_time() - started, 1e-9)
    found = f"{len(lines)} event(s) in 2 x {seconds / 3600:g} h, {speed:.0f} x real time: {stream}"
    print(found + "".join(lines), flush=True)
    return len(lines)


def main() -> None:
    """Print one line per format; exit with 1 where there was a false alarm."""
    print(f"SEED={SEED} HOURS={HOURS:g}", flush=True)
    with ProcessPoolExecutor(JOBS) as pool:
        alarms = sum(pool.map(soak, formats(random.Random(SEED))))
    print(f"{alarms} false alarm(s)")
    sys.exit(1 if alarms else 0)


if __name__ == "__main__":
    main()
