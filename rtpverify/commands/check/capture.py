"""Verify the packets of a capture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtpverify.commands.check.options import CheckOptions, add_counts
from rtpverify.commands.check.refusals import refuse_mistakes, require_encodings
from rtpverify.commands.standard_input import STANDARD_INPUT, standard_input
from rtpverify.engine.expectation import Selection, StreamSpec
from rtpverify.errors import RequestError
from rtpverify.live.sdp_session import read_session
from rtpverify.report.discarded import in_words

if TYPE_CHECKING:
    from rtpverify.result import Result
    from rtpverify.sources.capture.reader import CaptureReader

_HIDES_AUDIO = ("fragment", "truncated", "malformed", "cut_off", "damaged")
"""Reasons for which a captured frame gave no datagram although it may have held one of ours."""


def expected_in_capture(base: StreamSpec, sdp: Path | None) -> list[StreamSpec]:
    """Return what is expected in a capture.

    Parameters
    ----------
    base
        What is expected where nothing else says so.
    sdp
        Session description that goes with it.

    Returns
    -------
    list of StreamSpec
        One for each stream that is described, or ``base``.
    """
    if sdp is None:
        return [base]
    return [_anywhere(spec) for _, spec in read_session(sdp, is_patient=True).streams(base)]


def _anywhere(spec: StreamSpec) -> StreamSpec:
    """Return what is expected in a capture, where an unspecified address means every one."""
    address = (spec.destination or "").rpartition(":")[0]
    return replace(spec, destination=None) if address in ("0.0.0.0", "[::]") else spec  # noqa: S104 - none is bound


def check_capture(source: str, specs: Sequence[StreamSpec], options: CheckOptions) -> Result:
    """Verify the packets of a capture.

    Parameters
    ----------
    source
        Path of the capture, or ``-``: standard input.
    specs
        What is expected.
    options
        What is verified of it, and who takes its frames.

    Returns
    -------
    Result
        What was found.

    Raises
    ------
    RequestError
        Where it cannot be read, holds no stream, or none that was selected.
    """
    from rtpverify.sources.capture.reader import read_capture, stream_capture

    if source == STANDARD_INPUT:
        with standard_input() as read:
            capture = stream_capture(read, source)
            result = _verify_capture(capture, specs, options)
    else:
        capture = read_capture(source)
        result = _verify_capture(capture, specs, options)
    if not result.arrived and len(specs) == 1 and specs[0].announced and result.discarded.get("unmatched"):
        # The description says where its stream goes, and nothing goes there: what looks like it is it.
        if source == STANDARD_INPUT:
            result.warnings.append(
                f"nothing goes to {specs[0].place}; to find the described stream by its payload type, check a file"
            )
            return result
        announced = frozenset(specs[0].announced.medium.payload_types)
        looks_like_it = replace(options.selection or Selection(), payload_types=announced)
        elsewhere = replace(specs[0], destination=None, sender=None, legs=(), duplicate_ssrcs=())
        found = _verify_capture(capture, [elsewhere], replace(options, selection=looks_like_it))
        return found if found.arrived else result
    if options.selection is not None and not result.arrived and result.discarded.get("not_selected"):
        raise RequestError(f"{source}: --stream matches none of its streams: {_streams_in(capture)}")
    return result


def _streams_in(capture: CaptureReader) -> str:
    """Return what ``--stream`` can pick from a capture, or between which ends packets went where it came in a pipe."""
    if str(capture.path) == STANDARD_INPUT:
        return "; ".join(f"{flow.sender} to {flow.destination}" for flow in capture.flows)
    streams = _verify_capture(capture, [StreamSpec()], CheckOptions(None, "utc")).streams
    return "; ".join(f"0x{one.ssrc or 0:08x} {one.sender} to {one.destination}" for one in streams) or "it holds none"


def _verify_capture(capture: CaptureReader, specs: Sequence[StreamSpec], options: CheckOptions) -> Result:
    verifier = options.verifier(specs, is_stored=True)
    source, last_ns = str(capture.path), 0
    for batch in capture if options.excerpt.is_whole else options.excerpt.of(capture, source):
        last_ns = max(last_ns, int(batch.arrival_ns.max(initial=0)))
        if options.clips is not None:
            options.clips.take_packets(batch)
        verifier.feed(batch)
        refuse_mistakes(verifier)
    verifier.finish()
    require_encodings(verifier, source)
    result = options.result(verifier, source)
    add_counts(result.discarded, {reason: capture.skipped[reason] for reason in _HIDES_AUDIO})
    result.warnings += _doubts(capture)
    part = "the part that was verified"
    if options.excerpt.is_whole:
        part, last_ns = "the capture", capture.last_ns
    for stream, found in zip(verifier.streams, result.streams, strict=False):
        if silent_ns := verifier.silent_ns(stream, last_ns):
            after = " after its sender sent RTCP BYE" if stream.rtcp.said_goodbye else ""
            found.warnings.append(f"no packet in the last {silent_ns / 1e9:.1f} s of {part}{after}")
    ours = verifier.discarded["unmatched"] + verifier.discarded["not_selected"]
    if capture.records and not result.streams and not ours:
        seen = in_words(verifier.discarded + capture.skipped)
        where = "" if not options.excerpt.start_seconds else f" from {options.excerpt.start_seconds:g} s on"
        short = f"; {verifier.shortfall}" if verifier.shortfall else ""
        raise RequestError(f"{source}: no RTP stream among its {capture.records} frames{where} ({seen}){short}")
    return result


def _doubts(capture: CaptureReader) -> Iterator[str]:
    """Yield what a reader should know of a capture before trusting what was found in it."""
    if untimed := capture.records_untimed:
        what = "has" if untimed == 1 else "have"
        yield (
            f"{untimed} of {capture.records} captured frames {what} no time of arrival: "
            "jitter, delay, drift and stalls were not measured there"
        )
    if fragments := capture.skipped["fragment"]:
        what = "IP fragment was" if fragments == 1 else "IP fragments were"
        yield f"{fragments} {what} not put together: audio in them counts as lost"
    if capture.skipped["cut_off"]:
        yield "the capture ends in the middle of a packet"
