"""The command batch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rtpverify.cli.limit_options import VerifyingCommand, limit_options, limits_of, request_of
from rtpverify.cli.options import DURATION

if TYPE_CHECKING:
    from rtpverify.commands.batch.command import Progress


@click.command(cls=VerifyingCommand, short_help="Verify an archive of captures and recordings.")
@click.argument("patterns", nargs=-1, required=True, metavar="PATTERN...")
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    help="Folder for the results; a run that was stopped continues from what is there.",
)
@click.option(
    "--reference", default="tone", show_default=True, metavar="REFERENCE", help="Signal to compare with, as for check."
)
@click.option("--encoding", metavar="NAME/RATE[/CHANNELS]", help="Encoding of captured packets, as for check.")
@click.option(
    "--sdp", metavar="FILE", type=click.Path(path_type=Path), help="Session description (SDP) of the captured streams."
)
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="SSRC|ADDRESS[:PORT]",
    help="Verify only captured streams with this SSRC (0x...), sender or destination; may be repeated.",
)
@click.option("--redundant", is_flag=True, help="Treat packets of one SSRC on several flows as copies of one stream.")
@click.option("--duration", type=DURATION, metavar="SECONDS", help="Verify at most this much of each file.")
@click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Processes on this machine.  [one per core]")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Verify on a Dask cluster with this scheduler, such as tcp://10.0.0.5:8786."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Form of the table: JSON lines (one per member) or Parquet (one row per stream).",
)
@limit_options
@click.pass_context
def batch(ctx: click.Context, /, patterns: tuple[str, ...], out: str, **options: Any) -> None:
    """Verify every file that a PATTERN names, and write one table and one page of results.

    PATTERN is a file, a folder, a glob such as 'archive/**/*.pcap', or an address of a store, such as
    's3://bucket/2026/*.pcap'. Files that cannot be read are rows of the table.

    Exit status: 1 if any file has faults, else 2 if any cannot be read, else 3 if any is inconclusive or none was
    found, else 0.
    """
    from rtpverify.commands.batch.command import batch as run_batch
    from rtpverify.commands.batch.job import Job
    from rtpverify.commands.batch.summary import exit_status, lines
    from rtpverify.report.printable import encodable

    limits = limits_of(options)
    job = Job(
        request_of(ctx, options, options["reference"], limits),
        _absolute_reference(options["reference"]),
        limits,
        options["encoding"],
        str(options["sdp"].absolute()) if options["sdp"] else None,
        options["streams"],
        options["redundant"],
        options["duration"],
    )
    rows = run_batch(
        patterns,
        out,
        job,
        processes=options["processes"],
        scheduler=options["scheduler"],
        form=options["form"],
        progress=_progress_bar if sys.stderr.isatty() else None,
    )
    for line in lines(rows):
        click.echo(encodable(line))
    ctx.exit(exit_status(rows))


def _absolute_reference(text: str) -> str:
    """Return a reference that means the same in another folder: workers have folders of their own."""
    from rtpverify.reference import Recording
    from rtpverify.sources.audio.reference_text import parse_reference

    return str(Path(text).absolute()) if isinstance(parse_reference(text), Recording) else text


@contextmanager
def _progress_bar(members: int) -> Iterator[Progress]:
    """Show on standard error how far the run is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("verified"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=members)
        yield lambda done, _members: bar.update(task, completed=done)
