"""How a source is verified, whatever its form: what is selected of it, and who takes its frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rtpverify.commands.event_clips import ClipRecorder
from rtpverify.commands.excerpt import WHOLE, Excerpt
from rtpverify.commands.silence import Audible
from rtpverify.engine.expectation import Selection, StreamSpec
from rtpverify.engine.share import WHOLE as SHARE_OF_ALL
from rtpverify.engine.share import Share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtpverify.engine.frame_writer import OnFrames
    from rtpverify.engine.stream import Stream
    from rtpverify.engine.verifier import Verifier
    from rtpverify.result import Result
    from rtpverify.transport.presentation import HostClock


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What is verified of a source, and who takes its frames.

    Attributes
    ----------
    selection
        Which streams; None: all.
    host_clock
        What arrival times count.
    on_frames
        Takes all frames of every stream of packets.
    excerpt
        Which part of a file or capture.
    audible
        Finds silence at the ends; None where that is verified as everything is.
    clips
        Keeps what pictures of events are made of.
    share
        Of a capture, the streams whose audio is checked.
    """

    selection: Selection | None
    host_clock: HostClock
    on_frames: OnFrames | None = None
    excerpt: Excerpt = WHOLE
    audible: Audible | None = None
    clips: ClipRecorder | None = None
    share: Share = SHARE_OF_ALL

    def verifier(self, specs: Sequence[StreamSpec], *, is_stored: bool = False, may_end: bool = False) -> Verifier:
        """Return a verifier for it.

        Parameters
        ----------
        specs
            What is expected.
        is_stored
            Whether all packets are there already.
        may_end
            Whether streams may end before the input does.

        Returns
        -------
        Verifier
            One that has seen nothing.
        """
        from rtpverify.engine.frame_writer import AHEAD_SECONDS, STORED_AHEAD_SECONDS
        from rtpverify.engine.presence import Ends
        from rtpverify.engine.verifier import Verifier

        return Verifier(
            specs,
            selection=self.selection,
            host_clock=self.host_clock,
            on_frames=self._take if self.audible or self.clips else self.on_frames,
            ends=Ends.ALLOWED if may_end else Ends.FAULT,
            ahead_seconds=STORED_AHEAD_SECONDS if is_stored else AHEAD_SECONDS,
            share=self.share,
        )

    def _take(self, stream: Stream, frame: NDArray[np.int64], samples: NDArray[np.float32]) -> None:
        if self.audible is not None:
            self.audible.take(id(stream), frame, samples)
        if self.clips is not None:
            self.clips.take_frames(stream, frame, samples)
        if self.on_frames is not None:
            self.on_frames(stream, frame, samples)

    def result(
        self, verifier: Verifier, source: str, receive_buffer_dropped: int = 0, *, is_final: bool = True
    ) -> Result:
        """Return what a verifier found, without silence at the ends where that is trimmed.

        Parameters
        ----------
        verifier
            The verifier.
        source
            Name of the source.
        receive_buffer_dropped
            Packets that this host dropped.
        is_final
            Whether this is the last result: only that gets what pictures are made of.

        Returns
        -------
        Result
            The result so far.
        """
        result = verifier.result(source, receive_buffer_dropped)
        if self.audible is not None:
            for stream, found in zip(verifier.streams, result.streams, strict=False):
                self.audible.trim(id(stream), found)
        if self.clips is not None and is_final:
            self.clips.add_clips(result, verifier.streams)
        return result


def add_counts(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Add counts to others by their names, except those that are 0.

    Parameters
    ----------
    counts
        Counts by name; they are changed.
    more
        What is added.
    """
    for reason, count in more.items():
        if count:
            counts[reason] = counts.get(reason, 0) + count
