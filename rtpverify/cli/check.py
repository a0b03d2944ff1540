"""The command check."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from rtpverify.cli.limit_options import VerifyingCommand, limit_options, limits_of, refuse_transport_limits, request_of
from rtpverify.cli.options import DURATION, SECONDS, say_listening
from rtpverify.cli.reports import list_streams, report_options, report_places, write_result
from rtpverify.errors import RequestError
from rtpverify.live.watcher import Watcher


@click.command(cls=VerifyingCommand, short_help="Verify a capture, an audio file or a live stream.")
@click.argument("source")
@click.option(
    "--reference",
    default="tone",
    show_default=True,
    metavar="REFERENCE",
    help="Signal to compare with: tone:997 is a sine of 997 Hz on every channel, tone:997,1499 one per channel; "
    "tone detects the frequency; FILE is a recording that plays repeatedly; none verifies transport only.",
)
@click.option(
    "--encoding",
    "encodings",
    multiple=True,
    metavar="[TYPE=]NAME/RATE[/CHANNELS]",
    help="Encoding of payload types not defined by a session description or RFC 3551, such as L24/48000/2; or of one "
    "payload type, such as 96=L16/48000/2. May be repeated.",
)
@click.option(
    "--sdp",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Session description (SDP) of the streams in a capture or at an rtp:// address.",
)
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="SSRC|ADDRESS[:PORT]",
    help="Verify only streams with this SSRC (0x...), sender or destination; may be repeated.",
)
@click.option(
    "--expect-streams",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Number of streams there should be; another number is a fault, and the streams are listed.",
)
@click.option("--list-streams", is_flag=True, help="List the streams of the source; verify nothing.")
@click.option(
    "--redundant",
    is_flag=True,
    help="Treat packets of one SSRC on several flows of a capture as copies of one stream (ST 2022-7).",
)
@click.option(
    "--start",
    type=SECONDS,
    default=0.0,
    metavar="SECONDS",
    help="Skip this much of a file or capture first.",
)
@click.option(
    "--duration",
    type=DURATION,
    metavar="SECONDS",
    help="Verify at most this much: of a file from its start, of a capture from its first RTP packet, of a live source "
    "from now, or from its first packet with --wait. Without it, a live check runs until Ctrl-C.",
)
@click.option(
    "--wait",
    type=DURATION,
    metavar="SECONDS",
    help="Live: wait this long for the first packet (exit status 3 without one); --duration then counts from it.",
)
@click.option(
    "--trim-silence",
    is_flag=True,
    help="Do not verify silence (below -60 dBFS) before the signal begins and after it ends.",
)
@click.option(
    "--until-end",
    is_flag=True,
    help="Live: stop when all streams have ended (RTCP BYE, or no packet for 1 s), and do not count that as a fault.",
)
@click.option(
    "--watch", is_flag=True, help="Live: show levels, loss, residual and events in the terminal while it runs."
)
@click.option(
    "--interface",
    metavar="NAME|ADDRESS",
    help="Live: network interface to receive by, where SOURCE names none; capture://NAME takes what passes there.  "
    "[chosen by the routing table]",
)
@click.option(
    "--backend",
    type=click.Choice(["ring", "recvmmsg", "asyncio-dgram"]),
    help="Live: method of receiving packets; ring needs the right to capture packets.  [recvmmsg on Linux, "
    "asyncio-dgram elsewhere]",
)
@click.option(
    "--rtcp",
    is_flag=True,
    help="Live: also receive RTCP, on the next port or on the one given in the session description.",
)
@click.option(
    "--receiver-reports",
    is_flag=True,
    help="Live: send RTCP receiver reports to the senders; implies --rtcp.",
)
@click.option(
    "--host-clock",
    type=click.Choice(["utc", "tai"]),
    help="Time scale of the arrival times; used with --link-offset-seconds.  [utc]",
)
@report_options
@limit_options
@click.pass_context
def check(ctx: click.Context, /, source: str, **options: Any) -> None:
    """Verify SOURCE, print a summary, and set the exit status to the verdict.

    SOURCE is a capture (pcap, pcapng, also in gzip or zstd), an audio file, a session description,
    rtp://[SENDER@]ADDRESS:PORT, unicast or multicast (SENDER makes it source-specific), capture://INTERFACE, all RTP
    that passes there (Linux), or -, a capture on standard input.
    """
    places = report_places(options)
    from rtpverify.commands.check import check as run_check
    from rtpverify.commands.check import has_packets
    from rtpverify.live.live_source import is_live
    from rtpverify.rtp.payload import parse_encodings
    from rtpverify.sources.audio.reference_text import parse_reference

    if not has_packets(source):
        refuse_transport_limits(source, options)
        refuse_stream_options(source, options)
    listed = options["list_streams"]
    limits = limits_of(options)
    request = request_of(ctx, options, "none" if listed else options["reference"], limits)
    encoding, encodings = parse_encodings(options["encodings"])
    if options["watch"] and not is_live(source):
        raise RequestError(f"{source}: --watch is for live sources")
    with _watcher(watched=options["watch"]) as watcher:
        result = run_check(
            source,
            reference=None if listed else parse_reference(options["reference"]),
            limits=limits,
            encoding=encoding,
            encodings=encodings,
            sdp=options["sdp"],
            start_seconds=options["start"],
            duration_seconds=options["duration"],
            wait_seconds=options["wait"],
            trim_silence=options["trim_silence"],
            expected_streams=options["expect_streams"],
            finds_encodings=listed,
            backend=options["backend"],
            on_listening=say_listening,
            watcher=watcher,
            interface=options["interface"],
            streams=options["streams"],
            redundant=options["redundant"],
            host_clock=options["host_clock"],
            rtcp=options["rtcp"],
            receiver_reports=options["receiver_reports"],
            until_end=options["until_end"],
            with_clips=bool(options["html_to"]) and not listed,
        )
    result.request = request
    if listed:
        list_streams(result, places)
        ctx.exit(0 if result.arrived else 3)
    write_result(result, places, quiet=options["quiet"])
    ctx.exit(result.exit_status)


def _watcher(*, watched: bool) -> AbstractContextManager[Watcher]:
    """Return what follows the check: a picture in the terminal, or nothing."""
    if not watched:
        return nullcontext(Watcher())
    from rtpverify.commands.watch import TerminalWatcher

    return TerminalWatcher()


def refuse_stream_options(source: str, options: dict[str, Any]) -> None:
    """Refuse what concerns streams where there are none.

    Parameters
    ----------
    source
        Name of the source.
    options
        Options of the command by name.

    Raises
    ------
    RequestError
        Where one was given.
    """
    for name in ("expect_streams", "list_streams"):
        if options[name]:
            raise RequestError(f"{source}: --{name.replace('_', '-')} is for packets; an audio file has no streams")
