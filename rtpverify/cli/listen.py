"""The command listen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtpverify.cli.options import DURATION, rtp_options, say_listening


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


@click.command(short_help="Make heard what is left when the reference is taken away.")
@click.argument("source")
@click.option("--out", required=True, metavar="FILE", type=click.Path(path_type=Path), help="WAV, 32-bit float.")
@click.option(
    "--reference",
    metavar="REFERENCE",
    help="What is taken away: tone:997, tone:997,1499, tone (found), FILE, none  [tone; none with --band, for spectra]",
)
@click.option("--band", metavar="LOW:HIGH", callback=_band, help="Keep only this band, in Hz.")
@click.option("--gain", default="0", callback=_gain, metavar="DB|auto", help="Louder by this; auto: peak at -1 dBFS.")
@click.option("--start", type=float, default=0.0, metavar="SECONDS", help="From there on.")
@click.option("--duration", type=DURATION, metavar="SECONDS", help="No more than this; live sources: stop after it.")
@click.option(
    "--from",
    "form",
    type=click.Choice(["phase", "spectrogram", "mel", "mfcc"]),
    help="What of an NPZ file of inspect is turned back into sound.  [the most exact there is]",
)
@click.option("--iterations", type=click.IntRange(1), default=64, show_default=True, help="To find phases.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the phases that the search begins with.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@rtp_options
def listen(source: str, out: Path, reference: str | None, **options: Any) -> None:
    """Write to a WAV file what is left of SOURCE when its reference is taken away, or a band, or the sound of spectra.

    SOURCE is an audio file, a capture, a session description or an address, as for check; or spectra (.npz) that
    inspect wrote.
    """
    from rtpverify.commands.listen.command import Wish
    from rtpverify.commands.listen.command import listen as hear
    from rtpverify.commands.listen.from_spectra import Form, is_npz
    from rtpverify.rtp.payload import parse_rtpmap
    from rtpverify.sources.audio.reference_text import parse_reference

    if reference is None:
        reference = "none" if options["band"] or is_npz(Path(source)) else "tone"
    lines = hear(
        source,
        out,
        Wish(
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
        click.echo(line)
