"""Verify packets as they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rtpverify.commands.check.capture import expected_in_capture
from rtpverify.commands.check.options import CheckOptions, add_counts
from rtpverify.commands.check.refusals import refuse_mistakes, require_encodings
from rtpverify.engine.expectation import StreamSpec
from rtpverify.errors import RequestError
from rtpverify.live.live_source import open_input
from rtpverify.live.sdp_session import read_session, spec_at
from rtpverify.live.watcher import Watcher
from rtpverify.sources.live.endpoint import SCHEME, Endpoint, parse_endpoint
from rtpverify.sources.ring.tap import Tap, parse_taps

if TYPE_CHECKING:
    from rtpverify.result import Result
    from rtpverify.rtp.batch import PacketBatch
    from rtpverify.sources.open_receiver import Backend


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Options of a live check, as :func:`rtpverify.commands.check.check` describes them."""

    duration_seconds: float | None
    wait_seconds: float | None
    until_end: bool
    backend: Backend | None
    on_listening: Callable[[Sequence[Endpoint | Tap]], None]
    watcher: Watcher
    interface: str | None
    rtcp: bool
    receiver_reports: bool

    def endpoint(self, endpoint: Endpoint) -> Endpoint:
        """Return where to receive, through the interface that was named where the source names none.

        Parameters
        ----------
        endpoint
            A source, with or without an interface.

        Returns
        -------
        Endpoint
            The same with an interface, if there is one.
        """
        return replace(endpoint, interface=endpoint.interface or self.interface)


def refuse_live_options(source: str, live: LiveOptions) -> None:
    """Refuse options that mean nothing for a file or capture.

    Parameters
    ----------
    source
        Name of the source, for the message.
    live
        What was given.

    Raises
    ------
    RequestError
        Where any of them was.
    """
    if live.until_end:
        raise RequestError(f"{source}: --until-end is for live sources; a file or capture ends by itself")
    options = {
        "--wait": live.wait_seconds is not None,
        "--backend": live.backend,
        "--interface": live.interface,
        "--receiver-reports": live.receiver_reports,
        "--rtcp": live.rtcp,
    }
    for option in (option for option, given in options.items() if given):
        raise RequestError(f"{source}: {option} is for live sources")


def described_places(
    source: str, base: StreamSpec, sdp: Path | None, live: LiveOptions
) -> tuple[list[Endpoint | Tap], list[StreamSpec]]:
    """Return where the streams of an address or session description arrive, and what is expected there.

    Parameters
    ----------
    source
        The source.
    base
        What is expected where nothing else says so.
    sdp
        Session description that goes with it.
    live
        Options of the check.

    Returns
    -------
    places : list of Endpoint or Tap
        Where packets arrive.
    specs : list of StreamSpec
        What is expected there.

    Raises
    ------
    RequestError
        Where the source or its description is unusable.
    """
    if not source.startswith(SCHEME):
        if sdp is not None:
            raise RequestError(f"{source}: is itself a session description; omit --sdp {sdp}")
        described = read_session(Path(source), is_patient=True).streams(base, rtcp=live.rtcp)
    else:
        endpoint = parse_endpoint(source)
        if live.rtcp:
            endpoint = endpoint.with_rtcp()
        described = [([endpoint], spec_at(endpoint, base, read_session(sdp, is_patient=True) if sdp else None))]
    return [live.endpoint(endpoint) for ends, _ in described for endpoint in ends], [spec for _, spec in described]


def tapped(
    source: str, base: StreamSpec, sdp: Path | None, live: LiveOptions
) -> tuple[list[Endpoint | Tap], list[StreamSpec]]:
    """Return the taps of a source, and what is expected of all that passes there: what a capture of it would hold.

    Parameters
    ----------
    source
        The source.
    base
        What is expected where nothing else says so.
    sdp
        Session description that goes with it.
    live
        Options of the check.

    Returns
    -------
    places : list of Endpoint or Tap
        Where packets arrive.
    specs : list of StreamSpec
        What is expected there.

    Raises
    ------
    RequestError
        Where an option says nothing of a tap.
    """
    taps = parse_taps(source)
    options = {
        "--backend": live.backend,
        "--interface": live.interface,
        "--receiver-reports": live.receiver_reports,
    }
    for option in (option for option, given in options.items() if given):
        raise RequestError(
            f"{source}: {option} is for rtp:// addresses; nothing is received or sent in a stream's name"
        )
    return list(taps), expected_in_capture(base, sdp)


def check_live(
    source: str, places: Sequence[Endpoint | Tap], specs: Sequence[StreamSpec], options: CheckOptions, live: LiveOptions
) -> Result:
    """Verify packets as they arrive, until the check ends.

    Parameters
    ----------
    source
        Name of the source.
    places
        Where they arrive.
    specs
        What is expected.
    options
        What is verified of it, and who takes its frames.
    live
        When it ends, and what else concerns a live check.

    Returns
    -------
    Result
        What was found.

    Raises
    ------
    RequestError
        Where nothing can be received there, or not verified.
    """
    from rtpverify.live.loop import run, run_live, stopped_by_signals
    from rtpverify.live.preload import load_for
    from rtpverify.live.receiver_reports import Feedback

    verifier = options.verifier(specs, may_end=live.until_end)
    load_for(spec.reference for spec in specs)

    async def main() -> Result:
        stop = asyncio.Event()
        feedback = Feedback(verifier, time.time_ns()) if live.receiver_reports else None

        def on_tick(now_ns: int) -> None:
            refuse_mistakes(verifier)
            if len(specs) == 1 and not any(map(verifier.is_open, verifier.streams)):
                require_encodings(verifier, source)
            if feedback is not None:
                feedback.tick(now_ns)
            if live.watcher.tick(now_ns):
                stop.set()

        with (
            stopped_by_signals(stop),
            open_input(places, live.backend) as receiver,
            feedback or contextlib.nullcontext(),
        ):

            def found(*, is_final: bool = False) -> Result:
                result = options.result(verifier, source, receiver.dropped, is_final=is_final)
                add_counts(result.discarded, receiver.discarded)
                return result

            def take(batch: PacketBatch) -> None:
                live.watcher.take(batch)
                if options.clips is not None:
                    options.clips.take_packets(batch)

            live.watcher.begin(verifier, found)
            live.on_listening(places)
            await run_live(
                verifier,
                receiver,
                duration_seconds=live.duration_seconds,
                wait_seconds=live.wait_seconds,
                until_end=live.until_end,
                stop=stop,
                on_batch=take,
                on_tick=on_tick,
            )
            require_encodings(verifier, source)
            return found(is_final=True)

    return run(main())
