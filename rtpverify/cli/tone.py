"""The command tone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtpverify.cli.options import DURATION, FileCommand, OutputFile, signal_options


@click.command(cls=FileCommand, short_help="Write the reference tone to a WAV file.")
@click.argument("out", type=OutputFile(dir_okay=False, path_type=Path))
@signal_options
@click.option(
    "--encoding", default="L24/48000/2", show_default=True, metavar="NAME/RATE[/CHANNELS]", help="Encoding to write."
)
@click.option(
    "--duration", type=DURATION, default=10.0, show_default=True, metavar="SECONDS", help="Length of the tone."
)
def tone(out: Path, **options: Any) -> None:
    """Write the reference tone to the WAV file OUT, with faults on request."""
    from rtpverify.commands.send import tone as write_tone

    write_tone(out, **options)
