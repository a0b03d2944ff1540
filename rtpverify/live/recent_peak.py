"""The largest of the latest values."""

from __future__ import annotations

from collections import deque


class RecentPeak:
    """Values with the time of each; the largest of the last ``span_seconds`` is known at any time.

    Parameters
    ----------
    span_seconds
        How long a value counts.
    """

    def __init__(self, span_seconds: float) -> None:
        self._span_seconds = span_seconds
        self._values: deque[tuple[float, float]] = deque()
        """When each came, and how large it is: ever smaller, as what is no larger than a later one says nothing."""

    def add(self, at_seconds: float, value: float) -> None:
        """Take a value; times do not run backwards.

        Parameters
        ----------
        at_seconds
            Time of the value, on any clock that does not run backwards.
        value
            The value.
        """
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((at_seconds, value))

    def at(self, now_seconds: float) -> float:
        """Return the largest of the last values; 0 where there is none.

        Parameters
        ----------
        now_seconds
            Time on the same clock.

        Returns
        -------
        float
            In the unit of the values.
        """
        while self._values and now_seconds - self._values[0][0] >= self._span_seconds:
            self._values.popleft()
        return self._values[0][1] if self._values else 0.0
