"""The command selftest."""

from __future__ import annotations

import sys
from typing import Any

import click

from rtpverify.cli.limit_options import VerifyingCommand, limit_options, limits_of, request_of
from rtpverify.cli.options import DECIBELS, Number, OutputFile
from rtpverify.cli.reports import report_place, write_report


@click.command(cls=VerifyingCommand, short_help="Send every fault to itself and list what is found.")
@click.option(
    "--reference",
    default="tone:1283",
    show_default=True,
    metavar="REFERENCE",
    help="Signal to send and to compare with, as for check: tone:1283, tone:997,1499 or a recording.",
)
@click.option(
    "--encoding",
    "encodings",
    metavar="NAME/RATE[/CHANNELS]",
    help="Encoding to send.  [L24/48000/2; for a recording, one that holds it without loss]",
)
@click.option(
    "--packet-time",
    type=Number(min=0.000125, max=0.1),
    default=None,
    metavar="SECONDS",
    help="Duration of the audio in a packet.  [default: 0.001, or less where that fits no Ethernet frame]",
)
@click.option("--level-dbfs", type=DECIBELS, default=-20.0, show_default=True, help="RMS level of the tone.")
@click.option(
    "--interface",
    metavar="NAME|ADDRESS",
    help="Network interface to send by, as multicast.  [loopback]",
)
@click.option("--offline", is_flag=True, help="Use no sockets: only faults of the audio are tried.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of noise and of random faults.")
@click.option(
    "--html",
    "html_to",
    metavar="FILE",
    type=OutputFile(dir_okay=False, writable=True, allow_dash=True),
    callback=report_place,
    help="Write the result as an HTML page to FILE; - is standard output.",
)
@click.option(
    "--json",
    "json_to",
    metavar="FILE",
    type=OutputFile(dir_okay=False, writable=True, allow_dash=True),
    callback=report_place,
    help="Write the result as JSON to FILE; - is standard output.",
)
@limit_options
@click.pass_context
def selftest(ctx: click.Context, /, html_to: str | None, json_to: str | None, **options: Any) -> None:
    """Send every fault to this host in a given format, and list what is found, missed or false, and down to which size.

    Each kind of fault goes over the network once, next to clean streams. Sizes down to the detection limits go through
    the same engine without sockets. Takes about a minute.

    Exit status: 0 all found and no false alarm, 1 something missed or a false alarm, 2 the request is unusable.
    """
    if html_to == json_to == "-":
        raise click.UsageError("only one of --html and --json can be standard output")
    from rtpverify.commands.selftest import html, views
    from rtpverify.commands.selftest.run import Bench
    from rtpverify.commands.selftest.run import selftest as run_selftest
    from rtpverify.sources.audio.reference_text import parse_reference

    limits = limits_of(options)
    encoding = options.pop("encodings")
    bench = Bench(
        encoding=encoding,
        reference=parse_reference(options["reference"]),
        limits=limits,
        packet_seconds=options["packet_time"],
        level_dbfs=options["level_dbfs"],
        interface=options["interface"],
        offline=options["offline"],
        seed=options["seed"],
    )
    request = request_of(ctx, options | {"encodings": [encoding] if encoding else []}, options["reference"], limits)
    test = run_selftest(bench, request, lambda line: click.echo(line, err=True))
    for option, place, render in (("--json", json_to, views.render_json), ("--html", html_to, html.render)):
        if place is not None:
            write_report(option, place, render(test))
    views.write(test, sys.stderr if "-" in (html_to, json_to) else sys.stdout)
    ctx.exit(0 if test.passed else 1)
