"""How the C library hands out memory."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of ``mallopt`` (glibc, malloc.h)."""
_KEPT_BYTES = 32 << 20
_LARGE_BYTES = 16 << 20


def keep_freed_memory() -> None:
    """Let memory that was freed be used again, and not go back to the system at once.

    Work on arrays block by block takes and frees some megabytes thousands of times; what is fetched from the system
    anew each time, page by page, takes as long as the work itself. Where the C library is not glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_ARENA_MAX, 1)
