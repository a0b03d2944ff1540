"""Who sees each result that ``rtpverify.check`` and ``rtpverify.compare`` return: a test run, which keeps evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtpverify.result import Result

OBSERVERS: list[Callable[[Result], None]] = []
"""Called in order, in the thread of the caller."""


def observed(result: Result) -> Result:
    """Return a result after all have seen it.

    Parameters
    ----------
    result
        The result.

    Returns
    -------
    Result
        The same.
    """
    for observe in OBSERVERS:
        observe(result)
    return result
