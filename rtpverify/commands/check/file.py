"""Verify an audio file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtpverify.commands.check.options import CheckOptions
from rtpverify.commands.event_clips import add_file_clips
from rtpverify.engine.expectation import StreamSpec
from rtpverify.errors import RequestError

if TYPE_CHECKING:
    from rtpverify.result import Result

FILE_BLOCK_FRAMES = 65536
"""Frames of a file that are read and verified at a time."""


def check_file(path: Path, spec: StreamSpec, options: CheckOptions) -> Result:
    """Verify an audio file.

    Parameters
    ----------
    path
        The file.
    spec
        What is expected.
    options
        What is verified of it.

    Returns
    -------
    Result
        What was found, with one stream.

    Raises
    ------
    RequestError
        Where it cannot be read, or holds nothing of what was asked for.
    """
    from rtpverify.engine.file_verifier import FrameVerifier
    from rtpverify.sources.audio.file import open_audio

    if spec.reference is None:
        raise RequestError(f"{path}: reference none leaves nothing to verify: an audio file has no transport")
    audio = open_audio(path)
    start, stop = options.excerpt.frames(audio.sample_rate_hz)
    verifier = FrameVerifier.of(audio, spec.reference, spec.limits)
    position = 0
    for block in audio.blocks(FILE_BLOCK_FRAMES):
        frames = block[max(0, start - position) : max(0, int(min(stop - position, len(block))))]
        if options.audible is not None and len(frames):
            options.audible.take(path, np.array([max(start, position)]), frames[None])
        verifier.feed(frames)
        position += len(block)
        if position >= stop:
            break
    if position <= start:
        length = f"{position:,} frames ({position / audio.sample_rate_hz:.3f} s)"
        raise RequestError(f"{path}: --start {options.excerpt.start_seconds:g} is after its end; it has {length}")
    verifier.finish()
    result = verifier.result(str(path))
    [stream] = result.streams
    stream.move(start)
    if options.audible is not None:
        options.audible.trim(path, stream)
    stream.warnings += audio.told()
    if options.clips is not None:
        add_file_clips(result, path, spec.reference)
    return result
