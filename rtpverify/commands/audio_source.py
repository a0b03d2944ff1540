"""From what a person names to audio that can be read: a file as it is, a stream kept in a temporary file first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rtpverify.errors import NothingArrived, RequestError
from rtpverify.live.live_source import is_live
from rtpverify.reference import Tone
from rtpverify.report.wording import identity
from rtpverify.sources.live.endpoint import Endpoint
from rtpverify.sources.ring.tap import Tap

if TYPE_CHECKING:
    from rtpverify.media.audio import ReadableAudio
    from rtpverify.rtp.payload import Encoding


def is_packets(source: str) -> bool:
    """Return whether a source is a capture, a session description or an address, and so comes as packets.

    Parameters
    ----------
    source
        As ``rtpverify check`` takes it.

    Returns
    -------
    bool
        False where it is an audio file.
    """
    from rtpverify.sources.capture.reader import is_capture

    path = Path(source)
    return is_live(source) or (path.is_file() and is_capture(path))


def open_source(
    source: str,
    *,
    encoding: Encoding | None = None,
    sdp: Path | None = None,
    streams: Sequence[str] = (),
    duration_seconds: float | None = None,
    on_listening: Callable[[Sequence[Endpoint | Tap]], None] | None = None,
) -> ReadableAudio:
    """Open an audio file, or take in the one stream of a capture, session description or address.

    Parameters
    ----------
    source
        As ``rtpverify check`` takes it.
    encoding, sdp, streams
        As :func:`rtpverify.commands.check.check` takes them; for packets only.
    duration_seconds
        How long to listen to a live source.
    on_listening
        Called once a live source is open.

    Returns
    -------
    ReadableAudio
        Its frames, from the start and at any place.

    Raises
    ------
    RequestError
        Where the source is unusable, or has several streams of which none was picked.
    NothingArrived
        Where no audio came.
    """
    if not is_packets(source):
        if encoding is not None or sdp is not None or streams:
            raise RequestError(
                f"{source}: an audio file states its own encoding; --encoding, --sdp and --stream apply to RTP only"
            )
        from rtpverify.sources.audio.file import open_audio

        return open_audio(source)
    from rtpverify.commands.audio_spool import Spool
    from rtpverify.commands.check import check

    spool = Spool()
    result = check(
        source,
        reference=Tone(),
        encoding=encoding,
        sdp=sdp,
        duration_seconds=duration_seconds if is_live(source) else None,
        streams=streams,
        on_frames=spool.take,
        on_listening=on_listening or (lambda _endpoints: None),
    )
    for failure in result.failures:  # what was kept has a hole where it happened
        failure.error.add_note(failure.traceback)
        raise failure.error
    found = spool.streams
    if not found:
        raise NothingArrived(f"{source}: no audio arrived")
    if len(found) > 1:
        listed = "; ".join(" ".join(identity(stream).split()) for stream in result.streams)
        raise RequestError(f"{source}: holds {len(found)} streams, pick one with --stream: {listed}")
    return spool.audio(found[0])
