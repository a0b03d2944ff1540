"""The command send."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from rtpverify.cli.options import DURATION, FileCommand, Number, OutputFile, signal_options


def _whole(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Read a whole number, decimal or, after 0x, hexadecimal."""
    try:
        return None if value is None else int(value, 0)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a whole number", param=parameter) from None


@click.command(cls=FileCommand, short_help="Send a test tone or a recording, with faults on request.")
@click.argument("destination", required=False)
@signal_options
@click.option(
    "--file", "file", metavar="FILE", type=click.Path(path_type=Path), help="Send this recording instead of a tone."
)
@click.option("--loop", is_flag=True, help="Repeat the recording until stopped.")
@click.option(
    "--last-packet",
    type=click.Choice(["short", "drop"]),
    help="Last frames of a recording that do not fill a packet: send a short packet, or drop them.  [short]",
)
@click.option(
    "--encoding",
    metavar="NAME/RATE[/CHANNELS]",
    help="Encoding to send.  [L24/48000/2; for a recording, one that holds it without loss]",
)
@click.option("--payload-type", type=click.IntRange(0, 127), default=97, show_default=True, help="RTP payload type.")
@click.option(
    "--packet-time",
    type=Number(min=0, min_open=True),
    default=None,
    metavar="SECONDS",
    help="Duration of the audio in a packet.  [default: 0.001, or less where that fits no Ethernet frame]",
)
@click.option("--ssrc", callback=_whole, metavar="NUMBER", help="SSRC, decimal or hexadecimal (0x...).  [random]")
@click.option("--ttl", type=click.IntRange(0, 255), default=16, show_default=True, help="TTL of multicast packets.")
@click.option(
    "--streams",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="NUMBER",
    help="Number of streams; multicast groups count up by one, ports of unicast streams by two.",
)
@click.option(
    "--second-destination",
    metavar="DESTINATION",
    help="Send a copy of every packet here, too (ST 2022-7); faults may name a leg, as in loss:leg=2,rate=0.01.",
)
@click.option("--rtcp", is_flag=True, help="Send RTCP sender reports to the next port, and BYE at the end.")
@click.option("--sap", is_flag=True, help="Announce every stream by SAP while it lasts.")
@click.option(
    "--sdp",
    "sdp_to",
    metavar="FILE",
    type=OutputFile(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    help="Write the session description to FILE before sending; - is standard output.",
)
@click.option(
    "--truth",
    "truth_to",
    metavar="FILE",
    type=OutputFile(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    help="Write the events that the faults make to FILE (JSON, as check reports events); - is standard output.",
)
@click.option(
    "--duration", type=DURATION, metavar="SECONDS", help="Time to send.  [until Ctrl-C, or the end of the recording]"
)
def send(destination: str | None, **options: Any) -> None:
    """Send a test tone or a recording as RTP, with faults on request.

    DESTINATION is rtp://[FROM@]ADDRESS:PORT, by default rtp://127.0.0.1:5004.
    """
    from rtpverify.commands.send import Extras
    from rtpverify.commands.send import send as run_sender

    extras = Extras(**{item.name: options.pop(item.name) for item in fields(Extras)})
    run_sender(destination, extras=extras, **options)
