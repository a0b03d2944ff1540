"""The command listen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtpverify.cli.options import DURATION, SECONDS, FileCommand, OutputFile, rtp_options, say_listening
from rtpverify.report.printable import printable


def _band(_ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Read LOW:HIGH."""
    try:
        low, high = (float(edge) for edge in value.split(":")) if value is not None else (0.0, 0.0)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not LOW:HIGH, such as 300:3400", param=parameter) from None
    return None if value is None else (low, high)


def _gain(_ctx: click.Context, parameter: click.Parameter, value: str) -> float | str:
    """Read decibels, or auto."""
    try:
        return value if value == "auto" else float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither auto nor a number of decibels", param=parameter) from None


@click.command(cls=FileCommand, short_help="Write the residual (source minus reference) to a WAV file.")
@click.argument("source")
@click.option(
    "--out", required=True, metavar="FILE", type=OutputFile(path_type=Path), help="WAV file to write (32-bit float)."
)
@click.option(
    "--reference",
    metavar="REFERENCE",
    help="Signal to subtract: tone:997, tone:997,1499, tone (detected), FILE, none.  "
    "[tone; none with --band and for spectra]",
)
@click.option("--band", metavar="LOW:HIGH", callback=_band, help="Keep only this frequency band, in Hz.")
@click.option("--gain", default="0", callback=_gain, metavar="DB|auto", help="Gain in dB; auto: peak at -1 dBFS.")
@click.option("--start", type=SECONDS, default=0.0, metavar="SECONDS", help="Start of the section.")
@click.option(
    "--duration", type=DURATION, metavar="SECONDS", help="Length of the section; of a live source, time to receive."
)
@click.option(
    "--from",
    "form",
    type=click.Choice(["phase", "spectrogram", "mel", "mfcc"]),
    help="Spectra in an NPZ file of inspect to reconstruct audio from.  [the most exact available]",
)
@click.option("--iterations", type=click.IntRange(1), default=64, show_default=True, help="Griffin-Lim iterations.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of the initial phases of Griffin-Lim.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@rtp_options
def listen(source: str, out: Path, reference: str | None, **options: Any) -> None:
    """Write the residual of SOURCE (source minus reference), a band of it, or audio reconstructed from spectra.

    SOURCE is an audio file, a capture, a session description or an address, as for check; or spectra (.npz) that
    inspect wrote.
    """
    from rtpverify.commands.listen.command import ListenRequest
    from rtpverify.commands.listen.command import listen as hear
    from rtpverify.commands.listen.from_spectra import Form, is_npz
    from rtpverify.rtp.payload import parse_rtpmap
    from rtpverify.sources.audio.reference_text import parse_reference

    if reference is None:
        reference = "none" if options["band"] or is_npz(Path(source)) else "tone"
    lines = hear(
        source,
        out,
        ListenRequest(
            reference=parse_reference(reference),
            band=options["band"],
            gain_db=options["gain"],
            start_seconds=options["start"],
            length_seconds=options["duration"],
            form=Form(options["form"]) if options["form"] else None,
            iterations=options["iterations"],
            seed=options["seed"],
        ),
        force=options["force"],
        encoding=parse_rtpmap(options["encoding"]) if options["encoding"] else None,
        sdp=options["sdp"],
        streams=options["streams"],
        on_listening=say_listening,
    )
    for line in lines:
        click.echo(printable(line))
