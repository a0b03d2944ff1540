"""The command inspect."""

from __future__ import annotations

from typing import Any

import click

from rtpverify.cli.options import DURATION, rtp_options, say_listening


@click.command(short_help="Look at audio: levels, waveform, spectra; as pictures and as data.")
@click.argument("source")
@click.option("--at", multiple=True, type=float, metavar="SECONDS", help="The value there; may be given again.")
@click.option("--start", type=float, default=0.0, metavar="SECONDS", help="Look from there on.")
@click.option(
    "--duration", type=DURATION, metavar="SECONDS", help="Look at no more than this; live sources: stop after it."
)
@click.option(
    "--show",
    multiple=True,
    type=click.Choice(["waveform", "histogram", "spectrogram", "constant-q", "mel", "mfcc"]),
    help="What pictures and data hold; may be given again.  [all but mel]",
)
@click.option("--fft", "fft_frames", type=int, default=2048, show_default=True, metavar="FRAMES", help="Window.")
@click.option(
    "--hop", "hop_frames", type=int, default=512, show_default=True, metavar="FRAMES", help="Between columns."
)
@click.option(
    "--lowest", "lowest_hz", type=float, default=32.703, show_default=True, metavar="HZ", help="Of the constant-Q bins."
)
@click.option("--bins-per-octave", type=int, default=24, show_default=True, metavar="NUMBER", help="Of the same.")
@click.option(
    "--phase", is_flag=True, help="Keep the spectrogram's phase in --npz: listen can then turn it back exactly."
)
@click.option("--png", metavar="FILE", help="A picture (needs the extra png).")
@click.option("--html", metavar="FILE", help="A page that needs nothing else; - is standard output.")
@click.option("--npz", metavar="FILE", help="Arrays for numpy.")
@click.option("--csv", metavar="FILE", help="Tables: FILE.csv becomes FILE-levels.csv, FILE-waveform.csv and so on.")
@click.option("--json", metavar="FILE", help="The figures; - is standard output.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@rtp_options
def inspect(source: str, **options: Any) -> None:
    """Look at SOURCE: figures of each channel, and waveform, histogram and spectra as pictures and as data.

    SOURCE is an audio file, a capture, a session description or an address, as for check.
    """
    outlets = {name: options[name] for name in ("json", "html", "png", "npz", "csv")}
    if outlets["json"] == outlets["html"] == "-":
        raise click.UsageError("only one of --json and --html can be standard output")
    from rtpverify.commands.inspect.command import Outlets
    from rtpverify.commands.inspect.command import inspect as look
    from rtpverify.commands.inspect.measure import InspectRequest, View
    from rtpverify.rtp.payload import parse_rtpmap

    look(
        source,
        Outlets(**outlets),
        InspectRequest(
            at_seconds=options["at"],
            start_seconds=options["start"],
            length_seconds=options["duration"],
            fft_frames=options["fft_frames"],
            hop_frames=options["hop_frames"],
            lowest_hz=options["lowest_hz"],
            bins_per_octave=options["bins_per_octave"],
            keeps_phase=options["phase"],
        ),
        show=[View(name) for name in options["show"]],
        force=options["force"],
        encoding=parse_rtpmap(options["encoding"]) if options["encoding"] else None,
        sdp=options["sdp"],
        streams=options["streams"],
        on_listening=say_listening,
    )
