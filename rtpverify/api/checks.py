"""Checks, comparisons and inspections from Python: the commands of these names, and arrays besides."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from rtpverify.api.asked import Asked, GivenEncoding, GivenLimits, asked, call_text, limits_of, listed
from rtpverify.api.live import LiveVerifier, OnListening, RunCheck, in_own_thread
from rtpverify.api.observers import observed
from rtpverify.dsp.arrays import as_frames, positive
from rtpverify.dsp.constant_q import BINS_PER_OCTAVE, LOWEST_HZ
from rtpverify.dsp.spectrum import FFT_FRAMES, HOP_FRAMES
from rtpverify.errors import RequestError
from rtpverify.live.live_source import is_live
from rtpverify.live.watcher import Watcher
from rtpverify.reference import Reference
from rtpverify.report.request import request_now
from rtpverify.rtp.payload import parse_rtpmap

if TYPE_CHECKING:
    from rtpverify.commands.inspect.measure import Inspection, View
    from rtpverify.media.audio import ReadableAudio
    from rtpverify.result import Result
    from rtpverify.transport.presentation import HostClock

ARRAY = "array"
"""What results call a source that is no file."""


def check(
    source: str | Path | ArrayLike,
    sample_rate_hz: int | None = None,
    *,
    encoding: GivenEncoding = None,
    reference: str | Reference = "tone",
    profile: str = "digital",
    limits: GivenLimits = None,
    sdp: str | Path | None = None,
    streams: str | Sequence[str] | None = None,
    start: float = 0.0,
    duration: float | None = None,
    wait: float | None = None,
    until_end: bool = False,
    interface: str | None = None,
    expect_streams: int | None = None,
    trim_silence: bool = False,
    redundant: bool = False,
    rtcp: bool = False,
    receiver_reports: bool = False,
    host_clock: HostClock | None = None,
    bits: int | None = None,
) -> Result:
    """Verify a capture, an audio file, audio in an array, or a live source for some time.

    May be called while an event loop runs, such as in a notebook; it blocks until the check is over.

    Parameters
    ----------
    source
        Path of a capture, audio file or session description, ``"rtp://[SENDER@]ADDRESS:PORT"``, or audio: shape (n,)
        or (n, channels), full scale ±1.0.
    sample_rate_hz
        Of audio that is an array.
    encoding
        Of payload types that neither a session description nor RFC 3551 defines, such as ``"L24/48000/2"``; of one
        payload type, whatever else says so: ``"96=L16/48000/2"``; several in a list.
    reference
        As ``rtpverify check --reference`` takes it: ``"tone:997"``, ``"tone"``, the path of a recording, ``"none"``.
    profile
        ``"digital"`` or ``"analog"``: which limits hold.
    limits
        A mapping such as ``{"max_thd_n_db": -60}`` goes over those of the profile; a :class:`rtpverify.Limits` replaces
        them.
    sdp
        Session description of the streams in a capture or at an address.
    streams
        Only these: SSRCs (``"0x..."``), senders or destinations (``"ADDRESS"`` or ``"ADDRESS:PORT"``).
    start, duration
        Seconds to leave out, and to verify: of a file from its start, of a capture from its first RTP packet, of a live
        source from now.
    wait
        Of a live source: how many seconds to wait for the first packet, from which ``duration`` then counts.
    until_end
        Of a live source: stop when all streams have ended, and do not count that as a fault.
    interface
        Name or address of the network interface of a live source.
    expect_streams
        How many streams there are to be; another number is a fault.
    trim_silence
        Do not verify silence before the audio of a stream begins, and after it has ended.
    redundant
        Packets of one SSRC on several flows of a capture are copies of one stream (ST 2022-7).
    rtcp, receiver_reports
        Of a live source: receive RTCP as well; send receiver reports.
    host_clock
        What arrival times count, for the presentation lead: ``"utc"`` (also if None) or ``"tai"``.
    bits
        Of the quantiser that an array went through; None: not known, and the word length is not checked.

    Returns
    -------
    Result
        True where the check passed; ``verdict``, and ``streams`` with what was measured and the events.

    Raises
    ------
    RequestError
        Where the request or source is unusable.
    """
    options: dict[str, Any] = {
        "encoding": encoding,
        "sdp": sdp,
        "streams": streams,
        "start": start or None,
        "duration": duration,
        "wait": wait,
        "until_end": until_end,
        "interface": interface,
        "expect_streams": expect_streams,
        "trim_silence": trim_silence,
        "redundant": redundant,
        "rtcp": rtcp,
        "receiver_reports": receiver_reports,
        "host_clock": host_clock,
    }
    call = call_text(
        "check", source, sample_rate_hz, reference=reference, profile=profile, limits=limits, bits=bits, **options
    )
    wanted = asked(call, encoding=encoding, reference=reference, profile=profile, limits=limits)
    if duration is not None:
        positive(duration, "duration")
    if not 0 <= start < math.inf:
        raise RequestError(f"start: {start!r} is not a number from 0")
    if not isinstance(source, str | Path):
        for name, value in options.items():
            if name not in ("start", "duration") and value not in (None, False):
                raise RequestError(f"{name}: does not apply to audio in an array")
        result = _check_array(source, sample_rate_hz, wanted, bits, start, duration)
        result.request = wanted.request
        return observed(result)
    if bits is not None or sample_rate_hz is not None:
        raise RequestError(f"{source}: sample_rate_hz and bits apply to arrays only")
    run = command(str(source), wanted, **options)
    if not is_live(str(source)):
        return observed(run(Watcher(), lambda _endpoints: None))
    if duration is None and not until_end:
        raise RequestError(f"{source}: nothing ends the check of a live source; give duration= or until_end=True")
    with LiveVerifier(str(source), run) as verifier:
        verifier.wait()
    return observed(verifier.result)


def verify(
    source: str | Path,
    *,
    encoding: GivenEncoding = None,
    reference: str | Reference = "tone",
    profile: str = "digital",
    limits: GivenLimits = None,
    sdp: str | Path | None = None,
    streams: str | Sequence[str] | None = None,
    duration: float | None = None,
    until_end: bool = False,
    interface: str | None = None,
    expect_streams: int | None = None,
    trim_silence: bool = False,
    rtcp: bool = False,
    receiver_reports: bool = False,
    host_clock: HostClock | None = None,
    evidence: str | Path | None = None,
) -> LiveVerifier:
    """Verify a live source while a block runs, which starts the device: a context manager, sync and async.

    Parameters
    ----------
    source
        ``"rtp://[SENDER@]ADDRESS:PORT"``, or the path of a session description.
    encoding, reference, profile, limits, sdp, streams
        As :func:`check` takes them.
    duration
        Seconds to verify, from the first packet on; the block then lasts at least until they are over. None: until
        the block ends. Where nothing arrived, it ends with the block in any case.
    until_end
        The streams may end within the block: the check stops when all have, and that is no fault.
    interface, expect_streams, trim_silence, rtcp, receiver_reports, host_clock
        As :func:`check` takes them.
    evidence
        A folder for the result, its report and the packets; made where the check does not pass, or the block raises.

    Returns
    -------
    LiveVerifier
        Its sockets are bound once the block has begun.

    Raises
    ------
    RequestError
        Where the request is unusable; when the block begins, where the source is.

    Examples
    --------
    >>> with rtpverify.verify("rtp://127.0.0.1:5004", encoding="L24/48000/2") as verifier:  # doctest: +SKIP
    ...     start_the_device()
    ...     verifier.wait_for_audio(timeout=5)
    >>> verifier.result.assert_clean()  # doctest: +SKIP
    """
    if not is_live(str(source)):
        raise RequestError(f"verify {source}: is no live source; rtpverify.check verifies captures and audio files")
    if duration is not None:
        positive(duration, "duration")
    options: dict[str, Any] = {
        "encoding": encoding,
        "sdp": sdp,
        "streams": streams,
        "duration": duration,
        "until_end": until_end,
        "interface": interface,
        "expect_streams": expect_streams,
        "trim_silence": trim_silence,
        "rtcp": rtcp,
        "receiver_reports": receiver_reports,
        "host_clock": host_clock,
    }
    call = call_text("verify", source, reference=reference, profile=profile, limits=limits, **options)
    wanted = asked(call, encoding=encoding, reference=reference, profile=profile, limits=limits)
    folder = None if evidence is None else Path(evidence)
    # The duration counts from the first packet; it is the block that ends the waiting for it.
    wait = None if duration is None else float("inf")
    run = command(str(source), wanted, wait=wait, with_clips=folder is not None, **options)
    return LiveVerifier(str(source), run, lasts=duration is not None, evidence=folder)


def command(
    source: str,
    wanted: Asked,
    *,
    sdp: str | Path | None,
    streams: str | Sequence[str] | None,
    duration: float | None,
    start: float | None = None,
    wait: float | None,
    expect_streams: int | None,
    encoding: GivenEncoding,
    **options: Any,
) -> RunCheck:
    """Return what runs ``rtpverify check`` of a source.

    Parameters
    ----------
    source
        The source.
    wanted
        What was asked for.
    sdp
        Session description that goes with it.
    streams
        Which streams; None: all.
    duration
        Seconds to verify; None: all, or until it is stopped.
    start
        Seconds of a file or capture before what is verified.
    wait
        Seconds for which the first packet is waited for; None: the duration counts from the beginning.
    expect_streams
        How many streams there are to be.
    encoding
        As the caller gave it.
    **options
        As :func:`rtpverify.commands.check.check` takes them.

    Returns
    -------
    RunCheck
        Takes what :class:`rtpverify.live.watcher.Watcher` follows the check, and returns the result.
    """
    del encoding  # is in what is wanted
    description = None if sdp is None else Path(sdp)

    def run(watcher: Watcher, on_listening: OnListening) -> Result:
        from rtpverify.commands.check import check as check_source

        result = check_source(
            source,
            reference=wanted.reference,
            limits=wanted.limits,
            encoding=wanted.encoding,
            encodings=wanted.encodings,
            sdp=description,
            streams=listed(streams),
            start_seconds=start or 0.0,
            duration_seconds=duration,
            wait_seconds=wait,
            expected_streams=expect_streams,
            watcher=watcher,
            on_listening=on_listening,
            **options,
        )
        result.request = wanted.request
        return result

    return run


def _check_array(
    audio: ArrayLike, sample_rate_hz: int | None, wanted: Asked, bits: int | None, start: float, duration: float | None
) -> Result:
    from rtpverify.engine.file_verifier import FrameVerifier

    array, rate_hz = as_frames(audio, "source"), _rate(sample_rate_hz)
    if wanted.reference is None:
        raise RequestError("reference none leaves nothing to verify: an array has no transport")
    first = round(start * rate_hz)
    array = array[first : None if duration is None else first + max(1, round(duration * rate_hz))]
    if first < 0 or len(array) == 0:
        raise RequestError(f"start: {start:g} is not within the audio")
    encoding = f"L{bits}" if bits else "F64"
    verifier = FrameVerifier(wanted.reference, wanted.limits, rate_hz, array.shape[1], encoding, bits)
    verifier.feed(array)
    verifier.finish()
    return verifier.result(ARRAY)


def compare(
    reference: str | Path | ArrayLike,
    received: str | Path | ArrayLike,
    sample_rate_hz: int | None = None,
    *,
    profile: str = "digital",
    limits: GivenLimits = None,
    with_distance: bool = True,
) -> Result:
    """Compare a recording with the one that it should be: the same, or where and how they differ.

    Parameters
    ----------
    reference, received
        Paths of audio files, or audio: shape (n,) or (n, channels), full scale ±1.0.
    sample_rate_hz
        Of arrays.
    profile, limits
        What counts as a fault, as :func:`check` takes it.
    with_distance
        Measure the distance by dynamic time warping of cepstra, too.

    Returns
    -------
    Result
        One stream: ``comparison`` has place, gain, clock and equal frames of each channel, ``events`` what differs.

    Raises
    ------
    RequestError
        Where an argument is unusable.
    """
    from rtpverify.commands.compare import compare as compare_files

    judged_by = limits_of(profile, limits)
    request = request_now(
        call_text("compare", reference, received, sample_rate_hz, profile=profile, limits=limits),
        reference=str(reference) if isinstance(reference, str | Path) else ARRAY,
        encoding=None,
        profile=profile,
        limits=judged_by,
    )
    has_arrays = not (isinstance(reference, str | Path) and isinstance(received, str | Path))
    rate_hz = _rate(sample_rate_hz) if has_arrays else 0
    with _as_files(rate_hz, reference=reference, received=received) as (reference_path, received_path):
        result = compare_files(reference_path, received_path, limits=judged_by, with_distance=with_distance)
    result.request = request
    if not isinstance(received, str | Path):
        result.source = ARRAY
    return observed(result)


def inspect(
    source: str | Path,
    *,
    views: Sequence[str | View] = (),
    at_seconds: Sequence[float] = (),
    start_seconds: float = 0.0,
    duration: float | None = None,
    encoding: str | None = None,
    sdp: str | Path | None = None,
    streams: str | Sequence[str] | None = None,
    fft_frames: int = FFT_FRAMES,
    hop_frames: int = HOP_FRAMES,
    lowest_hz: float = LOWEST_HZ,
    bins_per_octave: int = BINS_PER_OCTAVE,
    keeps_phase: bool = False,
) -> Inspection:
    """Look at a file, a capture or a live stream in one pass: figures of each channel, and views at full resolution.

    May be called while an event loop runs, such as in a notebook.

    Parameters
    ----------
    source
        As ``rtpverify inspect`` takes it.
    views
        Of ``"waveform"``, ``"histogram"``, ``"spectrogram"``, ``"constant-q"``, ``"mel"``, ``"mfcc"``.
    at_seconds
        Times at which values are wanted.
    start_seconds, duration
        The part that is read; None: to its end. Of a live source so many seconds from now.
    encoding, sdp, streams
        As :func:`check` takes them.
    fft_frames, hop_frames
        Of spectra.
    lowest_hz, bins_per_octave
        Of the constant-Q transform.
    keeps_phase
        Whether the spectrogram's complex values are kept, too.

    Returns
    -------
    Inspection
        Figures and views of each channel.

    Raises
    ------
    RequestError
        Where the request or source is unusable.
    """
    from rtpverify.commands.audio_source import open_source
    from rtpverify.commands.inspect.measure import InspectRequest, View, measure

    try:
        chosen = tuple(View(view) for view in views)
    except ValueError as error:
        raise RequestError(f"views: {error}; there are {', '.join(View)}") from None
    request = InspectRequest(
        views=chosen,
        at_seconds=tuple(at_seconds),
        start_seconds=start_seconds,
        length_seconds=duration,
        fft_frames=fft_frames,
        hop_frames=hop_frames,
        lowest_hz=lowest_hz,
        bins_per_octave=bins_per_octave,
        keeps_data=True,
        keeps_phase=keeps_phase,
    )
    if duration is None and is_live(str(source)):
        raise RequestError(f"{source}: nothing ends the reception of a live source; give duration=")

    def opened() -> ReadableAudio:
        return open_source(
            str(source),
            encoding=None if encoding is None else parse_rtpmap(encoding, "encoding"),
            sdp=None if sdp is None else Path(sdp),
            streams=listed(streams),
            duration_seconds=duration,
        )

    return measure(in_own_thread(opened) if is_live(str(source)) else opened(), str(source), request)


def _rate(sample_rate_hz: int | None) -> int:
    """Return the sample rate that an array needs."""
    if sample_rate_hz is None:
        raise RequestError("sample_rate_hz: an array has none of its own; give it")
    positive(sample_rate_hz, "sample_rate_hz")
    return sample_rate_hz


@contextmanager
def _as_files(rate_hz: int, **arrays: str | Path | ArrayLike) -> Iterator[list[Path]]:
    """Give arrays as files, exactly; paths as they are."""
    import soundfile

    with tempfile.TemporaryDirectory(prefix="rtpverify-") as folder:
        paths = []
        for name, array in arrays.items():
            if isinstance(array, str | Path):
                paths.append(Path(array))
                continue
            path = Path(folder) / f"{name}.wav"
            soundfile.write(path, as_frames(array, name), rate_hz, "DOUBLE")
            paths.append(path)
        yield paths
