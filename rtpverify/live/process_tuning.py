"""How memory is handed out and taken back, by the C library and by Python."""

from __future__ import annotations

import gc

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of ``mallopt`` (glibc, malloc.h)."""
_OBJECTS_BETWEEN = 100_000
_KEPT_BYTES = 32 << 20
_LARGE_BYTES = 16 << 20


def collect_seldom() -> None:
    """Look for cycles of dead objects after a hundred thousand new ones, not after seven hundred.

    Loading modules makes some ten thousand objects that stay: looking at them again and again takes a short command a
    tenth of its time. Blocks of audio are no such cycles; they go when they are not used any more.
    """
    gc.set_threshold(_OBJECTS_BETWEEN)


def keep_freed_memory() -> None:
    """Let memory that was freed be used again, and not go back to the system at once.

    Work on arrays block by block takes and frees some megabytes thousands of times; what is fetched from the system
    again each time, page by page, takes as long as the work itself. Where the C library is not glibc, nothing happens.
    """
    import ctypes

    try:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    except TypeError:  # Windows has no library without a name
        return
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_ARENA_MAX, 1)
