"""The media timeline of the contract against the one that frames are kept on.

Frames are kept one behind another whatever the sender's numbers do. What is told counts on the unwrapped RTP timestamp
instead: after a timestamp jump frames move with it, as far as that has a meaning. A restart or another SSRC begins with
any timestamp; there the timeline goes on directly behind, and so it does where a jump would lead before frame 0.
"""

from __future__ import annotations

from bisect import bisect_right

MAX_SHIFTS = 1024
"""Jumps remembered; events are told within seconds."""


class MediaTime:
    """Where the frames of one stream lie on its media timeline."""

    def __init__(self) -> None:
        self._from: list[int] = []
        self._shift: list[int] = []

    def jump(self, frame: int, by_frames: int) -> None:
        """Take in that the timestamp jumped at ``frame``, as frames are kept."""
        shift = (self._shift[-1] if self._shift else 0) + by_frames
        if frame + shift < 0:
            return
        self._from.append(frame)
        self._shift.append(shift)
        del self._from[:-MAX_SHIFTS], self._shift[:-MAX_SHIFTS]

    def shift(self, frame: int) -> int:
        """Return how far frames are shifted from ``frame``, as they are kept, on."""
        index = bisect_right(self._from, frame)
        return self._shift[index - 1] if index else 0

    def kept(self, frame: int) -> int:
        """Return where a frame of the media timeline lies as frames are kept; the latest place where it has several."""
        for start, shift in zip(reversed(self._from), reversed(self._shift), strict=True):
            if frame - shift >= start:
                return frame - shift
        return frame
