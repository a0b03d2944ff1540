"""The command compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtpverify.cli.limit_options import VerifyingCommand, limit_options, limits_of, refuse_transport_limits, request_of
from rtpverify.cli.reports import report_options, report_places, write_result


@click.command(cls=VerifyingCommand, short_help="Compare two recordings and report where and how they differ.")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("received", type=click.Path(path_type=Path))
@report_options
@limit_options
@click.pass_context
def compare(ctx: click.Context, /, reference: Path, received: Path, **options: Any) -> None:
    """Compare the recording RECEIVED with REFERENCE, and set the exit status to the verdict.

    Both are audio files of any length. RECEIVED is aligned to a fraction of a frame, with its gain, polarity and clock,
    and compared with REFERENCE frame by frame.
    """
    places = report_places(options)
    from rtpverify.commands.compare import compare as run_compare
    from rtpverify.live.process_tuning import keep_freed_memory

    refuse_transport_limits(str(received), options)
    keep_freed_memory()
    limits = limits_of(options)
    request = request_of(ctx, options, str(reference), limits)
    result = run_compare(reference, received, limits=limits, with_clips=bool(options["html_to"]))
    result.request = request
    write_result(result, places, quiet=options["quiet"])
    ctx.exit(result.exit_status)
