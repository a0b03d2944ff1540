"""Verify one source once: the Python API of ``rtpverify check``.

>>> from rtpverify.check import check
>>> from rtpverify.reference import parse_reference
>>> result = check("tone.wav", reference=parse_reference("tone:997"))  # doctest: +SKIP
>>> result.verdict  # doctest: +SKIP
<Verdict.PASS: 'pass'>
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtpverify.errors import ConfigurationError, RequestError, SourceError
from rtpverify.limits import Limits
from rtpverify.reference import Recording, Reference, Tone
from rtpverify.sources.endpoint import SCHEME, Endpoint, join_address, parse_endpoint
from rtpverify.spec import StreamSpec

if TYPE_CHECKING:
    from rtpverify.result import Result
    from rtpverify.rtp.payload import Encoding
    from rtpverify.rtp.sdp import Media
    from rtpverify.sources.receiver import Backend
    from rtpverify.verifier import Verifier

FILE_BLOCK_FRAMES = 65536
"""Frames of a file that are read and verified at a time."""

_HIDES_AUDIO = ("fragment", "truncated", "malformed", "cut_off", "damaged")
"""Reasons for which a captured frame gave no datagram although it may have held one of ours."""


def _ignore(_endpoints: Sequence[Endpoint]) -> None:
    """Take what nobody asked for."""


@dataclass(frozen=True, slots=True)
class _Live:
    """What only a live check is told."""

    duration_seconds: float | None
    backend: Backend | None
    on_listening: Callable[[Sequence[Endpoint]], None]


def check(
    source: str,
    *,
    reference: Reference = Tone(),  # noqa: B008 - immutable
    limits: Limits = Limits(),  # noqa: B008 - immutable
    encoding: Encoding | None = None,
    sdp: Path | None = None,
    duration_seconds: float | None = None,
    backend: Backend | None = None,
    on_listening: Callable[[Sequence[Endpoint]], None] = _ignore,
) -> Result:
    """Verify a capture, an audio file, or a live stream.

    Parameters
    ----------
    source
        Path of a capture, audio file or session description (``.sdp``), or ``rtp://[SENDER@]ADDRESS:PORT``.
    reference
        What the audio is held against; by default a sine whose frequency is found.
    encoding
        How payload types are decoded that neither a session description nor RFC 3551 tells.
    sdp
        Session description that goes with a capture or address.
    duration_seconds
        End of a live check; None: until interrupted.
    backend
        How live packets are received; None: as this system does best.
    on_listening
        Called once a live source is open.

    Raises
    ------
    RequestError
        Where the request or its input is unusable.
    """
    if isinstance(reference, Recording):
        raise RequestError(f"reference {reference.path}: a recording as reference is not supported yet")
    live = _Live(duration_seconds, backend, on_listening)
    base = StreamSpec(encoding=encoding, reference=reference, limits=limits)
    if source.startswith(SCHEME):
        return _check_live(source, [_at(parse_endpoint(source), base, sdp)], live)
    path = Path(source)
    if path.suffix.lower() == ".sdp":
        if sdp is not None:
            raise RequestError(f"{source}: is a session description itself, and --sdp {sdp} another")
        return _check_live(source, _described(path, base), live)
    from rtpverify.sources.capture import is_capture

    if is_capture(path):
        specs = [base] if sdp is None else [_anywhere(spec) for _, spec in _described(sdp, base)]
        return _check_capture(path, specs)
    if encoding is not None or sdp is not None:
        raise RequestError(f"{source}: an audio file tells its own encoding; --encoding and --sdp are for RTP")
    return _check_file(path, base)


def _audio_media(path: Path) -> list[Media]:
    """Return the audio of a session description, at least one."""
    from rtpverify.rtp.sdp import parse_sdp

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error
    media = parse_sdp(text, str(path)).audio
    if not media:
        raise ConfigurationError(f"{path}: describes no audio")
    return media


def _described(path: Path, base: StreamSpec) -> list[tuple[Endpoint, StreamSpec]]:
    """Return where each stream of a session description arrives, and what is expected there."""
    streams = []
    for medium in _audio_media(path):
        place = f"{path}:{medium.line}"
        if medium.connection is None:
            raise ConfigurationError(f"{place}: no c= line tells where this medium goes")
        for sender in medium.senders or (None,):
            at = f"{join_address(sender, 0).rpartition(':')[0]}@" if sender else ""
            endpoint = parse_endpoint(f"{SCHEME}{at}{medium.destination}", place)
            spec = replace(base, destination=endpoint.destination, sender=sender, encodings=medium.encodings)
            streams.append((endpoint, spec))
    return streams


def _at(endpoint: Endpoint, base: StreamSpec, sdp: Path | None) -> tuple[Endpoint, StreamSpec]:
    """Return what is expected at an address; a description may tell its encodings, wherever it says it is sent."""
    encodings: dict[int, Encoding] = {}
    if sdp is not None:
        media = _audio_media(sdp)
        for medium in [one for one in media if one.destination == endpoint.destination] or media:
            encodings |= medium.encodings
    return endpoint, replace(base, destination=endpoint.destination, sender=endpoint.sender, encodings=encodings)


def _anywhere(spec: StreamSpec) -> StreamSpec:
    """Return what is expected in a capture, where an unspecified address stands for every one."""
    address = (spec.destination or "").rpartition(":")[0]
    return replace(spec, destination=None) if address in ("0.0.0.0", "[::]") else spec  # noqa: S104 - none is bound


def _check_file(path: Path, spec: StreamSpec) -> Result:
    from rtpverify.frames import FrameVerifier
    from rtpverify.sources.audiofile import open_audio

    if spec.reference is None:
        raise RequestError(f"{path}: reference none leaves nothing to verify: an audio file has no transport")
    audio = open_audio(path)
    verifier = FrameVerifier(spec, audio.sample_rate_hz, audio.channels, audio.encoding, audio.bits)
    for frames in audio.blocks(FILE_BLOCK_FRAMES):
        verifier.feed(frames)
    verifier.finish()
    return verifier.result(str(path))


def _check_capture(path: Path, specs: Sequence[StreamSpec]) -> Result:
    from rtpverify.sources.capture import read_capture
    from rtpverify.verifier import Verifier

    verifier = Verifier(specs)
    capture = read_capture(path)
    for batch in capture:
        verifier.feed(batch)
        _require_encodings(verifier, str(path))
    verifier.finish()
    _require_encodings(verifier, str(path))
    result = verifier.result(str(path))
    _add(result.discarded, {reason: capture.skipped[reason] for reason in _HIDES_AUDIO})
    if capture.records and not result.streams and not verifier.discarded["unmatched"]:
        seen = ", ".join(f"{count} {reason}" for reason, count in (verifier.discarded + capture.skipped).items())
        raise RequestError(f"{path}: no RTP stream among its {capture.records} frames ({seen})")
    return result


def _check_live(source: str, streams: Sequence[tuple[Endpoint, StreamSpec]], live: _Live) -> Result:
    from rtpverify.live import run, run_live
    from rtpverify.sources.receiver import open_receiver
    from rtpverify.verifier import Verifier

    verifier = Verifier([spec for _, spec in streams])
    endpoints = [endpoint for endpoint, _ in streams]

    async def main() -> Result:
        stop = asyncio.Event()
        with open_receiver(endpoints, live.backend) as receiver, _stopped_by_signals(stop):
            live.on_listening(endpoints)
            await run_live(
                verifier,
                receiver,
                duration_seconds=live.duration_seconds,
                stop=stop,
                on_tick=lambda _now_ns: _require_encodings(verifier, source),
            )
            result = verifier.result(source, receiver.dropped)
            _add(result.discarded, receiver.discarded)
        return result

    return run(main())


@contextlib.contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Let an interrupt end the check with what was found so far, where this thread gets signals."""
    loop = asyncio.get_running_loop()
    numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in numbers:
            loop.add_signal_handler(number, stop.set)
    except (NotImplementedError, RuntimeError, ValueError):  # another system, or not the main thread
        numbers = ()
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _require_encodings(verifier: Verifier, source: str) -> None:
    """Refuse a stream that should be judged and cannot be decoded."""
    for stream in verifier.streams:
        if stream.encoding is None and stream.spec.reference is not None:
            raise RequestError(
                f"{source}: payload type {stream.payload_type}: encoding unknown; give --encoding or --sdp, "
                "or --reference none for transport alone"
            )


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    """Add what is not zero."""
    for reason, count in more.items():
        if count:
            counts[reason] = counts.get(reason, 0) + count
