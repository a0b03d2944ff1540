"""The command discover."""

from __future__ import annotations

import click

from rtpverify.cli.options import DURATION, FileCommand, OutputFile
from rtpverify.cli.reports import report_place, write_report


@click.command(cls=FileCommand, short_help="List announced sessions (SAP).")
@click.option("--duration", type=DURATION, default=35.0, show_default=True, metavar="SECONDS", help="Time to listen.")
@click.option(
    "--interface", metavar="NAME|ADDRESS", help="Network interface to listen on.  [chosen by the routing table]"
)
@click.option(
    "--json",
    "json_to",
    metavar="FILE",
    type=OutputFile(dir_okay=False, writable=True, allow_dash=True),
    callback=report_place,
    help="Write the sessions as JSON to FILE; - is standard output.",
)
@click.pass_context
def discover(ctx: click.Context, duration: float, interface: str | None, json_to: str | None) -> None:
    """Listen for session announcements (SAP, RFC 2974) and list them.

    Exit status: 0 sessions found, 2 the request is unusable, 3 no session announced.
    """
    from rtpverify.commands import discover as discovery

    directory = discovery.discover(duration, interface=interface)
    if json_to is not None:
        write_report("--json", json_to, discovery.render_json(directory))
    if json_to != "-":
        for line in discovery.lines(directory) or ["no session announced"]:
            click.echo(line)
    ctx.exit(0 if directory.sessions else 3)
