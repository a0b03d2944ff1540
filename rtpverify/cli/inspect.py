"""The command inspect."""

from __future__ import annotations

from typing import Any

import click

from rtpverify.cli.options import DURATION, SECONDS, FileCommand, Number, OutputFile, rtp_options, say_listening


@click.command(cls=FileCommand, short_help="Show levels, waveform and spectra of audio as pictures and data.")
@click.argument("source")
@click.option(
    "--at",
    multiple=True,
    type=SECONDS,
    metavar="SECONDS",
    help="Print the sample values at this time; may be repeated.",
)
@click.option("--start", type=SECONDS, default=0.0, metavar="SECONDS", help="Start of the section to inspect.")
@click.option(
    "--duration",
    type=DURATION,
    metavar="SECONDS",
    help="Length of the section to inspect; of a live source, time to receive.",
)
@click.option(
    "--show",
    multiple=True,
    type=click.Choice(["waveform", "histogram", "spectrogram", "constant-q", "mel", "mfcc"]),
    help="View to include in pictures and data; may be repeated.  [all but mel]",
)
@click.option(
    "--fft", "fft_frames", type=int, default=2048, show_default=True, metavar="FRAMES", help="FFT size in frames."
)
@click.option(
    "--hop",
    "hop_frames",
    type=int,
    default=512,
    show_default=True,
    metavar="FRAMES",
    help="Hop between columns in frames.",
)
@click.option(
    "--lowest",
    "lowest_hz",
    type=Number(min=0, min_open=True),
    default=32.703,
    show_default=True,
    metavar="HZ",
    help="Lowest frequency of the constant-Q transform.",
)
@click.option(
    "--bins-per-octave",
    type=int,
    default=24,
    show_default=True,
    metavar="NUMBER",
    help="Bins per octave of the constant-Q transform.",
)
@click.option(
    "--phase",
    is_flag=True,
    help="Store the phase of the spectrogram in --npz, so that listen can reconstruct the audio exactly.",
)
@click.option("--png", metavar="FILE", type=OutputFile(), help="Write a PNG picture (needs the extra png).")
@click.option(
    "--html",
    metavar="FILE",
    type=OutputFile(allow_dash=True),
    help="Write a self-contained HTML page; - is standard output.",
)
@click.option("--npz", metavar="FILE", type=OutputFile(), help="Write the data as NumPy arrays.")
@click.option(
    "--csv",
    metavar="FILE",
    type=OutputFile(),
    help="Write the data as tables: FILE.csv becomes FILE-levels.csv, FILE-waveform.csv and so on.",
)
@click.option(
    "--json", metavar="FILE", type=OutputFile(allow_dash=True), help="Write the figures as JSON; - is standard output."
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@rtp_options
def inspect(source: str, **options: Any) -> None:
    """Measure each channel of SOURCE and show waveform, histogram and spectra as pictures and data.

    SOURCE is an audio file, a capture, a session description or an address, as for check.
    """
    outputs = {name: options[name] for name in ("json", "html", "png", "npz", "csv")}
    if outputs["json"] == outputs["html"] == "-":
        raise click.UsageError("only one of --json and --html can be standard output")
    from rtpverify.commands.inspect.command import InspectOutputs
    from rtpverify.commands.inspect.command import inspect as look
    from rtpverify.commands.inspect.measure import InspectRequest, View
    from rtpverify.rtp.payload import parse_rtpmap

    look(
        source,
        InspectOutputs(**outputs),
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
