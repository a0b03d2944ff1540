"""Where random tests take their seeds from.

A run of ``make test`` is the same every time, so that it fails for what was changed and nothing else. ``make corpus``
draws anew each time and prints its seed; ``SEED=...`` repeats a run.
"""

import os
import random

SEED = os.environ.get("RTPVERIFY_SEED", "0")


def generator(name: str) -> random.Random:
    """Return the generator of what bears this name."""
    return random.Random(f"{SEED}/{name}")
