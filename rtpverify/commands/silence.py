"""``--trim-silence``: audio before a stream is first heard, and after it was last heard, is not verified."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from rtpverify.engine.file_verifier import SILENT
from rtpverify.events import TRANSPORT_KINDS
from rtpverify.result import StreamResult

_NEAR_SECONDS = 0.01
"""What reaches no farther into the audible part began or ended with the silence."""


class Audible:
    """Where each of several streams is first and last heard on any channel, louder than -60 dBFS peak."""

    def __init__(self) -> None:
        self._heard: dict[Hashable, tuple[int, int]] = {}

    def take(self, stream: Hashable, frame: NDArray[np.int64], samples: NDArray[np.floating]) -> None:
        """Take packets of a stream: the first frame of each, shape (n,), and samples, shape (n, frames, channels).

        Parameters
        ----------
        stream
            What distinguishes the stream from others.
        frame
            First frame of each packet, shape (n,).
        samples
            Full scale ±1.0, shape (n, frames, channels).
        """
        packet, at = np.nonzero((np.abs(samples) > SILENT).any(axis=2))
        if len(packet):
            loud = frame[packet] + at
            first, stop = self._heard.get(stream, (int(loud[0]), 0))
            self._heard[stream] = min(first, int(loud.min())), max(stop, int(loud.max()) + 1)

    def trim(self, stream: Hashable, result: StreamResult) -> None:
        """Take faults of the signal that lie in silence at either end out of a result, and say how long it was.

        Packets are verified throughout. A stream that is silent from end to end stays as it is.

        Parameters
        ----------
        stream
            What distinguishes the stream from others.
        result
            The result of the stream; it is changed.
        """
        heard = self._heard.get(stream)
        if heard is None or not result.sample_rate:
            return
        near = round(_NEAR_SECONDS * result.sample_rate)
        first, stop = heard

        def is_silent(start: int, end: int) -> bool:
            return start < first >= end - near or end > stop <= start + near

        result.events = [
            event
            for event in result.events
            if event.kind in TRANSPORT_KINDS
            or not is_silent(event.start_frame, event.start_frame + max(1, event.duration_frames))
        ]
        ends = {"first": first, "last": result.first_frame + result.frames - stop}
        lengths = [f"{which} {length / result.sample_rate:.3f} s" for which, length in ends.items() if length > near]
        if lengths:
            result.warnings.append(f"the {' and the '.join(lengths)} are silent and not verified (--trim-silence)")
